"""Estimates of what pydantic would spend on one input, from the core schema of its type.

Fault: each error of pydantic contains a copy of the value that it is about. An object in which a member is missing is
copied once for each missing member, and once more for those of each object around it: 400 KB became 100 MB.

Fault: pydantic tries every member of a union without a discriminator, so each level of a recursive one multiplies the
work: an input of 700 bytes that is nested 30 times would take half an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any, Self, final

import attrs

from ..errors import InvalidInput
from .messages import TOO_DEEP, TOO_LARGE

MAX_TRIES = 30_000
"""The most objects and lists that pydantic may validate; one counts each time that it is tried."""

COPIES_BYTES = 512 * 1024
"""The memory that the copies in pydantic's errors may take, however small the input is."""

COPIES_PER_BYTE = 8
"""The memory that they may take for each byte of the input."""

SMALL_BYTES = 512
"""The size of an input that is not checked, unless its type has a union that may contain itself."""

ERROR_BYTES = 700
"""The memory that an error takes without its copy."""

LONG_TEXT = 100
"""The length of a text whose copies count."""

_PLAIN: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}

_INNER = ("schema", "json_schema", "strict_schema")
_NO_SCHEMAS = ("metadata", "serialization", "default")
_UNKNOWN: dict[str, Any] = {"type": "any"}

Node = Mapping[str, Any]
"""A part of a core schema, which consists of plain values."""


@final
@attrs.frozen
class PydanticCosts:
    """The core schema of a type, to be compared with its inputs."""

    _schema: Node
    _definitions: Mapping[str, Node]
    _multiplies: bool
    """Whether a union may contain itself, so that a small input may cost much."""

    _known: dict[int, Node] = attrs.field(factory=dict, init=False, eq=False)
    """What `_resolved` has returned, by the identity of a node of the schema."""

    @classmethod
    def of(cls, schema: Node) -> Self:
        """Return the costs of a core schema."""
        nodes = [*_nodes(schema)]
        unions = [node for node in nodes if node["type"] == "union"]
        multiplies = any(part["type"] == "definition-ref" for union in unions for part in _nodes(union))
        return cls(schema, {node["ref"]: node for node in nodes if "ref" in node}, multiplies)

    def check(self, value: object, size_bytes: int) -> None:
        """Check what pydantic would spend on *value*, which is JSON of *size_bytes*.

        Raises:
            InvalidInput: It is nested too deeply for a union, or invalid and too large for its errors.
        """
        if size_bytes <= SMALL_BYTES and not self._multiplies:
            return
        copies = _Copies()
        tries = 0
        waiting: list[tuple[Any, Node]] = [(value, self._schema)]
        while waiting:
            part, node = waiting.pop()
            node = self._resolved(node)
            kind = node["type"]
            is_container = part.__class__ is dict or part.__class__ is list
            if kind == "union":
                choices = _choices(node)
                if is_container:
                    waiting += [(part, choice) for choice in choices]
                else:
                    copies.add(part, len(choices))
            elif kind == "tagged-union":
                choice = node["choices"].get(_tag(part, node["discriminator"]))
                waiting += [] if choice is None else [(part, choice)]
                copies.add(part, choice is None)
            elif is_container:
                tries += 1
                if tries > MAX_TRIES:
                    raise InvalidInput(TOO_DEEP)
                errors, inner = self._entered(part, node)
                copies.add(part, errors)
                for member, schema in inner:
                    if (expected := _PLAIN.get(self._resolved(schema)["type"])) is not None:
                        copies.add(member, member.__class__ not in expected)
                    elif _is_of_interest(member):
                        waiting.append((member, schema))
        if copies.total_bytes > max(COPIES_BYTES, COPIES_PER_BYTE * size_bytes):
            raise InvalidInput(TOO_LARGE)

    def _resolved(self, node: Node) -> Node:
        """Return the node that decides about a value: the target of a reference, or what a function wraps."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = self._resolve(node)
        return known

    def _resolve(self, node: Node) -> Node:
        for _ in range(100):  # wrappers can refer to each other in a circle
            kind = node["type"]
            if kind == "definition-ref":
                node = self._definitions.get(node["schema_ref"], _UNKNOWN)
            elif kind == "chain":
                node = node["steps"][0]
            elif inner := next((node[name] for name in _INNER if isinstance(node.get(name), Mapping)), None):
                node = inner
            else:
                return node
        return _UNKNOWN

    def _entered(self, container: Any, node: Node) -> tuple[int, Iterable[tuple[Any, Node]]]:
        """Return how many errors are about *container* itself, and its members with the nodes that validate them."""
        kind, items = node["type"], node.get("items_schema")
        if container.__class__ is dict and "fields" in node:
            return _entered_fields(container, node["fields"])
        if container.__class__ is dict and kind == "dict":
            return 0, zip(container.values(), repeat(node.get("values_schema", _UNKNOWN)), strict=False)
        if container.__class__ is list and isinstance(items, Mapping):
            return 0, zip(container, repeat(items), strict=False)
        if container.__class__ is list and isinstance(items, list | tuple):
            return 1, zip(container, items, strict=False)
        return 0 if kind == "any" else 1, ()


def _entered_fields(container: dict[str, Any], fields: Any) -> tuple[int, list[tuple[Any, Node]]]:
    missing, inner = 0, []
    named = fields.items() if isinstance(fields, Mapping) else [(field["name"], field) for field in fields]
    for name, field in named:
        found = next((key for key in (name, *_aliases(field.get("validation_alias"))) if key in container), None)
        if found is None:
            missing += field.get("required", field["schema"]["type"] != "default")
        else:
            inner.append((container[found], field["schema"]))
    return missing, inner


@final
@attrs.define
class _Copies:
    """Adds up the sizes of values."""

    total_bytes: int = 0
    _sizes: dict[int, int] = attrs.field(factory=dict)

    def add(self, value: Any, times: int) -> None:
        if times:
            self.total_bytes += times * (ERROR_BYTES + self._size_of(value))

    def _size_of(self, value: Any) -> int:
        """Return the memory that *value* takes, with all that it contains. Nesting is bounded by ``input_depth``."""
        if value.__class__ is not dict and value.__class__ is not list:
            return sys.getsizeof(value)
        size = self._sizes.get(id(value))
        if size is None:
            members = value.values() if value.__class__ is dict else value
            size = self._sizes[id(value)] = sys.getsizeof(value) + sum(map(self._size_of, members))
        return size


def _aliases(alias: Any) -> Iterator[str]:
    """Yield the names of an alias: it is one, a path that begins with one, or a list of such paths."""
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, list):
        for part in alias[:1] if alias and isinstance(alias[0], str) else alias:
            yield from _aliases(part)


def _is_of_interest(member: Any) -> bool:
    """Return True for a container, and for a text that is long enough for its copies to count."""
    kind = member.__class__
    return kind is dict or kind is list or (kind is str and len(member) > LONG_TEXT)


def _choices(union: Node) -> list[Node]:
    return [choice[0] if isinstance(choice, tuple) else choice for choice in union["choices"]]


def _tag(value: Any, discriminator: Any) -> Any:
    """Return the member of *value* that decides between the choices of a union, or None if that is not known."""
    tag = value.get(discriminator) if value.__class__ is dict and isinstance(discriminator, str) else None
    return tag if tag.__class__ in (str, int, bool) else None


def _nodes(schema: Any) -> Iterator[Node]:
    """Yield every node of *schema*, itself included. References are not followed."""
    waiting, seen = [schema], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Mapping):
            if isinstance(part.get("type"), str):
                yield part
            waiting += [inner for name, inner in part.items() if name not in _NO_SCHEMAS]
        elif isinstance(part, list | tuple):
            waiting += part
