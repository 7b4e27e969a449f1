"""How a value of each type is made: hooks for cattrs that take nothing for what it is not."""

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
from .messages import EXPECTED, expected_by, refused
from .texts import as_json

Hook = Callable[[Any, Any], Any]
"""Makes of a raw value, the first argument, the type that is the second."""


def exactly(plain: type) -> Hook:
    """Take a *plain* value as it is, and nothing that Python could convert to one."""
    words = EXPECTED[plain]

    def structure(value: object, declared: Any) -> object:
        if declared is not plain and is_class(declared := unwrapped(declared), plain) and declared is not plain:
            return _of_subclass(declared, value, plain, structure)
        if type(value) is not plain:
            raise refused(words)
        return value

    return structure


def as_float(value: object, declared: Any) -> float:
    """Take any number but no text, and neither true nor false."""
    if declared is not float and is_class(declared := unwrapped(declared), float) and declared is not float:
        made: float = _of_subclass(declared, value, float, as_float)
        return made
    if type(value) is not float and type(value) is not int:
        raise refused(EXPECTED[float])
    return float(value)  # cannot overflow: the parser reads integers beyond 64 bits as floats already


def _of_subclass(declared: Any, value: object, plain: type, structure: Hook) -> Any:
    """Make a *declared*, which is a kind of *plain*: cattrs asks the hook of ``str`` for a ``StrEnum`` too."""
    if is_class(declared, enum.Enum):
        return member_hook(declared)(value, declared)
    return declared(structure(value, plain))


@lru_cache(maxsize=256)  # asked for each value; a program that makes classes as it runs must not fill it
def member_hook(declared: Any) -> Hook:
    """Find the member of an enum or a literal by what stands for it in JSON."""
    # By type and value: True == 1, and JSON's true is not its 1.
    by_value = {(type(value), value): member for value, member in members_of(declared)}
    words = expected_by(declared)

    def structure(value: object, _: Any) -> Any:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):  # TypeError: a list or an object, which no mapping can hold
            raise refused(words) from None

    return structure


READ_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
    Decimal: lambda text: _finite_decimal(Decimal(text)),
    bytes: lambda text: base64.b64decode(text, validate=True),
}
"""What JSON has no type for, and writes as text."""


def from_text(read: Callable[[str], Any], words: str) -> Hook:
    """Have *read* make the value of a text; *words* say what such a text looks like."""

    def structure(value: object, _: Any) -> Any:
        if isinstance(value, str):
            try:
                return read(value)
            except (ValueError, InvalidOperation, binascii.Error):
                pass
        raise refused(words)

    return structure


def _finite_decimal(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError("JSON has no infinity, and no other thing that is no number")
    return number


def object_hook(converter: Any, declared: Any) -> Hook:
    """Have cattrs make a class or a mapping out of an object."""
    # Not the converter's own way to these functions: it would remember what they make in place of our guard.
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
    """A TypedDict like *declared*, with no annotation that is text: Python does not see a ``NotRequired`` in those."""
    base = typing.get_origin(declared) or declared
    members: dict[str, Any] = {}
    field_type = field_types_of(declared)
    for name in base.__annotations__:
        hint = field_type(name)
        said: Any = typing.get_origin(hint)
        if said not in (typing.Required, typing.NotRequired):
            hint = typing.Required[hint] if name in base.__required_keys__ else typing.NotRequired[hint]
        members[name] = hint
    return TypedDict(base.__name__, members)  # type: ignore[operator]  # mypy wants to know the members


def _mapping_hook(converter: Any, declared: Any) -> Hook:
    hook: Hook = make_mapping_structure_fn(declared, converter)
    arguments = typing.get_args(declared)
    if not arguments or unwrapped(arguments[0]) in (str, Any):
        return hook
    # In JSON every key is text, so `{"1": ...}` is all that a mapping by numbers can look like.
    return lambda value, _: hook({as_json(key, arguments[0]): member for key, member in value.items()}, declared)


def namedtuple_hook(converter: Any, declared: Any) -> Hook:
    """Have cattrs make a tuple with named members out of a list."""
    # Not the converter's own way: it knows no annotations that are text.
    hints = typing.get_type_hints(declared, include_extras=True)
    members = types.GenericAlias(tuple, tuple(hints.get(name, Any) for name in declared._fields))
    hook = converter.get_structure_hook(members)
    return lambda value, _: declared(*hook(value, members))


def foreign_hook(declared: Any) -> Hook:
    """Have a model of another library inside of a type of ours made by that library."""
    structure = by_pydantic(declared) if is_pydantic(declared) else by_msgspec(declared)
    return lambda value, _: structure(value)
