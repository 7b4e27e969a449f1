"""Limit what it costs to validate an input, before a library validates it.

A validation library copies names and paths into each error, hashes the items of sets, and recurses for each level. A
few hundred kilobytes of input can then cost gigabytes of memory, or minutes. So this module first counts the values,
the levels and the characters of the names. The time for that is linear in the size of the body.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time
from itertools import accumulate, chain
from typing import Any, final

import attrs

from ..errors import InvalidInput
from .declared import is_choice_of_values, is_class, is_known_class, is_msgspec, is_pydantic, unwrapped

PATHS_PER_BYTE = 16
"""The limit for the total length of the paths of all values, in characters per byte of the body."""

PATHS_MIN = 2**20
"""The limit for that total length is never lower than this, in characters."""

INDEX_CHARS = 6
"""The assumed length of a list index in a path, in characters."""

HASHED_ITEMS = 500
"""The most items in one list or object, if the declared type has sets, or mappings whose keys are not text.

A client can choose numbers whose hashes collide, and then each item is compared with all items before it."""

COMPARISONS_PER_BYTE = 2
"""How many such comparisons all lists and objects of an input may take together, for each byte of it.

One takes up to 115 nanoseconds, as measured for IPv6 addresses. So they take less than 0.3 seconds for each megabyte.
"""

COMPARISONS_MIN = 260_000
"""How many an input may take at least, however small it is."""

PARSED_DEPTH = 1024
"""The most levels that orjson parses."""

_CONTAINERS = (dict, list)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # an unfinished string extends to the end
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


@final
@attrs.frozen
class Bounds:
    """The limits for one input: ``Limits.input_values``, ``input_depth`` and ``input_name_chars``."""

    values: int
    depth: int
    name_chars: int


@final
@attrs.define
class TextBounds:
    """The bounds of all JSON in the texts of one query or form, which counts as one input."""

    _bounds: Bounds
    _values: int = 0

    def check(self, text: bytes) -> None:
        """Raise ``InvalidInput`` if *text* is nested too deeply, or has too many values together with all before it."""
        self._values = _check_exactly(text, self._bounds, self._values)


text_bounds: ContextVar[TextBounds | None] = ContextVar("text_bounds", default=None)
"""The bounds of the input whose texts are converted in this context; None outside of ``bounding``."""


@contextmanager
def bounding(bounds: Bounds) -> Iterator[None]:
    """Apply *bounds* to the JSON inside texts that are converted in this block."""
    token = text_bounds.set(TextBounds(bounds))
    try:
        yield
    finally:
        text_bounds.reset(token)


def check_json(text: bytes, bounds: Bounds) -> None:
    """Check *text*, before it is parsed as JSON, by counting its brackets and commas.

    Raises:
        InvalidInput: It has too many values or levels.
    """
    opened = text.count(b"[") + text.count(b"{")
    if opened <= bounds.depth and opened + text.count(b",") < bounds.values:
        return  # within bounds even if no bracket or comma is inside a string
    _check_exactly(text, bounds, 0)


def _check_exactly(text: bytes, bounds: Bounds, values: int) -> int:
    """Check *text*, before which *values* were counted; return how many there are with its own."""
    depth = deepest = strings = at = 0
    # Count in the text between strings piece by piece, and stop at the bound: all pieces at once would take memory.
    for string in chain(_STRING.finditer(text), [None]):
        between = text[at:] if string is None else text[at : string.start()]
        if string is not None:
            at, strings = string.end(), strings + 1
        brackets = between.translate(None, _NO_BRACKETS)
        if brackets:
            deepest = max(deepest, depth + max(accumulate(map(_STEPS.__getitem__, brackets))))
            if deepest > PARSED_DEPTH:  # there the parser raises, and what follows costs nothing
                depths = enumerate(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
                brackets = brackets[: next(at for at, reached in depths if reached > PARSED_DEPTH)]
                between = b""
            opened = brackets.count(b"[") + brackets.count(b"{")
            depth += 2 * opened - len(brackets)
            values += opened
        values += between.count(b",")
        if values >= bounds.values or strings > 2 * bounds.values:  # a string is a value, or the name of one
            raise _too_many(bounds)
        if deepest > PARSED_DEPTH:
            break
    if bounds.depth < deepest <= PARSED_DEPTH:
        raise _too_deep(bounds)
    return values


def check_value(value: Any, size_bytes: int, bounds: Bounds, *, hashes_numbers: bool) -> None:
    """Check *value* against *bounds*, before it is validated.

    Args:
        value: The parsed JSON.
        size_bytes: The size of the text that it was parsed from.
        bounds: The limits for values, levels and names.
        hashes_numbers: The result of ``hashes_numbers`` for the declared type.

    Raises:
        InvalidInput: It has too many values or levels, names that are too long, or too many items to be hashed.
    """
    paths_max = max(PATHS_MIN, PATHS_PER_BYTE * size_bytes)
    items_max = HASHED_ITEMS if hashes_numbers else bounds.values
    comparisons_max = max(COMPARISONS_MIN, COMPARISONS_PER_BYTE * size_bytes) if hashes_numbers else math.inf
    comparisons = 0
    values, paths = 1, 0
    waiting: list[tuple[Any, int, int]] = [(value, 1, 0)]
    while waiting:
        container, depth, path = waiting.pop()
        if container.__class__ is dict:
            names = sum(map(len, container))
            if max(map(len, container), default=0) > bounds.name_chars:
                raise InvalidInput(f"A member name is longer than {bounds.name_chars} characters")
        elif container.__class__ is list:
            names = INDEX_CHARS * len(container)
        else:
            continue
        if depth > bounds.depth:
            raise _too_deep(bounds)
        values += len(container)
        paths += names + path * len(container)
        if values > bounds.values:
            raise _too_many(bounds)
        if len(container) > items_max:
            raise InvalidInput(f"More than {items_max} items in one list or object")
        comparisons += len(container) ** 2
        if comparisons > comparisons_max:
            raise InvalidInput("Too many items in all lists and objects together")
        if paths > paths_max:
            raise InvalidInput("The member names are too long for this number of values")
        if container.__class__ is list:
            waiting += [(item, depth + 1, path + INDEX_CHARS) for item in container if item.__class__ in _CONTAINERS]
        else:
            for name, member in container.items():
                if member.__class__ in _CONTAINERS:
                    waiting.append((member, depth + 1, path + len(name)))


def hashes_numbers(declared: Any) -> bool:
    """Return True if *declared* contains, at any depth, a set with items, or a mapping with keys, that are not text."""
    return _hashes(declared, set())


# Python salts the hashes of these types, so a client cannot choose values that collide. The members of an enum are
# chosen by the author.
_SALTED = (str, bytes, datetime, date, time)


def _hashes(declared: Any, seen: set[int]) -> bool:
    declared = unwrapped(declared)
    if id(declared) in seen:
        return False
    seen.add(id(declared))
    base, arguments = typing.get_origin(declared) or declared, typing.get_args(declared)
    if is_class(base, (set, frozenset, AbstractSet)):
        return not arguments or not _is_salted(arguments[0])
    if is_class(base, Mapping) and not is_known_class(base) and arguments and not _is_salted(arguments[0]):
        return True
    if is_pydantic(declared):
        import pydantic

        adapter = declared if isinstance(declared, pydantic.TypeAdapter) else pydantic.TypeAdapter(declared)
        return _hashes_in_pydantic(adapter.core_schema)
    return any(_hashes(inner, seen) for inner in (*arguments, *_types_of_fields(base)) if inner is not ...)


def _is_salted(declared: Any) -> bool:
    declared = unwrapped(declared)
    return is_choice_of_values(declared) or is_class(declared, _SALTED)


def _types_of_fields(declared: Any) -> list[Any]:
    if is_msgspec(declared):
        import msgspec

        return [field.type for field in msgspec.structs.fields(declared)]
    if not is_known_class(declared):
        return []
    try:
        return list(typing.get_type_hints(declared, include_extras=True).values())
    except Exception:  # `input_schema` raises for this, with a better message
        return []


def _hashes_in_pydantic(schema: Any) -> bool:
    """Return the same as ``_hashes`` for pydantic's core schema of a type, which consists of plain values."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        hashed = schema.get(
            "keys_schema" if kind == "dict" else "items_schema", {"type": "str" if kind == "dict" else "any"}
        )
        if kind in ("set", "frozenset", "dict") and not _is_salted_in_pydantic(hashed):
            return True
        return any(_hashes_in_pydantic(inner) for inner in schema.values())
    return isinstance(schema, list | tuple) and any(map(_hashes_in_pydantic, schema))


def _is_salted_in_pydantic(schema: Any) -> bool:
    return schema.get("type") in ("str", "bytes", "datetime", "date", "time", "literal", "enum")


def _too_many(bounds: Bounds) -> InvalidInput:
    return InvalidInput(f"More than {bounds.values} values")


def _too_deep(bounds: Bounds) -> InvalidInput:
    return InvalidInput(f"Nested deeper than {bounds.depth} levels")
