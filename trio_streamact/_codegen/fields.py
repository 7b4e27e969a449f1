"""The fields of a class in JSON: their names, their types, and whether they are required."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from typing import Any, Literal, final

import attrs
from cattrs.gen import AttributeOverride
from typing_extensions import get_original_bases, get_type_hints, is_typeddict

from .._inputs.declared import is_msgspec, is_namedtuple

Mode = Literal["input", "chunk"]
"""The use that a type is described for: a field with a default is optional in an input, but required in a chunk."""


@final
@attrs.frozen
class Field:
    """One field of a class in JSON."""

    name: str
    type: Any
    required: bool


def fields_of(declared: Any, mode: Mode) -> list[Field]:
    """Return the fields of an attrs class, a dataclass, a TypedDict, a NamedTuple or a msgspec struct."""
    base = typing.get_origin(declared) or declared
    if is_msgspec(declared):
        return list(_of_struct(declared, base, mode))
    hints = hints_of(declared)
    if is_typeddict(base):
        fields = [Field(name, hint, _is_required(base, name, hint)) for name, hint in hints.items()]
    elif is_namedtuple(base):
        return [Field(name, hints.get(name, Any), True) for name in base._fields]
    else:
        fields = [
            Field(name, hints.get(name, Any), mode == "chunk" or not has_default)
            for name, has_default in _constructor_fields(base)
        ]
    return [field for field in map(_overridden, fields) if field is not None]


def _constructor_fields(base: Any) -> Iterator[tuple[str, bool]]:
    """Yield (name, has a default) for the parameters of the constructor: the fields that cattrs reads and writes."""
    if attrs.has(base):
        yield from ((field.name, field.default is not attrs.NOTHING) for field in attrs.fields(base) if field.init)
        return
    missing = dataclasses.MISSING
    for field in dataclasses.fields(base):
        if field.init:
            yield field.name, field.default is not missing or field.default_factory is not missing


def _is_required(base: Any, name: str, hint: Any) -> bool:
    qualifier = typing.get_origin(hint)
    if qualifier in (typing.Required, typing.NotRequired):
        return qualifier is typing.Required  # __required_keys__ ignores both in string annotations
    return name in base.__required_keys__


def _of_struct(declared: Any, base: Any, mode: Mode) -> Iterator[Field]:
    import msgspec

    always = mode == "chunk" and not base.__struct_config__.omit_defaults
    for field in msgspec.structs.fields(declared):
        may_be_unset = msgspec.UnsetType in typing.get_args(field.type)
        yield Field(field.encode_name, field.type, field.required or (always and not may_be_unset))


def _overridden(field: Field) -> Field | None:
    """Apply the override of cattrs in the annotation: return *field* renamed, or None if it is omitted."""
    for metadata in getattr(field.type, "__metadata__", ()):
        if isinstance(metadata, AttributeOverride):
            if metadata.omit:
                return None
            return attrs.evolve(field, name=metadata.rename or field.name)
    return field


def hints_of(declared: Any) -> dict[str, Any]:
    """Return the resolved annotations of a class, with type variables replaced by their arguments."""
    base = typing.get_origin(declared) or declared
    arguments = _arguments(base, typing.get_args(declared))
    owners = list(arguments)
    if is_typeddict(base):
        owners.reverse()  # a TypedDict also has the annotations of its bases, so search the bases first
    hints = _hints(base)
    for name, hint in hints.items():
        owner = next((owner for owner in owners if name in inspect.get_annotations(owner)), base)
        hints[name] = filled_in(hint, arguments[owner])
    return hints


def _arguments(base: Any, given: tuple[Any, ...]) -> dict[Any, dict[Any, Any]]:
    """Return, for *base* and each of its bases, the arguments of its type variables; the nearest class first."""
    found: dict[Any, dict[Any, Any]] = {}

    def visit(cls: Any, given: tuple[Any, ...]) -> None:
        if cls in found or cls is object:
            return
        found[cls] = dict(zip(getattr(cls, "__parameters__", ()), given, strict=False))
        for inherited in get_original_bases(cls):
            origin = typing.get_origin(inherited) or inherited
            if isinstance(origin, type) and origin not in (typing.Generic, typing.Protocol):
                visit(origin, tuple(filled_in(argument, found[cls]) for argument in typing.get_args(inherited)))

    visit(base, given)
    return found


def filled_in(hint: Any, arguments: dict[Any, Any]) -> Any:
    """Replace the type variables of *hint* by *arguments*; one without an argument becomes its bound, or ``Any``."""
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint.__bound__ or Any)
    if variables := getattr(hint, "__parameters__", ()):
        return hint[tuple(filled_in(variable, arguments) for variable in variables)]
    return hint


def resolved(hint: Any, module: str) -> Any:
    """Return *hint*, an annotation in *module*, with all string annotations resolved.

    Raises:
        Exception: Evaluating a string raised it.
    """
    probe = type("Probe", (), {"__annotations__": {"hint": hint}, "__module__": module})
    return get_type_hints(probe, include_extras=True)["hint"]


def _hints(base: Any) -> dict[str, Any]:
    try:
        return get_type_hints(base, include_extras=True)
    except Exception:  # a chunk can be sent even if an annotation cannot be resolved: that field is `Any`
        return {
            name: _resolved_or_any(hint, cls.__module__)
            for cls in reversed(base.__mro__)
            for name, hint in inspect.get_annotations(cls).items()
        }


def _resolved_or_any(hint: Any, module: str) -> Any:
    try:
        return resolved(hint, module)
    except Exception:
        return Any
