"""What holds for every query and form: it is read as Python's own functions read it, in less memory."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_streamact import ActionError
from trio_streamact._actions.request_input import MAX_PAIRS, _gathered, _pairs, unescaped

MARKS = [
    b"%",
    b"%4",
    b"%41",
    b"%C3",
    b"%A9",
    b"%1B",
    b"%00",
    b"+",
    b"&",
    b"=",
    b";",
    b"a",
    b"\xc3\xa9",
    b"\xff",
    b"%zz",
]
FORMS = st.lists(st.sampled_from(MARKS) | st.binary(max_size=2), max_size=20).map(b"".join)
ENCODINGS = ["utf-8", "latin-1", "utf-16", "shift-jis", "iso-2022-jp"]


def by_python(encoded: bytes, encoding: str) -> Any:
    try:
        text = encoded.decode()
        pairs = parse_qsl(text, True, encoding=encoding, errors="strict", max_num_fields=MAX_PAIRS)
    except ValueError:
        return "refused"
    return _gathered(pairs)


def by_us(encoded: bytes, encoding: str) -> Any:
    try:
        return _pairs(encoded, encoding, "refused")
    except ActionError as error:
        return error.message


@given(encoded=FORMS, encoding=st.sampled_from(ENCODINGS))
def test_any_form_is_read_as_python_reads_it(encoded: bytes, encoding: str) -> None:
    assert by_us(encoded, encoding) == by_python(encoded, encoding)


@pytest.mark.parametrize("count", [MAX_PAIRS, MAX_PAIRS + 1])
def test_as_many_names_are_read_as_python_would(count: int) -> None:
    encoded = b"&".join([b"a=b"] * count)
    assert by_us(encoded, "utf-8") == by_python(encoded, "utf-8")


@given(encoded=FORMS, piece_bytes=st.integers(3, 10))
def test_no_escape_is_cut(encoded: bytes, piece_bytes: int) -> None:
    assert unescaped(encoded, piece_bytes) == unquote_to_bytes(encoded)
