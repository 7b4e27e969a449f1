"""What is fuzzed by atheris, by hypothesis too: each parser of bytes from strangers takes any."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import strategies
from tests.fuzz.guided import TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@given(data=st.binary(max_size=200) | strategies.streams() | strategies.json_values().map(lambda v: repr(v).encode()))
@example(data=b'\0\2--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--')
@example(data=b'\x01\0{"id":1,"tags":[{"name":"a"}]}')
@example(data=b"\x0a\x01a=1&b=%41")
def test_any_bytes_are_taken(target: Callable[[bytes], None], data: bytes) -> None:
    target(data)
