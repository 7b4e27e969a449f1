"""Unstructure values of any type to the plain values that JSON consists of."""

from __future__ import annotations

import base64
import linecache
import sys
import typing
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from cattrs.preconf.orjson import make_converter
from typing_extensions import is_typeddict

_PLAIN_TYPES = (dict, list, tuple, str, int, float, bool, type(None))

NOT_SERIALIZABLE = "value is not JSON serializable"
CIRCULAR = f"{NOT_SERIALIZABLE}: it contains itself, or is nested too deeply"


def _is_mapping(cls: Any) -> bool:
    return issubclass(typing.get_origin(cls) or cls, Mapping) and not is_typeddict(cls)


def _mapping_hook(cls: Any, converter: Any) -> Any:
    return converter.gen_unstructure_mapping(cls)


def _make_converter() -> Any:
    # A set becomes a list, since JSON has no sets. Browsers can decode base64 with `atob`.
    converter = make_converter(unstruct_collection_overrides={AbstractSet: list})
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    converter.register_unstructure_hook(Decimal, str)
    for moment in (datetime, date, time):
        converter.register_unstructure_hook(moment, moment.isoformat)
    # Not the hook of cattrs' orjson converter: it encodes an enum key as "Color.RED".
    converter.register_unstructure_hook_factory(_is_mapping, _mapping_hook)
    return converter


Hook = Callable[[Any], Any] | None
"""The function that unstructures a value of one type; None if orjson encodes the value as it is."""

_converter = _make_converter()
hooks: dict[type, Hook] = dict.fromkeys(_PLAIN_TYPES)
"""The hooks of static types. A class that is created at run time, perhaps once per request, keeps its hook in an
attribute of its own, so that the garbage collector can free both."""

HOOK_ATTRIBUTE = "_trio_streamact_hook"
_HEAP_TYPE = 1 << 9  # `Py_TPFLAGS_HEAPTYPE`: the class was created at run time


def _hook_of(cls: type) -> Hook:
    return (
        hooks[cls]
        if cls in hooks
        else cls.__dict__[HOOK_ATTRIBUTE]
        if HOOK_ATTRIBUTE in cls.__dict__
        else hook_for(cls)
    )


def hook_for(cls: type) -> Hook:
    """Return the hook of *cls*, and store it so that later look-ups are fast."""
    hook: Hook
    if "pydantic" in sys.modules and issubclass(cls, sys.modules["pydantic"].BaseModel):
        hook = _pydantic_members
    elif "msgspec" in sys.modules and issubclass(cls, sys.modules["msgspec"].Struct):
        hook = sys.modules["msgspec"].to_builtins
    elif issubclass(cls, Enum):
        hook = _enum_value
    else:
        hook = _by_cattrs(cls)
    if not cls.__flags__ & _HEAP_TYPE:
        hooks[cls] = hook
    else:
        with suppress(TypeError, AttributeError):  # a metaclass that forbids attributes: no hook is stored
            setattr(cls, HOOK_ATTRIBUTE, hook)
    return hook


def _by_cattrs(cls: type) -> Hook:
    if not cls.__flags__ & _HEAP_TYPE:
        hook: Hook = _converter.get_unstructure_hook(cls)
        return hook
    # A converter never frees the classes that it has handled, nor the code that it generated for them. A copy of the
    # converter is freed with the class. cattrs also adds the source text to linecache; remove it.
    hook = _converter.copy().get_unstructure_hook(cls)
    for file in [file for file in linecache.cache if file.startswith("<cattrs generated unstructure")]:
        del linecache.cache[file]
    return hook


def _enum_value(member: Enum) -> object:
    """Return the unstructured value of *member*.

    orjson would encode it as well, but then `encode_chunk` could not check it for reserved keys.
    """
    hook = _hook_of(member.value.__class__)
    return member.value if hook is None else hook(member.value)


def _pydantic_members(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True)


def not_serializable(error: Exception) -> TypeError:
    """Return the TypeError for an *error* that a hook raised. pydantic's hooks raise ValueError."""
    return TypeError(CIRCULAR if isinstance(error, RecursionError) else f"{NOT_SERIALIZABLE}: {error}")


def unstructure(value: object) -> object:
    """Return *value* as plain values. orjson calls this for each value, at any depth, of a type it does not know.

    Raises:
        TypeError: The type of *value* is not JSON serializable.
    """
    hook = _hook_of(value.__class__)
    try:
        plain = value if hook is None else hook(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise not_serializable(error) from error
    if plain is value:
        raise TypeError(f"{NOT_SERIALIZABLE}: unsupported type {type(value).__qualname__}")
    return plain
