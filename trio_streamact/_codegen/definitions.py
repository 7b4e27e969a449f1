"""Types that get a name of their own, and which names they get."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, final

import attrs

from .fields import Mode
from .names import first_free, type_name

Schema = dict[str, Any]
"""A JSON Schema of 2020-12, but that a ``$ref`` holds the ``Definition`` itself."""


@final
@attrs.define(eq=False)
class Definition:
    """A type with a name of its own.

    Args:
        origin: Where it comes from, in parts, its own name the last.
        mode: What it was written for; one that is the same for both is for chunks.
        schema: What it is; filled in once it is known, since a type may hold itself.
        name: What it is called in the end.
    """

    origin: tuple[str, ...]
    mode: Mode
    schema: Schema = attrs.field(factory=dict)
    name: str = ""


@final
class Definitions:
    """The definitions of all types that are met, each made once for each mode."""

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, Mode], Definition] = {}

    def ref(self, key: Hashable, mode: Mode, origin: tuple[str, ...], make: Callable[[], Schema]) -> Schema:
        """Refer to the definition of the type *key*, and *make* its schema if it is new."""
        definition = self._made.get((key, mode))
        if definition is None:
            definition = self._made[key, mode] = Definition(origin, mode)
            definition.schema = make()
        return {"$ref": definition}

    def twins(self) -> dict[Definition, Definition]:
        """Give with each definition of an input that of the chunk which is the same type, or the only one of its name.

        The latter since what pydantic describes is known by name alone.
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
        """Say for every definition which one stands for it: an input's that is no different is its twin of a chunk.

        Two that hold themselves, or each other, are the same if nothing else tells them apart: so all are taken for
        the same until something does.
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
    """Give *schema* anew, with what stands for it in place of every definition."""
    if isinstance(schema, Definition):
        return by[schema]
    if isinstance(schema, dict):
        return {name: replaced(member, by) for name, member in schema.items()}
    if isinstance(schema, list):
        return [replaced(item, by) for item in schema]
    return schema


def name_all(definitions: Iterable[Definition], with_twins: Collection[Definition], reserved: Iterable[str]) -> None:
    """Give each of *definitions* a name that no other has.

    One that only differs by mode from another, as those *with_twins* do, has ``Input`` behind its name. Those that
    would be of one name are told apart by where they come from: ``chat.Token`` and ``search.Token`` are ``ChatToken``
    and ``SearchToken``, in whatever order they are met. Where that is the same too, they are numbered.
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
    """List the definitions whose name is not theirs alone; one that only got its name from a twin gives way."""
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
