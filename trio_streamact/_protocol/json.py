"""Encode and decode JSON exactly, also where orjson is not exact or raises."""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from .decoding import MalformedFrameError, as_text
from .plain_values import CIRCULAR, NOT_SERIALIZABLE, unstructure

# cattrs handles dataclasses, like attrs classes: orjson alone silently omits `_private` fields.
# Python formats times: for 10 to 99 ms, orjson (3.13) omits a zero, which makes the fraction ten times too large.
OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def encode_json(data: object) -> bytes:
    """Return the JSON of *data*, without a frame around it.

    Raises:
        TypeError: *data* contains a value that is not JSON serializable.
    """
    within = [data]  # in a list, orjson calls `unstructure` for the value itself too
    try:
        return orjson.dumps(within, unstructure, OPTIONS)[1:-1]
    except TypeError:
        return encode_slowly(within)[1:-1]


def encode_slowly(data: object) -> bytes:
    """Return the JSON of *data* for values that orjson rejects.

    These are keys that are numbers, dates or enums; integers of more than 64 bits; lone surrogates (escaped, as
    ``JSON.stringify`` does); more than 254 levels.

    Raises:
        TypeError: *data* contains a value that is not JSON serializable.
    """
    try:
        return orjson.dumps(data, unstructure, OPTIONS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        pass
    try:
        text = json.dumps(_to_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise TypeError(CIRCULAR) from error
    except ValueError as error:  # an integer with more digits than Python converts to text
        raise TypeError(f"{NOT_SERIALIZABLE}: {error}") from error
    return _LONE_SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def _to_plain(value: object) -> object:
    """Return *value* in types that ``json`` encodes, so that the result equals the one of orjson."""
    if isinstance(value, dict):
        return {_to_plain_key(key): _to_plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, Enum):
        return _to_plain(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, UUID):
        return str(value)
    return _to_plain(unstructure(value))


def _to_plain_key(key: object) -> object:
    if not isinstance(key, dict | list | tuple) and not isinstance(plain := _to_plain(key), dict | list):
        return plain
    raise TypeError(f"{NOT_SERIALIZABLE}: unsupported key type {type(key).__qualname__}")


_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_NINETEEN_DIGITS = b"0" * 19
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_SHORT_BYTES = 32


def read_json(data: bytes) -> Any:
    """Decode *data* as Python's ``json`` does, integers of any size exactly, but without NaN and infinities.

    Raises:
        MalformedFrameError: *data* is not valid JSON.
    """
    return _read_slowly(data) if may_hold_long_number(data) else read_json_of_short_numbers(data)


def may_hold_long_number(data: bytes) -> bool:
    """Return True if *data* contains 19 digits in a row: such a number may need more than 64 bits."""
    if len(data) < _SHORT_BYTES:
        return _LONG_NUMBER.search(data) is not None
    return _NINETEEN_DIGITS in data.translate(_DIGITS_TO_ZEROS)  # for long data ten times as fast as the regex


def read_json_of_short_numbers(data: bytes) -> Any:
    """Like ``read_json``, for *data* without long numbers (see ``may_hold_long_number``)."""
    try:
        return orjson.loads(data)  # converts long integers to inexact floats
    except orjson.JSONDecodeError:
        return _read_slowly(data)  # orjson also rejects valid JSON: lone surrogates, huge numbers, over 1024 levels


def _read_slowly(data: bytes) -> Any:
    try:
        return _decode_json(as_text(data))
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("the data of the event is not valid JSON") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")  # Python's json accepts NaN and Infinity, the JSON standard does not


_decode_json = json.JSONDecoder(parse_constant=_refuse_constant).decode
