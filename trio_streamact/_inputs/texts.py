"""Convert text from a query, a form or a route, which has no types, to the JSON that the declared type expects."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, final

import attrs
import orjson

from .costs import text_bounds
from .declared import (
    FieldTypes,
    is_choice_of_values,
    is_class,
    is_list,
    is_object,
    is_union,
    item_type,
    list_among,
    members_of,
    unwrapped,
)


@final
class UntypedText(str):
    """Text from a query, a form or a route. The declared type of the field decides which JSON value it becomes."""

    __slots__ = ()


Reader = Callable[[str], Any]
"""Converts a text to the JSON value that a type expects, or returns the text if that is not possible."""

MAX_FIELDS = 256
"""The most fields of one input whose readers are stored."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS: dict[str, bool] = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def as_json(text: str, declared: Any) -> Any:
    """Return the JSON value that *declared* expects for *text*, or *text* itself if it cannot be converted.

    Numbers, booleans (``true``, ``1``, ``on``, ``false``, ``0``, ``off``), literals and enum values are converted. If
    an object or a list is declared, *text* is parsed as JSON; for a list, any other text becomes its only item. An
    empty text is null if null is declared and text is not: nuxt-actions' client encodes null in this way.
    """
    return reader_of(declared)(str(text))


def reader_of(declared: Any) -> Reader:
    """Return the reader for *declared*. ``as_json`` does the same, but inspects *declared* on every call."""
    declared = unwrapped(declared)
    if is_union(declared):
        return _reader_of_one(typing.get_args(declared))
    if is_choice_of_values(declared):
        return _reader_of_member([value for value, _ in members_of(declared)])
    if is_class(declared, object) and declared in _READERS:
        return _READERS[declared]
    if is_list(declared):
        item = item_type(declared)
        return lambda text: [as_json(text, item)] if (parsed := _parsed(text, "[")) is None else parsed
    if is_object(declared):
        return lambda text: text if (parsed := _parsed(text, "{")) is None else parsed
    return str


def _reader_of_one(members: Sequence[Any]) -> Reader:
    is_null = type(None) in members and not any(unwrapped(member) in (str, Any) for member in members)
    others = [member for member in members if member is not type(None) and unwrapped(member) is not str]
    others.sort(key=lambda member: is_list(unwrapped(member)))  # lists last: any text can become a list with one item
    readers = [reader_of(member) for member in others]

    def read(text: str) -> Any:
        if not text and is_null:
            return None
        values = (read_other(text) for read_other in readers)
        return next((value for value in values if not isinstance(value, str)), text)

    return read


def _reader_of_member(values: Sequence[Any]) -> Reader:
    others = [(value, reader_of(type(value))) for value in values if not isinstance(value, str)]

    def read(text: str) -> Any:
        return text if text in values else next((value for value, read in others if read(text) == value), text)

    return read


def _finite(plain: str) -> float | str:
    number = float(plain)
    return number if math.isfinite(number) else plain  # JSON has no infinity; float("1e999") is one


_READERS: dict[type, Reader] = {
    bool: lambda text: _BOOLEANS.get(text.lower(), text),
    int: lambda text: int(text) if _INTEGER.fullmatch(text) else text,
    float: lambda text: _finite(text) if _NUMBER.fullmatch(text) else text,
}


def _parsed(text: str, opening: str) -> Any:
    if not text.lstrip().startswith(opening):
        return None
    encoded = text.encode(errors="replace")
    if (bounds := text_bounds.get()) is not None:
        bounds.check(encoded)
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:
        return None


@final
@attrs.define(eq=False)
class FieldTexts:
    """Converts the texts of one field."""

    declared: Any
    read: Reader = attrs.field(init=False)

    @read.default
    def _reader(self) -> Reader:
        return reader_of(self.declared)

    @cached_property
    def read_item(self) -> Reader:
        """The reader for each text of a repeated name. If the field is not a list, validation reports it."""
        return reader_of(item_type(list_among(self.declared)))

    def converted(self, value: object) -> object:
        """Return *value* with every ``UntypedText`` converted to JSON."""
        if isinstance(value, UntypedText):
            return self.read(str(value))
        if isinstance(value, list) and any(isinstance(item, UntypedText) for item in value):
            return [self.read_item(str(item)) if isinstance(item, UntypedText) else item for item in value]
        return value


_UNDECLARED = FieldTexts(Any)


@final
@attrs.define(eq=False)
class ObjectTexts:
    """Converts the texts of an object. The reader of each field is created once."""

    _field_type: FieldTypes
    _fields: dict[str, FieldTexts] = attrs.field(factory=dict, init=False)

    def converted(self, raw: object) -> object:
        """Return *raw* with every ``UntypedText`` that is a field, or an item of a field, converted to JSON."""
        if isinstance(raw, dict):
            return {str(name): self._field(name).converted(value) for name, value in raw.items()}
        return raw

    def _field(self, name: str) -> FieldTexts:
        field = self._fields.get(name)
        if field is None:
            if (declared := self._field_type(name)) is Any:
                return _UNDECLARED
            field = FieldTexts(declared)
            if len(self._fields) < MAX_FIELDS:  # in a mapping the client chooses the names
                self._fields[str(name)] = field
        return field
