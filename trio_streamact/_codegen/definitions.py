"""Definitions: the types that get a name of their own, and the choice of these names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, final

import attrs

from .fields import Mode
from .names import first_free, type_name

Schema = dict[str, Any]
"""A JSON Schema (2020-12), except that the value of a ``$ref`` is the ``Definition`` itself."""


@final
@attrs.define(eq=False)
class Definition:
    """A type with a name of its own.

    Args:
        origin: The module and the qualified name of the type, in parts. The last part is its own name.
        mode: The mode of its schema. A definition that is the same in both modes has the mode ``"chunk"``.
        schema: Its schema. It is filled in after the definition is created, since a type may contain itself.
        name: Its name for clients, chosen by ``name_all``.
    """

    origin: tuple[str, ...]
    mode: Mode
    schema: Schema = attrs.field(factory=dict)
    name: str = ""


@final
class Definitions:
    """All definitions, one per type and mode."""

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, Mode], Definition] = {}

    def ref(self, key: Hashable, mode: Mode, origin: tuple[str, ...], make: Callable[[], Schema]) -> Schema:
        """Return a reference to the definition of the type *key*. Call *make* for its schema if it is new."""
        definition = self._made.get((key, mode))
        if definition is None:
            definition = self._made[key, mode] = Definition(origin, mode)
            definition.schema = make()
        return {"$ref": definition}

    def twins(self) -> dict[Definition, Definition]:
        """Return, for each definition of an input, its twin: the definition of a chunk for the same type.

        A definition of a chunk that is the only other one of the same name counts too: the types that pydantic
        describes are known by name only.
        """
        chunks = {key: made for (key, mode), made in self._made.items() if mode == "chunk"}
        named: dict[str, list[Definition]] = {}
        for made in self._made.values():
            named.setdefault(made.origin[-1], []).append(made)
        found: dict[Definition, Definition] = {}
        for (key, mode), made in self._made.items():
            others = [other for other in named[made.origin[-1]] if other is not made]
            if mode == "input" and key in chunks:
                found[made] = chunks[key]
            elif mode == "input" and [other.mode for other in others] == ["chunk"]:
                found[made] = others[0]
        return found

    def merged(self) -> dict[Definition, Definition]:
        """Return, for every definition, the one that replaces it: for an input that equals its twin, the twin.

        Definitions may contain themselves or each other. So all twins are assumed to be equal, until a difference
        between their schemas is found.
        """
        stands_for = {made: made for made in self._made.values()} | self.twins()
        changed = True
        while changed:
            changed = False
            for made, other in stands_for.items():
                if made is not other and replaced(made.schema, stands_for) != replaced(other.schema, stands_for):
                    stands_for[made] = made
                    changed = True
        return stands_for


def replaced(schema: Any, by: Mapping[Definition, Any]) -> Any:
    """Return a copy of *schema* with every definition replaced by its value in *by*."""
    if isinstance(schema, Definition):
        return by[schema]
    if isinstance(schema, dict):
        return {name: replaced(member, by) for name, member in schema.items()}
    if isinstance(schema, list):
        return [replaced(item, by) for item in schema]
    return schema


def name_all(definitions: Iterable[Definition], with_twins: Collection[Definition], reserved: Iterable[str]) -> None:
    """Set a unique name for each of *definitions*.

    The name of an input that differs from its twin (*with_twins*) ends with ``Input``. Definitions of the same name
    are distinguished by their origin: ``chat.Token`` and ``search.Token`` become ``ChatToken`` and ``SearchToken``,
    whatever their order. If the origins are equal too, the names are numbered.
    """
    parts = dict.fromkeys(definitions, 1)
    taken = set(reserved)

    def name_of(definition: Definition) -> str:
        suffix = "Input" if definition in with_twins else ""
        return type_name(definition.origin[-parts[definition] :]) + suffix

    while clashing := _clashing(parts, name_of, taken, with_twins):
        longer = [definition for definition in clashing if parts[definition] < len(definition.origin)]
        if not longer:
            break
        for definition in longer:
            parts[definition] += 1
    for definition in clashing:
        parts[definition] = 1
    unique = {name_of(definition) for definition in parts if definition not in clashing}
    for definition in parts:
        name = name_of(definition)
        if definition in clashing:
            name = first_free(name, lambda free: free in taken | unique)
            taken.add(name)
        definition.name = name


def _clashing(
    definitions: Iterable[Definition],
    name_of: Callable[[Definition], str],
    taken: set[str],
    with_twins: Collection[Definition],
) -> list[Definition]:
    """Return the definitions whose names are not unique.

    If a name is one definition's own, and others have it only because of the suffix ``Input``, the first keeps it.
    """
    by_name: dict[str, list[Definition]] = {}
    for definition in definitions:
        by_name.setdefault(name_of(definition), []).append(definition)
    clashing: list[Definition] = []
    for name, named in by_name.items():
        own = [definition for definition in named if definition not in with_twins]
        if name in taken or len(own) > 1 or (not own and len(named) > 1):
            clashing += named
        else:
            clashing += [definition for definition in named if own and definition is not own[0]]
    return clashing
