"""Chunks and endings to the bytes of an event stream.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream", and for the dialect ``"marked"`` the frames of
nuxt-actions' ``defineStreamAction``. JSON never holds a raw line end, so one ``data:`` line carries any chunk.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import Literal

import orjson

from ..errors import ActionError, OversizedChunkError
from .json import OPTIONS, encode_slowly
from .plain_values import HOOK_ATTRIBUTE, hook_for, hooks, not_serializable, take_apart

Dialect = Literal["marked", "named"]
"""How streams end: with the frames of nuxt-actions, or with events that are named ``done`` and ``error``."""
DIALECTS: tuple[Dialect, ...] = ("marked", "named")

DONE_KEY = "__actions_done"
ERROR_KEY = "__actions_error"
RESERVED_KEYS = frozenset({DONE_KEY, ERROR_KEY})

HEARTBEAT = b":\n\n"
"""A comment, which every reader drops (9.2.6: "If the line starts with a U+003A COLON character (:)")."""

_RESERVED = f"a chunk may not have the keys {DONE_KEY} and {ERROR_KEY}: they end streams"


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
        hook = hooks[cls]
    except KeyError:
        try:
            hook = cls.__dict__[HOOK_ATTRIBUTE]
        except KeyError:
            hook = hook_for(cls)
    if hook is not None:
        try:  # and no function round it: this is done for every chunk
            data = hook(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise not_serializable(error) from error
    if isinstance(data, dict) and not RESERVED_KEYS.isdisjoint(data):
        raise ValueError(_RESERVED)
    try:
        text = orjson.dumps(data, take_apart, OPTIONS)
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
    """Encode the frame that says the stream is complete."""
    return _DONE_FRAMES[dialect]


def encode_error(error: ActionError, dialect: Dialect) -> bytes:
    """Encode the frame that says the stream has failed, and how."""
    try:
        text = orjson.dumps(error.as_json())
    except TypeError:  # lone surrogates in a message, a status beyond 64 bits
        text = encode_slowly(error.as_json())
    if dialect == "marked":
        return b'data: {"%b":%b}\n\n' % (ERROR_KEY.encode(), text)
    return b"event: error\ndata: %b\n\n" % text
