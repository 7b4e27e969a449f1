"""Any value of a kind, for the tests of what holds for every value."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from trio_streamact._inputs import UntypedText
from trio_streamact._protocol.decoding import Event
from trio_streamact._protocol.encoding import RESERVED_KEYS

WIDEST_INTEGER = 2**63 - 1


def json_values(
    texts: st.SearchStrategy[str] | None = None, integers: st.SearchStrategy[int] | None = None
) -> st.SearchStrategy[Any]:
    """What JSON can say, and comes back equal: no NaN, no infinity."""
    texts = st.text() if texts is None else texts
    integers = st.integers() if integers is None else integers
    scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | texts
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
    )


def texts() -> st.SearchStrategy[str]:
    """Any text, and often one that looks like a piece of an event stream."""
    forged = st.sampled_from(
        ["\n", "\r", "\r\n", "\n\n", "data: {}", "event: done", ":", "id: 7", "\ufeff", "\u2028", "\0"]
    )
    return st.text() | st.lists(forged | st.text(max_size=3), max_size=6).map("".join)


def chunks() -> st.SearchStrategy[Any]:
    """What a handler may send."""
    huge = st.integers() | st.integers(-(10**40), 10**40)
    return json_values(texts(), huge).filter(
        lambda value: not isinstance(value, dict) or not RESERVED_KEYS & set(value)
    )


def parsed_json() -> st.SearchStrategy[Any]:
    """What the body of a request can hold once it is parsed: integers beyond 64 bits are floats by then."""
    return json_values(integers=st.integers(-WIDEST_INTEGER, WIDEST_INTEGER))


def queries(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """What a query or a form can hold; most of the names are among *names*, and many values are nearly right."""
    likely = ["", "0", "1", "-7", "1.5", "1e999", "9" * 25, "true", "off", "[1]", '["a"]', "{}", '{"a":1}', "[", "nan"]
    values = (st.sampled_from(likely) | st.text(max_size=8)).map(UntypedText)
    keys = st.sampled_from(names) | st.text(max_size=4)
    return st.dictionaries(keys, values | st.lists(values, min_size=2, max_size=3), max_size=6)


def lines() -> st.SearchStrategy[str]:
    """Text without a line end, as one ``data`` field carries it."""
    return st.text().map(lambda text: text.replace("\r", "").replace("\n", ""))


def events() -> st.SearchStrategy[Event]:
    """What a stream can dispatch."""
    types = lines().map(lambda line: line or "message")
    return st.builds(Event, st.lists(lines(), min_size=1, max_size=3).map("\n".join), types)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """*data* in parts, cut anywhere; some of the parts are empty."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Bytes that look much like an event stream, but for what is wrong with them."""
    fields = [b"data", b"data:", b"data: x", b"event:", b"event: e", b"id", b"id: 1", b"id: a\0b", b"retry: 10", b": c"]
    marks = [b" ", b":", b"\n", b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xff", b"\xe2\x82", b"\xac"]
    pieces = st.sampled_from(fields) | st.sampled_from(marks) | st.binary(max_size=3)
    return b"".join(draw(st.lists(pieces, max_size=25)))
