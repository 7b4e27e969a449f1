"""The fields of a class as they stand in JSON: their names, their types, and whether they must be there."""

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
"""What a type is written for: the two differ, since a field with a default may be left out of an input."""


@final
@attrs.frozen
class Field:
    """One field of a class, as it stands in JSON."""

    name: str
    type: Any
    required: bool


def fields_of(declared: Any, mode: Mode) -> list[Field]:
    """List the fields of an attrs class, a dataclass, a TypedDict, a NamedTuple or a struct of msgspec."""
    base = typing.get_origin(declared) or declared
    if is_msgspec(declared):
        return list(_of_struct(declared, base, mode))
    hints = hints_of(declared)
    if is_typeddict(base):
        fields = [Field(name, hint, _is_in(base, name, hint)) for name, hint in hints.items()]
    elif is_namedtuple(base):
        return [Field(name, hints.get(name, Any), True) for name in base._fields]
    else:
        fields = [
            Field(name, hints.get(name, Any), mode == "chunk" or not has_default)
            for name, has_default in _constructor_fields(base)
        ]
    return [field for field in map(_overridden, fields) if field is not None]


def _constructor_fields(base: Any) -> Iterator[tuple[str, bool]]:
    """The fields that cattrs reads and writes, those of the constructor, and whether each has a default."""
    if attrs.has(base):
        yield from ((field.name, field.default is not attrs.NOTHING) for field in attrs.fields(base) if field.init)
        return
    missing = dataclasses.MISSING
    for field in dataclasses.fields(base):
        if field.init:
            yield field.name, field.default is not missing or field.default_factory is not missing


def _is_in(base: Any, name: str, hint: Any) -> bool:
    said = typing.get_origin(hint)
    if said in (typing.Required, typing.NotRequired):
        return said is typing.Required  # Python does not see either in an annotation that is text
    return name in base.__required_keys__


def _of_struct(declared: Any, base: Any, mode: Mode) -> Iterator[Field]:
    import msgspec

    always = mode == "chunk" and not base.__struct_config__.omit_defaults
    for field in msgspec.structs.fields(declared):
        may_be_unset = msgspec.UnsetType in typing.get_args(field.type)
        yield Field(field.encode_name, field.type, field.required or (always and not may_be_unset))


def _overridden(field: Field) -> Field | None:
    """The field as cattrs names it, where its annotation says so; None where it leaves it out."""
    for said in getattr(field.type, "__metadata__", ()):
        if isinstance(said, AttributeOverride):
            if said.omit:
                return None
            return attrs.evolve(field, name=said.rename or field.name)
    return field


def hints_of(declared: Any) -> dict[str, Any]:
    """The annotations of a class, with the arguments of generic classes in place of their type variables."""
    base = typing.get_origin(declared) or declared
    arguments = _arguments(base, typing.get_args(declared))
    owners = list(arguments)
    if is_typeddict(base):
        owners.reverse()  # one that inherits has the annotations of those it inherits from, too
    hints = _hints(base)
    for name, hint in hints.items():
        owner = next((owner for owner in owners if name in inspect.get_annotations(owner)), base)
        hints[name] = filled_in(hint, arguments[owner])
    return hints


def _arguments(base: Any, given: tuple[Any, ...]) -> dict[Any, dict[Any, Any]]:
    """Of *base* and every class behind it, what stands for its type variables; the nearest first."""
    found: dict[Any, dict[Any, Any]] = {}

    def visit(cls: Any, given: tuple[Any, ...]) -> None:
        if cls in found or cls is object:
            return
        found[cls] = dict(zip(getattr(cls, "__parameters__", ()), given, strict=False))
        for behind in get_original_bases(cls):
            origin = typing.get_origin(behind) or behind
            if isinstance(origin, type) and origin not in (typing.Generic, typing.Protocol):
                visit(origin, tuple(filled_in(argument, found[cls]) for argument in typing.get_args(behind)))

    visit(base, given)
    return found


def filled_in(hint: Any, arguments: dict[Any, Any]) -> Any:
    """Put *arguments* in place of the type variables of *hint*; one that has none is what it is bound to."""
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint.__bound__ or Any)
    if variables := getattr(hint, "__parameters__", ()):
        return hint[tuple(filled_in(variable, arguments) for variable in variables)]
    return hint


def resolved(hint: Any, module: str) -> Any:
    """Give *hint*, which stands in *module*, without any text in it.

    Raises:
        Exception: The text is no type; whatever came of evaluating it.
    """
    probe = type("Probe", (), {"__annotations__": {"hint": hint}, "__module__": module})
    return get_type_hints(probe, include_extras=True)["hint"]


def _hints(base: Any) -> dict[str, Any]:
    try:
        return get_type_hints(base, include_extras=True)
    except Exception:  # a chunk's class need not be resolvable to be sent: what is not, is `Any`
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
