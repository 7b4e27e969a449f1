"""What ``quart streamact`` does: lists an app's actions, and writes down for clients what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs
import click

from .._actions.routes import Route
from ..limits import Limits
from .description import describe
from .javascript import javascript
from .openapi import openapi
from .schemas import title_of
from .typescript import typescript

Routes = Callable[[], Iterable[Route]]
"""Gives the routes of an app's actions: those there are when a command runs."""


def commands(routes: Routes, title: str) -> click.Group:
    """Make the commands for an app called *title*."""
    group = click.Group("streamact", help="Stream actions: list them, and describe them to clients.")

    @group.command("routes")
    def list_routes() -> None:
        """List the actions."""
        click.echo(table(routes()))

    @group.command("types")
    @click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
    @click.option("--root-path", default="", help="Where the app is mounted, as in hypercorn's --root-path.")
    @click.option("--check", is_flag=True, help="Write nothing; fail where a file is missing or is not up to date.")
    def write_types(directory: Path, root_path: str, check: bool) -> None:
        """Write typed references to the actions, actions.js and actions.d.ts, to DIRECTORY.

        The app serves these itself, but there without docstrings.
        """
        stale = []
        for file, content in references(routes(), root_path.rstrip("/")).items():
            path = directory / file
            if not check:
                click.echo(f"{'Wrote' if _write(path, content) else 'Unchanged'} {path}")
            elif not _is_up_to_date(path, content.encode()):
                stale.append(str(path))
        if stale:
            raise click.ClickException(f"not up to date: {', '.join(stale)}; run the command without --check")

    @group.command("openapi")
    def print_openapi() -> None:
        """Print a description of the actions by OpenAPI 3.2."""
        click.echo(json.dumps(openapi(describe(routes()), title), indent=2, ensure_ascii=False))

    return group


def references(routes: Iterable[Route], root: str = "") -> dict[str, str]:
    """Return the modules that clients import, by the names of their files; *root* is where the app is mounted."""
    routes = list(routes)
    return {"actions.js": javascript(routes, root), "actions.d.ts": typescript(describe(routes))}


def table(routes: Iterable[Route]) -> str:
    """Say what actions there are, one a line."""
    rows = [tuple(_cells(route)) for route in routes]
    if not rows:
        return "No stream actions are registered."
    heads = ("Method", "Path", "Name", "Input", "Chunk", "Limits")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(route: Route) -> Iterator[str]:
    action = route.action
    yield ",".join(route.methods)
    yield route.path
    yield action.name
    yield title_of(action.input) if action.takes_input else "-"
    yield title_of(action.chunk)
    yield _limits(route.limits)


def _limits(limits: Limits) -> str:
    """Those that are not what they are by default."""
    default = attrs.asdict(Limits())
    return " ".join(f"{name}={value}" for name, value in attrs.asdict(limits).items() if value != default[name]) or "-"


def _is_up_to_date(path: Path, encoded: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == encoded
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror or error}") from error


def _write(path: Path, content: str) -> bool:
    """Write *content* all at once, or not at all; say whether there was anything to write."""
    encoded = content.encode()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _is_up_to_date(path, encoded):  # whoever watches the file need not do its work again
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(encoded)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror or error}") from error
    return True
