"""Text to JSON: what a query, a form or a route cannot say of a value's type, the declared type says."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, final

import attrs
import orjson

from .costs import bounds_of_texts, check_json
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
class Text(str):
    """Text out of a query, a form or a route: it has no type yet but the one that the input declares."""

    __slots__ = ()


Reader = Callable[[str], Any]
"""Makes of a text the JSON value that a type asks for, or leaves it text."""

MOST_FIELDS = 256
"""Of how many fields of one input it is remembered what they ask for."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS: dict[str, bool] = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def as_json(text: str, declared: Any) -> Any:
    """Make of *text* the JSON value that *declared* asks for, or leave it text where that cannot be.

    Numbers, ``true``, ``1``, ``on`` and their opposites, literals and enum values are converted; where an object or a
    list is declared a JSON text of one is read, and any other text is a list of one. An empty text is null where
    null is allowed and text is not: so the model's client encodes it.
    """
    return reader_of(declared)(str(text))


def reader_of(declared: Any) -> Reader:
    """Give what ``as_json`` does for *declared*, which is looked into once."""
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
    others.sort(key=lambda member: is_list(unwrapped(member)))  # any text can be a list of one
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
    return number if math.isfinite(number) else plain  # JSON has no infinity, which 1e999 would be


_READERS: dict[type, Reader] = {
    bool: lambda text: _BOOLEANS.get(text.lower(), text),
    int: lambda text: int(text) if _INTEGER.fullmatch(text) else text,
    float: lambda text: _finite(text) if _NUMBER.fullmatch(text) else text,
}


def _parsed(text: str, opening: str) -> Any:
    if not text.lstrip().startswith(opening):
        return None
    encoded = text.encode(errors="replace")
    if (bounds := bounds_of_texts.get()) is not None:
        check_json(encoded, bounds)
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:
        return None


@final
@attrs.define(eq=False)
class FieldTexts:
    """What is made of the texts of one field."""

    declared: Any
    read: Reader = attrs.field(init=False)

    @read.default
    def _reader(self) -> Reader:
        return reader_of(self.declared)

    @cached_property
    def read_item(self) -> Reader:
        """For a key that was repeated. Where no list is declared, the validation says so."""
        return reader_of(item_type(list_among(self.declared)))

    def converted(self, value: object) -> object:
        """Give *value* with JSON in place of every ``Text``."""
        if isinstance(value, Text):
            return self.read(str(value))
        if isinstance(value, list) and any(isinstance(item, Text) for item in value):
            return [self.read_item(str(item)) if isinstance(item, Text) else item for item in value]
        return value


_UNDECLARED = FieldTexts(Any)


@final
@attrs.define(eq=False)
class ObjectTexts:
    """What is made of the texts of an object, whose fields are looked into once."""

    _field_type: FieldTypes
    _fields: dict[str, FieldTexts] = attrs.field(factory=dict, init=False)

    def converted(self, raw: object) -> object:
        """Give *raw* with JSON in place of every ``Text`` that is a field, or an item of one, as its type asks for."""
        if isinstance(raw, dict):
            return {str(name): self._field(name).converted(value) for name, value in raw.items()}
        return raw

    def _field(self, name: str) -> FieldTexts:
        field = self._fields.get(name)
        if field is None:
            if (declared := self._field_type(name)) is Any:
                return _UNDECLARED
            field = FieldTexts(declared)
            if len(self._fields) < MOST_FIELDS:  # a mapping has as many as its client likes
                self._fields[str(name)] = field
        return field
