"""Describe the registered actions for clients, independent of the language of the client."""

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
"""Names that definitions must not have, because the generated files use them."""


@final
@attrs.frozen
class DescribedAction:
    """One registration of an action.

    Args:
        export: Its name in JavaScript.
        route: Its registration.
        input: The schema of its declared input, without variables that are only in the path; None if it has no input.
        chunk: The schema of its chunks.
        variables: The schemas of the variables of its path, by name.
    """

    export: str
    route: Route
    input: Schema | None
    chunk: Schema
    variables: dict[str, Schema]

    @property
    def name(self) -> str:
        """The name of the action."""
        return self.route.action.name

    @property
    def documentation(self) -> str:
        """The docstring of the handler, or ""."""
        return self.route.action.description or ""

    @property
    def dialect(self) -> Dialect:
        """The dialect of its streams."""
        return self.route.dialect


@final
@attrs.frozen
class Description:
    """The actions, and the named types that they refer to."""

    actions: tuple[DescribedAction, ...]
    definitions: tuple[Definition, ...]


def describe(routes: Iterable[Route]) -> Description:
    """Return the description of the actions at *routes*."""
    schemas = Schemas()
    named = exports(routes)
    inputs = {export: _input_of(route.action, schemas) for export, route in named.items()}
    chunks = {export: schemas.of(_chunk_of(route.action), "chunk") for export, route in named.items()}
    schemas.finish()

    stands_for = schemas.definitions.merged()
    definitions = tuple(dict.fromkeys(stands_for.values()))
    disambiguated = [made for made in schemas.definitions.twins() if stands_for[made] is made]
    name_all(definitions, disambiguated, RESERVED)
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
    """Return *schema*, or the schema that its ``$ref`` refers to."""
    while "$ref" in schema:
        schema = schema["$ref"].schema
    return schema


def _input_of(action: StreamAction, schemas: Schemas) -> Schema | None:
    return schemas.of(action.input, "input") if action.takes_input else None


def _chunk_of(action: StreamAction) -> Any:
    try:
        return resolved(action.chunk, getattr(action._handler.function, "__module__", __name__))
    except Exception:  # chunks can be sent even if their type cannot be resolved
        return Any
