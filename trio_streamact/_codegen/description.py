"""All that clients may know of the registered actions, in no language in particular."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import attrs

from .._actions.action import StreamAction
from .._actions.routes import Route
from .._protocol.encoding import Dialect
from .definitions import Definition, Schema, name_all, replaced
from .fields import resolved
from .names import exports
from .schemas import Schemas

RESERVED = ("ActionError",)
"""Names of definitions that are ours."""


@final
@attrs.frozen
class DescribedAction:
    """One action, where it is registered.

    Args:
        export: What it is called in JavaScript.
        route: Where it is registered.
        input: What it takes, without what only the path says; None for nothing.
        chunk: What it sends.
        variables: What the path takes.
    """

    export: str
    route: Route
    input: Schema | None
    chunk: Schema
    variables: dict[str, Schema]

    @property
    def name(self) -> str:
        """The name of its handler."""
        return self.route.action.name

    @property
    def documentation(self) -> str:
        """What its author says of it."""
        return self.route.action.description or ""

    @property
    def dialect(self) -> Dialect:
        """How its streams end."""
        return self.route.dialect


@final
@attrs.frozen
class Description:
    """The actions, and the types that they refer to, each with a name of its own."""

    actions: tuple[DescribedAction, ...]
    definitions: tuple[Definition, ...]


def describe(routes: Iterable[Route]) -> Description:
    """Describe the actions that are registered at *routes*."""
    schemas = Schemas()
    named = exports(routes)
    inputs = {export: _input_of(route.action, schemas) for export, route in named.items()}
    chunks = {export: schemas.of(_chunk_of(route.action), "chunk") for export, route in named.items()}
    schemas.finish()

    stands_for = schemas.definitions.merged()
    definitions = tuple(dict.fromkeys(stands_for.values()))
    told_apart = [made for made in schemas.definitions.twins() if stands_for[made] is made]
    name_all(definitions, told_apart, RESERVED)
    for definition in definitions:
        definition.schema = replaced(definition.schema, stands_for)
    actions = [
        _described(export, route, replaced(inputs[export], stands_for), replaced(chunks[export], stands_for))
        for export, route in named.items()
    ]
    return Description(tuple(actions), definitions)


def _described(export: str, route: Route, taken: Schema | None, chunk: Schema) -> DescribedAction:
    properties = object_of(taken or {}).get("properties", {})
    variables = {name: properties.get(name, schema) for name, schema in route.variables.items()}
    return DescribedAction(export, route, taken, chunk, variables)


def object_of(schema: Schema) -> Schema:
    """The schema itself, or what it refers to."""
    while "$ref" in schema:
        schema = schema["$ref"].schema
    return schema


def _input_of(action: StreamAction, schemas: Schemas) -> Schema | None:
    return schemas.of(action.input, "input") if action.takes_input else None


def _chunk_of(action: StreamAction) -> Any:
    try:
        return resolved(action.chunk, getattr(action._handler.function, "__module__", __name__))
    except Exception:  # it can be sent all the same
        return Any
