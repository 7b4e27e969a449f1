"""What ``quart streamact`` does: lists an app's actions, and writes down for clients what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from .limits import Limits
from .references import NameCollisionError, Route, describe, javascript, openapi, takes_input, title_of, typescript

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
    def write_types(directory: Path) -> None:
        """Write typed references to the actions, actions.js and actions.d.ts, to DIRECTORY.

        The app serves these itself, but there without docstrings.
        """
        for file, content in _or_complain(lambda: references(routes())).items():
            click.echo(f"{'Wrote' if _write(directory / file, content) else 'Unchanged'} {directory / file}")

    @group.command("openapi")
    def print_openapi() -> None:
        """Print a description of the actions by OpenAPI 3.2."""
        click.echo(json.dumps(_or_complain(lambda: openapi(describe(routes()), title)), indent=2, ensure_ascii=False))

    return group


def references(routes: Iterable[Route]) -> dict[str, str]:
    """Give the modules that clients import, by the names of their files."""
    routes = list(routes)
    return {"actions.js": javascript(routes), "actions.d.ts": typescript(describe(routes))}


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
    action = route.view.action
    yield ",".join(route.methods)
    yield route.path
    yield action.name
    yield title_of(action.input) if takes_input(action) else "-"
    yield title_of(action.chunk)
    yield _limits(action.limits or Limits())


def _limits(limits: Limits) -> str:
    """Those that are not what they are by default."""
    default = attrs.asdict(Limits())
    return " ".join(f"{name}={value}" for name, value in attrs.asdict(limits).items() if value != default[name]) or "-"


def _or_complain(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except NameCollisionError as error:
        raise click.ClickException(str(error)) from error


def _write(path: Path, content: str) -> bool:
    """Write *content* all at once, or not at all; say whether there was anything to write."""
    encoded = content.encode()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_file() and path.read_bytes() == encoded:  # whoever watches the file need not do its work again
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
