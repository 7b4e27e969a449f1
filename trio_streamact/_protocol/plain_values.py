"""Values of any type to the plain values that JSON is made of."""

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

NOT_SERIALIZABLE = "the chunk cannot be said in JSON"
CIRCULAR = f"{NOT_SERIALIZABLE}: it holds itself, or is nested too deeply"


def _is_mapping(cls: Any) -> bool:
    return issubclass(typing.get_origin(cls) or cls, Mapping) and not is_typeddict(cls)


def _mapping_hook(cls: Any, converter: Any) -> Any:
    return converter.gen_unstructure_mapping(cls)


def _make_converter() -> Any:
    # Sets have an order only once they are lists; the rest is what browsers read: base64 has `atob`.
    converter = make_converter(unstruct_collection_overrides={AbstractSet: list})
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    converter.register_unstructure_hook(Decimal, str)
    for moment in (datetime, date, time):
        converter.register_unstructure_hook(moment, moment.isoformat)
    # Not cattrs' own hook for orjson: it makes "Color.RED" of an enum that is a key.
    converter.register_unstructure_hook_factory(_is_mapping, _mapping_hook)
    return converter


Hook = Callable[[Any], Any] | None
"""The function that takes a value of one type apart; None where orjson takes the value as it stands."""

_converter = _make_converter()
hooks: dict[type, Hook] = dict.fromkeys(_PLAIN_TYPES)
"""The hooks of types that are there for good. A class that a program makes may come with a request: it keeps its hook
itself, so that both can be collected."""

HOOK_ATTRIBUTE = "_trio_streamact_hook"
_HEAP_TYPE = 1 << 9  # `Py_TPFLAGS_HEAPTYPE`: made while the program runs


def _hook_of(cls: type) -> Hook:
    return (
        hooks[cls]
        if cls in hooks
        else cls.__dict__[HOOK_ATTRIBUTE]
        if HOOK_ATTRIBUTE in cls.__dict__
        else hook_for(cls)
    )


def hook_for(cls: type) -> Hook:
    """Find, once, the function that makes plain values of a *cls*."""
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
        with suppress(TypeError, AttributeError):  # a metaclass that lets nobody in: it is found anew each time
            setattr(cls, HOOK_ATTRIBUTE, hook)
    return hook


def _by_cattrs(cls: type) -> Hook:
    if not cls.__flags__ & _HEAP_TYPE:
        hook: Hook = _converter.get_unstructure_hook(cls)
        return hook
    # cattrs keeps what it has seen, and the code that it wrote, for good: a copy of the converter goes with the class.
    hook = _converter.copy().get_unstructure_hook(cls)
    for file in [file for file in linecache.cache if file.startswith("<cattrs generated unstructure")]:
        del linecache.cache[file]
    return hook


def _enum_value(member: Enum) -> object:
    """The value of *member*, taken apart too: orjson would do that, but unseen, and it may have reserved keys."""
    hook = _hook_of(member.value.__class__)
    return member.value if hook is None else hook(member.value)


def _pydantic_members(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True)


def not_serializable(error: Exception) -> TypeError:
    """What to say of an *error* that a hook has raised; a ValueError is one of pydantic's."""
    return TypeError(CIRCULAR if isinstance(error, RecursionError) else f"{NOT_SERIALIZABLE}: {error}")


def take_apart(value: object) -> object:
    """What orjson asks when it meets a value that it does not know, at any depth."""
    hook = _hook_of(value.__class__)
    try:
        plain = value if hook is None else hook(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise not_serializable(error) from error
    if plain is value:
        raise TypeError(f"{NOT_SERIALIZABLE}: it has no form for {type(value).__qualname__}")
    return plain
