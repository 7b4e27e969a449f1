"""Text to JSON: what a query, a form or a route cannot say of a value's type, the declared type says."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Sequence
from typing import Any, final

import orjson

from .declared import (
    FieldTypes,
    is_choice_of_values,
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


_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def as_json(text: str, declared: Any) -> Any:
    """Make of *text* the JSON value that *declared* asks for, or leave it text where that cannot be.

    Numbers, ``true``, ``1``, ``on`` and their opposites, literals and enum values are converted; where an object or a
    list is declared a JSON text of one is read, and any other text is a list of one. An empty text is null where
    null is allowed and text is not: so the model's client encodes it.
    """
    plain = str(text)
    declared = unwrapped(declared)
    if is_union(declared):
        return _as_one_of(plain, typing.get_args(declared))
    if is_choice_of_values(declared):
        return _as_member(plain, [value for value, _ in members_of(declared)])
    if declared is bool:
        return _BOOLEANS.get(plain.lower(), plain)
    if declared is int:
        return int(plain) if _INTEGER.fullmatch(plain) else plain
    if declared is float:
        return _finite(plain) if _NUMBER.fullmatch(plain) else plain
    if is_list(declared):
        parsed = _parsed(plain, "[")
        return parsed if parsed is not None else [as_json(plain, item_type(declared))]
    if is_object(declared):
        parsed = _parsed(plain, "{")
        return plain if parsed is None else parsed
    return plain


def _as_one_of(text: str, members: Sequence[Any]) -> Any:
    accepts_text = any(unwrapped(member) in (str, Any) for member in members)
    if not text and type(None) in members and not accepts_text:
        return None
    for member in sorted(members, key=lambda member: is_list(unwrapped(member))):  # any text can be a list of one
        if member is type(None) or unwrapped(member) is str:
            continue
        if not isinstance(value := as_json(text, member), str):
            return value
    return text


def _as_member(text: str, values: Sequence[Any]) -> Any:
    if text in values:
        return text
    for value in values:
        if not isinstance(value, str) and as_json(text, type(value)) == value:
            return value
    return text


def _finite(plain: str) -> float | str:
    number = float(plain)
    return number if math.isfinite(number) else plain  # JSON has no infinity, which 1e999 would be


def _parsed(text: str, opening: str) -> Any:
    if not text.lstrip().startswith(opening):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def texts_converted(raw: object, field_type: FieldTypes) -> object:
    """Give *raw* with JSON in place of every ``Text`` that is a field, or an item of one, as *field_type* asks for."""
    if isinstance(raw, dict):
        return {str(name): _value_converted(value, field_type(name)) for name, value in raw.items()}
    return raw


def _value_converted(value: object, declared: Any) -> object:
    if isinstance(value, Text):
        return as_json(value, declared)
    if isinstance(value, list) and any(isinstance(item, Text) for item in value):
        # A key that was repeated. Where no list is declared, the validation says so.
        of_item = item_type(list_among(declared))
        return [as_json(item, of_item) if isinstance(item, Text) else item for item in value]
    return value
