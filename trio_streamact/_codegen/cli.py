"""The commands of ``quart streamact``: list the actions of an app, and generate descriptions for clients."""

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
"""Returns the routes of an app's actions at the time a command runs."""


def commands(routes: Routes, title: str) -> click.Group:
    """Return the command group for an app; *title* is the title of its OpenAPI document."""
    group = click.Group("streamact", help="List stream actions, and generate descriptions for clients.")

    @group.command("routes")
    def list_routes() -> None:
        """List the actions."""
        click.echo(table(routes()))

    @group.command("types")
    @click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
    @click.option("--root-path", default="", help="Where the app is mounted, as in hypercorn's --root-path.")
    @click.option("--check", is_flag=True, help="Write nothing; fail if a file is missing or not up to date.")
    def write_types(directory: Path, root_path: str, check: bool) -> None:
        """Write typed references to the actions, actions.js and actions.d.ts, to DIRECTORY.

        The app also serves these files, but without docstrings.
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
        """Print an OpenAPI 3.2 document of the actions."""
        click.echo(json.dumps(openapi(describe(routes()), title), indent=2, ensure_ascii=False))

    return group


def references(routes: Iterable[Route], root: str = "") -> dict[str, str]:
    """Return the generated modules by file name; *root* is the path at which the app is mounted."""
    routes = list(routes)
    return {"actions.js": javascript(routes, root), "actions.d.ts": typescript(describe(routes))}


def table(routes: Iterable[Route]) -> str:
    """Return a table of the actions, one per line."""
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
    """Return the limits that differ from the defaults, or "-"."""
    default = attrs.asdict(Limits())
    return " ".join(f"{name}={value}" for name, value in attrs.asdict(limits).items() if value != default[name]) or "-"


def _is_up_to_date(path: Path, encoded: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == encoded
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror or error}") from error


def _write(path: Path, content: str) -> bool:
    """Write *content* to *path* atomically. Return False if the file is up to date and was not written."""
    encoded = content.encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _is_up_to_date(path, encoded):  # an unchanged file does not trigger programs that watch it
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(encoded)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror or error}") from error
    return True
