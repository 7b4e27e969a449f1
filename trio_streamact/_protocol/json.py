"""JSON text from values, and values from JSON text, where orjson alone is not exact or refuses."""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from .decoding import MalformedFrameError, as_text
from .plain_values import CIRCULAR, NOT_SERIALIZABLE, take_apart

# Dataclasses go through cattrs like attrs classes do: orjson's own way silently leaves out `_private` fields.
# Times go through Python: of one with 10 to 99 ms, orjson (3.13) leaves out a zero, and so makes it ten times as many.
OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def encode_json(data: object) -> bytes:
    """Encode *data* in the way of a chunk, as no more than its JSON.

    Raises:
        TypeError: *data* holds something that JSON cannot say.
    """
    within = [data]  # where all that is not plain is met in the same way
    try:
        return orjson.dumps(within, take_apart, OPTIONS)[1:-1]
    except TypeError:
        return encode_slowly(within)[1:-1]


def encode_slowly(data: object) -> bytes:
    """Encode what JSON can say and orjson will not: keys that are numbers, dates or enums, integers beyond 64 bits,
    lone surrogates (escaped, as ``JSON.stringify`` does), more than 254 levels."""
    try:
        return orjson.dumps(data, take_apart, OPTIONS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        pass
    try:
        text = json.dumps(_spelt_out(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise TypeError(CIRCULAR) from error
    except ValueError as error:  # an integer of more digits than Python is willing to write
        raise TypeError(f"{NOT_SERIALIZABLE}: {error}") from error
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
    return _spelt_out(take_apart(value))


def _spelt_key(key: object) -> object:
    if not isinstance(key, dict | list | tuple) and not isinstance(spelt := _spelt_out(key), dict | list):
        return spelt
    raise TypeError(f"{NOT_SERIALIZABLE}: {type(key).__qualname__} cannot be a key")


# JSON text to values


_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_NINETEEN_DIGITS = b"0" * 19
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_SHORT_BYTES = 32


def read_json(data: bytes) -> Any:
    """Read *data* as Python's ``json`` does, to the last digit of any integer, but for NaN and infinities.

    Raises:
        MalformedFrameError: It is no JSON.
    """
    return _read_slowly(data) if may_hold_long_number(data) else read_json_of_short_numbers(data)


def may_hold_long_number(data: bytes) -> bool:
    """Whether so many digits stand together anywhere in *data* that they may need more than 64 bits."""
    if len(data) < _SHORT_BYTES:
        return _LONG_NUMBER.search(data) is not None
    return _NINETEEN_DIGITS in data.translate(_DIGITS_TO_ZEROS)  # where there is much, ten times as fast


def read_json_of_short_numbers(data: bytes) -> Any:
    """As ``read_json``, for data of which it is known that they hold no long number."""
    try:
        return orjson.loads(data)  # which makes inexact floats of long integers
    except orjson.JSONDecodeError:
        return _read_slowly(data)  # it may be JSON all the same: lone surrogates, huge numbers, more than 1024 levels


def _read_slowly(data: bytes) -> Any:
    try:
        return _decode_json(as_text(data))
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("the data of an event is no JSON") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")  # Python reads NaN and Infinity, and nobody else does


_decode_json = json.JSONDecoder(parse_constant=_refuse_constant).decode
