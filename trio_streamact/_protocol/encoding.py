"""Chunks and endings to the bytes of an event stream.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream", and for the dialect ``"marked"`` the frames of
nuxt-actions' ``defineStreamAction``. JSON never holds a raw line end, so one ``data:`` line carries any chunk.
"""

from __future__ import annotations

import base64
import json
import linecache
import math
import re
import sys
import typing
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, final
from uuid import UUID

import attrs
import orjson
from cattrs.preconf.orjson import make_converter
from typing_extensions import is_typeddict

from ..errors import ActionError

Dialect = Literal["marked", "named"]
DIALECTS: tuple[Dialect, ...] = ("marked", "named")

DONE_KEY = "__actions_done"
ERROR_KEY = "__actions_error"
RESERVED_KEYS = frozenset({DONE_KEY, ERROR_KEY})

HEARTBEAT = b":\n\n"
"""A comment, which every reader drops (9.2.6: "If the line starts with a U+003A COLON character (:)")."""

# Dataclasses go through cattrs like attrs classes do: orjson's own way silently leaves out `_private` fields.
# Times go through Python: of one with 10 to 99 ms, orjson (3.13) leaves out a zero, and so makes it ten times as many.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_PLAIN_TYPES = (dict, list, tuple, str, int, float, bool, type(None))
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")

_RESERVED = f"a chunk may not have the keys {DONE_KEY} and {ERROR_KEY}: they end streams"
_UNSAYABLE = "the chunk cannot be said in JSON"
_CIRCULAR = f"{_UNSAYABLE}: it holds itself, or is nested too deeply"


@final
@attrs.frozen
class OversizedChunkError(ValueError):
    """A chunk, once encoded, is larger than we agreed to hold in memory."""

    size_bytes: int
    limit_bytes: int

    def __str__(self) -> str:
        return f"chunk of {self.size_bytes} bytes; the limit is {self.limit_bytes}"


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
_hooks: dict[type, Hook] = dict.fromkeys(_PLAIN_TYPES)
"""The hooks of types that are there for good. A class that a program makes may come with a request: it keeps its hook
itself, so that both can be collected."""

_HOOK = "_trio_streamact_hook"
_HEAP_TYPE = 1 << 9  # `Py_TPFLAGS_HEAPTYPE`: made while the program runs


def encode_chunk(data: object, limit_bytes: int = sys.maxsize) -> bytes:
    """Encode *data* as the frame of one chunk, the same in every dialect.

    Whatever JSON can say is taken, and attrs classes, dataclasses, pydantic models, msgspec structs, enums, dates,
    UUIDs, sets, ``Decimal`` (as text) and ``bytes`` (as base64), at any depth.

    Raises:
        TypeError: *data* holds something that JSON cannot say.
        ValueError: *data* is an object with a reserved key, which would end the stream.
        OversizedChunkError: The chunk is larger than *limit_bytes*.
    """
    cls = data.__class__
    try:
        hook = _hooks[cls]
    except KeyError:
        try:
            hook = cls.__dict__[_HOOK]
        except KeyError:
            hook = _hook_for(cls)
    if hook is not None:
        try:  # and no function round it: this is done for every chunk
            data = hook(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise _unsayable(error) from error
    if isinstance(data, dict) and not RESERVED_KEYS.isdisjoint(data):
        raise ValueError(_RESERVED)
    try:
        text = orjson.dumps(data, _take_apart, _OPTIONS)
    except TypeError:
        text = _dumps_beyond_orjson(data)
    if len(text) > limit_bytes:
        raise OversizedChunkError(len(text), limit_bytes)
    return b"data: %b\n\n" % text


def encode_json(data: object) -> bytes:
    """Encode *data* in the way of a chunk, as no more than its JSON.

    Raises:
        TypeError: *data* holds something that JSON cannot say.
    """
    within = [data]  # where all that is not plain is met in the same way
    try:
        return orjson.dumps(within, _take_apart, _OPTIONS)[1:-1]
    except TypeError:
        return _dumps_beyond_orjson(within)[1:-1]


_DONE_FRAMES: dict[Dialect, bytes] = {
    "marked": b'data: {"%b":true}\n\n' % DONE_KEY.encode(),
    "named": b"event: done\ndata: {}\n\n",
}


def encode_done(dialect: Dialect) -> bytes:
    """Encode the frame that says the stream is complete."""
    return _DONE_FRAMES[dialect]


def encode_error(error: ActionError, dialect: Dialect) -> bytes:
    """Encode the frame that says the stream has failed, and how."""
    try:
        text = orjson.dumps(error.as_json())
    except TypeError:  # lone surrogates in a message, a status beyond 64 bits
        text = _dumps_beyond_orjson(error.as_json())
    if dialect == "marked":
        return b'data: {"%b":%b}\n\n' % (ERROR_KEY.encode(), text)
    return b"event: error\ndata: %b\n\n" % text


def _hook_of(cls: type) -> Hook:
    return _hooks[cls] if cls in _hooks else cls.__dict__[_HOOK] if _HOOK in cls.__dict__ else _hook_for(cls)


def _hook_for(cls: type) -> Hook:
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
        _hooks[cls] = hook
    else:
        with suppress(TypeError, AttributeError):  # a metaclass that lets nobody in: it is found anew each time
            setattr(cls, _HOOK, hook)
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


def _unsayable(error: Exception) -> TypeError:
    """What to say of an *error* that a hook has raised; a ValueError is one of pydantic's."""
    return TypeError(_CIRCULAR if isinstance(error, RecursionError) else f"{_UNSAYABLE}: {error}")


def _take_apart(value: object) -> object:
    """What orjson asks when it meets a value that it does not know, at any depth."""
    hook = _hook_of(value.__class__)
    try:
        plain = value if hook is None else hook(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _unsayable(error) from error
    if plain is value:
        raise TypeError(f"{_UNSAYABLE}: it has no form for {type(value).__qualname__}")
    return plain


def _dumps_beyond_orjson(data: object) -> bytes:
    """Encode what JSON can say and orjson will not: keys that are numbers, dates or enums, integers beyond 64 bits,
    lone surrogates (escaped, as ``JSON.stringify`` does), more than 254 levels."""
    if isinstance(data, dict) and any(isinstance(key, Enum) and key.value in RESERVED_KEYS for key in data):
        raise ValueError(_RESERVED)
    try:
        return orjson.dumps(data, _take_apart, _OPTIONS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        pass
    try:
        text = json.dumps(_spelt_out(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise TypeError(_CIRCULAR) from error
    except ValueError as error:  # an integer of more digits than Python is willing to write
        raise TypeError(f"{_UNSAYABLE}: {error}") from error
    return _LONE_SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def _spelt_out(value: object) -> object:
    """Say *value* in nothing but the types that ``json`` knows, and in the way that orjson would have."""
    if isinstance(value, dict):
        return {_spelt_key(key): _spelt_out(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_spelt_out(item) for item in value]
    if isinstance(value, Enum):
        return _spelt_out(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, UUID):
        return str(value)
    return _spelt_out(_take_apart(value))


def _spelt_key(key: object) -> object:
    if not isinstance(key, dict | list | tuple) and not isinstance(spelt := _spelt_out(key), dict | list):
        return spelt
    raise TypeError(f"{_UNSAYABLE}: {type(key).__qualname__} cannot be a key")
