"""Inspect a declared type: its kind, its items, and the types of its fields."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import attrs
from typing_extensions import is_typeddict

Structure = Callable[[Any], Any]
"""Converts a raw value to the declared type, or raises ``InvalidInput``."""

FieldTypes = Callable[[str], Any]
"""Returns the declared type of a field by its name in JSON; ``Any`` if the name is not declared."""

_LISTS = (list, tuple, set, frozenset, Sequence, AbstractSet, Iterable)


def unwrapped(declared: Any) -> Any:
    """Return the type inside ``Annotated``, ``Required``, ``NewType`` and type aliases."""
    while True:
        if typing.get_origin(declared) in (typing.Annotated, typing.Required, typing.NotRequired):
            declared = typing.get_args(declared)[0]
        elif isinstance(declared, typing.NewType):
            declared = declared.__supertype__
        elif hasattr(declared, "__value__") and type(declared).__name__ == "TypeAliasType":
            declared = declared.__value__
        else:
            return declared


def is_union(declared: Any) -> bool:
    """Return True if *declared* is a union: ``A | B``, ``Union[A, B]`` or ``Optional[A]``."""
    return typing.get_origin(declared) in (typing.Union, types.UnionType)


def is_class(declared: Any, base: type | tuple[type, ...]) -> bool:
    """Return True if *declared* is a class and a subclass of *base*."""
    return isinstance(declared, type) and issubclass(declared, base)


def is_list(declared: Any) -> bool:
    """Return True if *declared* is structured from a JSON list."""
    base = typing.get_origin(declared) or declared
    return base in _LISTS or (
        is_class(base, (list, tuple, set, frozenset, Sequence, AbstractSet)) and base not in (str, bytes)
    )


def is_known_class(declared: Any) -> bool:
    """Return True if cattrs knows the fields of *declared*: an attrs class, a dataclass or a TypedDict."""
    base = typing.get_origin(declared) or declared
    return isinstance(base, type) and (attrs.has(base) or dataclasses.is_dataclass(base) or is_typeddict(base))


def is_pydantic(declared: Any) -> bool:
    """Return True if pydantic validates *declared*: a model, a pydantic dataclass or a ``TypeAdapter``.

    This does not import pydantic: if the program has not imported it, *declared* cannot be one of its types.
    """
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and (
        is_class(declared, pydantic.BaseModel)
        or isinstance(declared, pydantic.TypeAdapter)
        or (isinstance(declared, type) and hasattr(declared, "__pydantic_validator__"))
    )


def is_msgspec(declared: Any) -> bool:
    """Return True if *declared* is a msgspec struct. This does not import msgspec either."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and is_class(typing.get_origin(declared) or declared, msgspec.Struct)


def is_foreign(declared: Any) -> bool:
    """Return True if another library than cattrs validates *declared*."""
    return is_pydantic(declared) or is_msgspec(declared)


def is_object(declared: Any) -> bool:
    """Return True if *declared* is structured from a JSON object."""
    base = typing.get_origin(declared) or declared
    return is_class(base, Mapping) or is_known_class(base) or is_foreign(base)


def is_namedtuple(declared: Any) -> bool:
    """Return True if *declared* is a named tuple class."""
    return is_class(declared, tuple) and hasattr(declared, "_fields")


def is_choice(declared: Any) -> bool:
    """Return True if *declared* is a union with at least two members other than None.

    With a single member and None, the error of that member already describes what was expected.
    """
    return is_union(declared) and len([m for m in typing.get_args(declared) if m is not type(None)]) > 1


def is_choice_of_values(declared: Any) -> bool:
    """Return True if *declared* lists its values: a literal or an enum."""
    return typing.get_origin(declared) is Literal or is_class(declared, enum.Enum)


def members_of(declared: Any) -> list[tuple[Any, Any]]:
    """Return (JSON value, member) pairs for the members of an enum or a literal."""
    members = declared if is_class(declared, enum.Enum) else typing.get_args(declared)
    return [(member.value if isinstance(member, enum.Enum) else member, member) for member in members]


def list_among(declared: Any) -> Any:
    """Return the member of a union that is a list, or ``Any`` if there is none; return another type as it is."""
    declared = unwrapped(declared)
    if is_union(declared):
        return next((member for member in typing.get_args(declared) if is_list(unwrapped(member))), Any)
    return declared


def item_type(declared: Any) -> Any:
    """Return the type of the items of a list, or of the first item of a tuple."""
    arguments = typing.get_args(unwrapped(declared)) if is_list(unwrapped(declared)) else ()
    return arguments[0] if arguments else Any


def fixed_length(declared: Any) -> int | None:
    """Return the number of items of a tuple type, or None if any number is valid."""
    if typing.get_origin(declared) is not tuple or Ellipsis in typing.get_args(declared):
        return None
    return len(typing.get_args(declared))


def field_types_of(declared: Any) -> FieldTypes:
    """Return the types of the fields of *declared*, if it is a class, a mapping, or a union of classes.

    Raises:
        TypeError: The annotations of *declared* cannot be resolved.
    """
    declared = unwrapped(declared)
    if is_union(declared):
        members = [field_types_of(member) for member in typing.get_args(declared) if is_known_class(member)]
        return lambda name: typing.Union[tuple(of(name) for of in members)] if members else Any  # noqa: UP007
    base = typing.get_origin(declared) or declared
    if is_class(base, Mapping) and not is_typeddict(base):
        value_type = typing.get_args(declared)[1] if typing.get_args(declared) else Any
        return lambda _: value_type
    if not is_known_class(base):
        return lambda _: Any
    try:
        hints = typing.get_type_hints(base, include_extras=True)
    except Exception as error:
        raise TypeError(f"cannot resolve the annotations of {named(declared)}: {error}") from error
    parameters = dict(zip(getattr(base, "__parameters__", ()), typing.get_args(declared), strict=False))
    types_of_fields = {name: _filled_in(hint, parameters) for name, hint in hints.items()}
    return lambda name: types_of_fields.get(name, Any)


def _filled_in(hint: Any, parameters: Mapping[Any, Any]) -> Any:
    """Replace the type variables in *hint* by the arguments of the generic class."""
    if isinstance(hint, typing.TypeVar):
        return parameters.get(hint, Any)
    if variables := getattr(hint, "__parameters__", ()):
        return hint[tuple(parameters.get(variable, Any) for variable in variables)]
    return hint


def named(declared: Any) -> str:
    """Return the name of *declared* for an error message."""
    return declared.__qualname__ if inspect.isclass(declared) else repr(declared)
