"""Hooks that structure values strictly: they never convert a value of one JSON type to another."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypedDict
from uuid import UUID

import attrs
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typeddict_structure_fn
from typing_extensions import is_typeddict

from .declared import field_types_of, is_class, is_pydantic, members_of, unwrapped
from .foreign import by_msgspec, by_pydantic
from .messages import EXPECTED, expected_by, invalid_value
from .texts import as_json

Hook = Callable[[Any, Any], Any]
"""Structures a raw value (the first argument) as a type (the second argument)."""


def exactly(plain: type) -> Hook:
    """Return a hook that accepts only values of exactly the type *plain*, and returns them unchanged."""
    expected = EXPECTED[plain]

    def structure(value: object, declared: Any) -> object:
        if declared is not plain and is_class(declared := unwrapped(declared), plain) and declared is not plain:
            return _of_subclass(declared, value, plain, structure)
        if type(value) is not plain:
            raise invalid_value(expected)
        return value

    return structure


def as_float(value: object, declared: Any) -> float:
    """Structure an integer or a float as a float; text, true and false are not valid."""
    if declared is not float and is_class(declared := unwrapped(declared), float) and declared is not float:
        made: float = _of_subclass(declared, value, float, as_float)
        return made
    if type(value) is not float and type(value) is not int:
        raise invalid_value(EXPECTED[float])
    return float(value)  # cannot overflow: the parser already reads integers of more than 64 bits as floats


def _of_subclass(declared: Any, value: object, plain: type, structure: Hook) -> Any:
    """Structure *declared*, a subclass of *plain*: cattrs also calls the hook of ``str`` for a ``StrEnum``."""
    if is_class(declared, enum.Enum):
        return member_hook(declared)(value, declared)
    return declared(structure(value, plain))


@lru_cache(maxsize=256)  # called for each value; bounded, since a program may create classes at run time
def member_hook(declared: Any) -> Hook:
    """Return a hook that finds the member of an enum or a literal by its JSON value."""
    # By type and value: in Python True == 1, but in JSON true is not 1.
    by_value = {(type(value), value): member for value, member in members_of(declared)}
    expected = expected_by(declared)

    def structure(value: object, _: Any) -> Any:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):  # TypeError: a list or an object is not hashable
            raise invalid_value(expected) from None

    return structure


READ_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
    Decimal: lambda text: _finite_decimal(Decimal(text)),
    bytes: lambda text: base64.b64decode(text, validate=True),
}
"""The types that JSON does not have and that are encoded as text."""


def from_text(read: Callable[[str], Any], expected: str) -> Hook:
    """Return a hook that structures a text by calling *read*; *expected* describes a valid text."""

    def structure(value: object, _: Any) -> Any:
        if isinstance(value, str):
            try:
                return read(value)
            except (ValueError, InvalidOperation, binascii.Error):
                pass
        raise invalid_value(expected)

    return structure


def _finite_decimal(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError("the decimal must be finite")
    return number


def object_hook(converter: Any, declared: Any) -> Hook:
    """Return cattrs' hook that structures a JSON object as a class or a mapping."""
    # Not by converter.get_structure_hook: it would store the inner hook in its cache, where our guard belongs.
    base = typing.get_origin(declared) or declared
    hook: Hook
    if is_typeddict(base):
        hook = make_typeddict_structure_fn(_resolved_typeddict(declared), converter)
    elif attrs.has(base):
        attrs.resolve_types(base)
        hook = make_dict_structure_fn(declared, converter)
    elif dataclasses.is_dataclass(base):
        hook = make_dict_structure_fn(declared, converter)
    else:
        hook = _mapping_hook(converter, declared)
    return hook


def _resolved_typeddict(declared: Any) -> Any:
    """Return a copy of *declared* with resolved annotations: Python ignores ``NotRequired`` in string annotations."""
    base = typing.get_origin(declared) or declared
    members: dict[str, Any] = {}
    field_type = field_types_of(declared)
    for name in base.__annotations__:
        hint = field_type(name)
        qualifier: Any = typing.get_origin(hint)
        if qualifier not in (typing.Required, typing.NotRequired):
            hint = typing.Required[hint] if name in base.__required_keys__ else typing.NotRequired[hint]
        members[name] = hint
    return TypedDict(base.__name__, members)  # type: ignore[operator]  # mypy requires literal members


def _mapping_hook(converter: Any, declared: Any) -> Hook:
    hook: Hook = make_mapping_structure_fn(declared, converter)
    arguments = typing.get_args(declared)
    if not arguments or unwrapped(arguments[0]) in (str, Any):
        return hook
    # In JSON every key is text, so a mapping with integer keys arrives as `{"1": ...}`.
    return lambda value, _: hook({as_json(key, arguments[0]): member for key, member in value.items()}, declared)


def namedtuple_hook(converter: Any, declared: Any) -> Hook:
    """Return cattrs' hook that structures a JSON list as a named tuple."""
    # Not cattrs' own hook for named tuples: it does not resolve string annotations.
    hints = typing.get_type_hints(declared, include_extras=True)
    members = types.GenericAlias(tuple, tuple(hints.get(name, Any) for name in declared._fields))
    hook = converter.get_structure_hook(members)
    return lambda value, _: declared(*hook(value, members))


def foreign_hook(declared: Any) -> Hook:
    """Return a hook that lets pydantic or msgspec validate its type inside a type that cattrs structures."""
    structure = by_pydantic(declared) if is_pydantic(declared) else by_msgspec(declared)
    return lambda value, _: structure(value)
