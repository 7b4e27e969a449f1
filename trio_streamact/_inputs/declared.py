"""Questions about a declared type: what kind it is, what it holds, and what its fields are declared to be."""

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
"""Makes of a raw value what was declared, or raises ``InvalidInput``."""

FieldTypes = Callable[[str], Any]
"""Gives the declared type of a field by its name in JSON; ``Any`` where nothing is declared."""

_LISTS = (list, tuple, set, frozenset, Sequence, AbstractSet, Iterable)


def unwrapped(declared: Any) -> Any:
    """Look through ``Annotated``, ``Required``, ``NewType`` and type aliases."""
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
    """Whether *declared* is ``A | B``, however it is written."""
    return typing.get_origin(declared) in (typing.Union, types.UnionType)


def is_class(declared: Any, base: type | tuple[type, ...]) -> bool:
    """Whether *declared* is a class, and of the kind of *base*."""
    return isinstance(declared, type) and issubclass(declared, base)


def is_list(declared: Any) -> bool:
    """Whether *declared* is made of a list in JSON."""
    base = typing.get_origin(declared) or declared
    return base in _LISTS or (
        is_class(base, (list, tuple, set, frozenset, Sequence, AbstractSet)) and base not in (str, bytes)
    )


def is_known_class(declared: Any) -> bool:
    """Whether *declared* is a class whose fields cattrs knows: attrs', a dataclass or a TypedDict."""
    base = typing.get_origin(declared) or declared
    return isinstance(base, type) and (attrs.has(base) or dataclasses.is_dataclass(base) or is_typeddict(base))


def is_pydantic(declared: Any) -> bool:
    """Whether *declared* is of pydantic, which must be there for that: it is never imported to ask."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and (
        is_class(declared, pydantic.BaseModel)
        or isinstance(declared, pydantic.TypeAdapter)
        or (isinstance(declared, type) and hasattr(declared, "__pydantic_validator__"))
    )


def is_msgspec(declared: Any) -> bool:
    """Whether *declared* is a struct of msgspec; the same."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and is_class(typing.get_origin(declared) or declared, msgspec.Struct)


def is_foreign(declared: Any) -> bool:
    """Whether another library has to make *declared*."""
    return is_pydantic(declared) or is_msgspec(declared)


def is_object(declared: Any) -> bool:
    """Whether *declared* is made of an object in JSON."""
    base = typing.get_origin(declared) or declared
    return is_class(base, Mapping) or is_known_class(base) or is_foreign(base)


def is_namedtuple(declared: Any) -> bool:
    """Whether *declared* is a class of tuples with named members."""
    return is_class(declared, tuple) and hasattr(declared, "_fields")


def is_choice(declared: Any) -> bool:
    """Whether *declared* is a union of more than one thing and null: those say well enough what they expected."""
    return is_union(declared) and len([m for m in typing.get_args(declared) if m is not type(None)]) > 1


def is_choice_of_values(declared: Any) -> bool:
    """Whether *declared* lists the very values that it takes: a literal or an enum."""
    return typing.get_origin(declared) is Literal or is_class(declared, enum.Enum)


def members_of(declared: Any) -> list[tuple[Any, Any]]:
    """What stands in JSON for each member of an enum or a literal, and that member."""
    members = declared if is_class(declared, enum.Enum) else typing.get_args(declared)
    return [(member.value if isinstance(member, enum.Enum) else member, member) for member in members]


def list_among(declared: Any) -> Any:
    """Give the member of a union that is a list, or ``Any``; what is no union is given as it is."""
    declared = unwrapped(declared)
    if is_union(declared):
        return next((member for member in typing.get_args(declared) if is_list(unwrapped(member))), Any)
    return declared


def item_type(declared: Any) -> Any:
    """Give the type of a list's items; of a tuple's, that of the first."""
    arguments = typing.get_args(unwrapped(declared)) if is_list(unwrapped(declared)) else ()
    return arguments[0] if arguments else Any


def fixed_length(declared: Any) -> int | None:
    """How many items a tuple must have, or None where any number will do."""
    if typing.get_origin(declared) is not tuple or Ellipsis in typing.get_args(declared):
        return None
    return len(typing.get_args(declared))


def field_types_of(declared: Any) -> FieldTypes:
    """What *declared* says of its fields, if it is a class, a mapping, or a union of classes.

    Raises:
        TypeError: Its annotations cannot be resolved.
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
    """Put the arguments of a generic class in place of its type variables."""
    if isinstance(hint, typing.TypeVar):
        return parameters.get(hint, Any)
    if variables := getattr(hint, "__parameters__", ()):
        return hint[tuple(parameters.get(variable, Any) for variable in variables)]
    return hint


def named(declared: Any) -> str:
    """Give *declared* as it is called in an error for its author."""
    return declared.__qualname__ if inspect.isclass(declared) else repr(declared)
