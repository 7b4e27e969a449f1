"""Encode chunks and endings as frames of an event stream.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream"; for the dialect ``"marked"``, the frames of
nuxt-actions' ``defineStreamAction``. JSON never contains a raw line end, so one ``data:`` line is enough for a chunk.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import Literal

import orjson

from ..errors import ActionError, OversizedChunkError
from .json import OPTIONS, encode_slowly
from .plain_values import HOOK_ATTRIBUTE, hook_for, hooks, not_serializable, unstructure

Dialect = Literal["marked", "named"]
"""The form of the ending: that of nuxt-actions, or a named event (``done`` or ``error``)."""
DIALECTS: tuple[Dialect, ...] = ("marked", "named")

DONE_KEY = "__actions_done"
ERROR_KEY = "__actions_error"
RESERVED_KEYS = frozenset({DONE_KEY, ERROR_KEY})

HEARTBEAT = b":\n\n"
"""A comment, which every client ignores (9.2.6: "If the line starts with a U+003A COLON character (:)")."""

_RESERVED = f"invalid chunk: the keys {DONE_KEY} and {ERROR_KEY} are reserved for the ending of a stream"


def encode_chunk(data: object, limit_bytes: int = sys.maxsize) -> bytes:
    """Return the frame of the chunk *data*. It is the same in every dialect.

    *data* may contain, at any depth: JSON values, attrs classes, dataclasses, pydantic models, msgspec structs,
    enums, dates, UUIDs, sets, ``Decimal`` (encoded as text) and ``bytes`` (encoded as base64).

    Raises:
        TypeError: *data* contains a value that is not JSON serializable.
        ValueError: *data* is an object with a reserved key: clients would take it for an ending.
        OversizedChunkError: The encoded chunk is larger than *limit_bytes*.
    """
    cls = data.__class__
    try:
        hook = hooks[cls]
    except KeyError:
        try:
            hook = cls.__dict__[HOOK_ATTRIBUTE]
        except KeyError:
            hook = hook_for(cls)
    if hook is not None:
        try:  # inline: a function call for every chunk would cost time
            data = hook(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise not_serializable(error) from error
    if isinstance(data, dict) and not RESERVED_KEYS.isdisjoint(data):
        raise ValueError(_RESERVED)
    try:
        text = orjson.dumps(data, unstructure, OPTIONS)
    except TypeError:
        if isinstance(data, dict) and any(isinstance(key, Enum) and key.value in RESERVED_KEYS for key in data):
            raise ValueError(_RESERVED) from None
        text = encode_slowly(data)
    if len(text) > limit_bytes:
        raise OversizedChunkError(len(text), limit_bytes)
    return b"data: %b\n\n" % text


_DONE_FRAMES: dict[Dialect, bytes] = {
    "marked": b'data: {"%b":true}\n\n' % DONE_KEY.encode(),
    "named": b"event: done\ndata: {}\n\n",
}


def encode_done(dialect: Dialect) -> bytes:
    """Return the frame that ends a complete stream."""
    return _DONE_FRAMES[dialect]


def encode_error(error: ActionError, dialect: Dialect) -> bytes:
    """Return the frame that ends a failed stream with *error*."""
    try:
        text = orjson.dumps(error.as_json())
    except TypeError:  # a lone surrogate in the message, or a status of more than 64 bits
        text = encode_slowly(error.as_json())
    if dialect == "marked":
        return b'data: {"%b":%b}\n\n' % (ERROR_KEY.encode(), text)
    return b"event: error\ndata: %b\n\n" % text
