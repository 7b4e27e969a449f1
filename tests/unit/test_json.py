"""The data of events to JSON values, exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from trio_streamact._protocol.decoding import MalformedFrameError
from trio_streamact._protocol.json import (
    may_hold_long_number,
    read_json,
    read_json_of_short_numbers,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down: 1 is not 1.0 and not true, and 0.0 is not -0.0."""
    return repr(one) == repr(other)


@given(value=strategies.json_values(strategies.texts(), st.integers() | st.integers(-(10**40), 10**40)))
def test_any_value_is_read_as_python_s_json_reads_it(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        data = text.encode("utf-8", "replace")
        assert same(read_json(data), json.loads(data))
        if not may_hold_long_number(data):
            assert same(read_json_of_short_numbers(data), json.loads(data))


@given(number=st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_any_number_is_read_as_python_s_json_reads_it(number: str) -> None:
    for text in (number, f'{{"a": [{number}, "{"x" * 40}"]}}'):
        assert same(read_json(text.encode()), json.loads(text))


@given(data=st.binary() | st.text().map(str.encode))
def test_whatever_is_no_json_is_refused(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        expected = json.loads(text)
        json.dumps(expected, allow_nan=False)
    except ValueError:
        with pytest.raises(MalformedFrameError):
            read_json(data)
    else:
        assert same(read_json(data), expected)


@pytest.mark.parametrize("digits", [18, 19, 20, 40, 200])
@pytest.mark.parametrize("before", ["", "x" * 100])
def test_a_long_number_is_found_in_short_data_and_in_long(digits: int, before: str) -> None:
    data = f'["{before}",{"9" * digits}]'.encode()

    assert may_hold_long_number(data) is (digits >= 19)
    assert read_json(data) == [before, 10**digits - 1]


@pytest.mark.parametrize("levels", [1000, 1024, 1025, 1500])
def test_data_of_many_levels_is_read_as_far_as_python_can_and_refused_beyond(levels: int) -> None:
    data = b"[" * levels + b"]" * levels
    try:
        assert read_json(data) == json.loads(data)
    except (MalformedFrameError, RecursionError):
        with pytest.raises(RecursionError):
            json.loads(data)


@pytest.mark.parametrize(
    "data", [b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"", b"nul", b"\xef\xbb\xbf1", b"9" * 5000]
)
def test_what_python_alone_calls_json_and_what_nobody_does_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedFrameError):
        read_json(data)
