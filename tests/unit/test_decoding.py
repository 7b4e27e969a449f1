"""The bytes of an event stream to its events."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest

from tests.reference import read_event_stream
from tests.vectors import Vector, event_streams
from trio_streamact import Limits
from trio_streamact._protocol.decoding import MAX_RETRY_MS, Event, EventDecoder, OversizedEventError
from trio_streamact._protocol.encoding import encode_chunk

VECTORS = event_streams()


def feed_all(decoder: EventDecoder, parts: Iterable[bytes]) -> list[Event]:
    return [event for part in parts for event in decoder.feed(part)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_the_events_of_a_stream_are_those_of_the_standard(vector: Vector) -> None:
    decoder = EventDecoder()

    assert feed_all(decoder, [vector.data]) == vector.events
    assert decoder.retry_ms == vector.retry_ms
    assert read_event_stream(vector.data) == (vector.events, vector.retry_ms)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_cut_anywhere_changes_nothing(vector: Vector) -> None:
    for place in range(len(vector.data) + 1):
        decoder = EventDecoder()
        assert feed_all(decoder, [vector.data[:place], vector.data[place:]]) == vector.events
        assert decoder.retry_ms == vector.retry_ms


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_bytes_may_come_one_by_one_and_with_nothing_between(vector: Vector) -> None:
    decoder = EventDecoder()
    bytes_and_nothings = [part for byte in vector.data for part in (b"", bytes([byte]), b"")]

    assert feed_all(decoder, bytes_and_nothings) == vector.events
    assert decoder.retry_ms == vector.retry_ms


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r", b"\r\n\r"])
def test_an_event_is_given_with_the_byte_that_ends_it(end: bytes) -> None:
    decoder = EventDecoder()
    *before, last = [bytes([byte]) for byte in b"data: x" + end]
    if end == b"\r\n\r\n":  # the LF behind the second CR belongs to the same line end
        last = before.pop()

    assert feed_all(decoder, before) == []
    assert list(decoder.feed(last)) == [Event("x")]


def test_an_event_is_a_value() -> None:
    assert Event("x") == Event("x", "message", "")
    assert len({Event("x"), Event("x"), Event("y")}) == 2


def test_a_retry_of_any_number_of_digits_is_read() -> None:
    decoder = EventDecoder()

    assert feed_all(decoder, [b"retry: " + b"0" * 5000 + b"25\n"]) == []
    assert decoder.retry_ms == 25
    assert feed_all(decoder, [b"retry: " + b"9" * 5000 + b"\n"]) == []
    assert decoder.retry_ms == MAX_RETRY_MS


# Bounds


LIMIT = 20


@pytest.mark.parametrize(
    "largest",
    [
        b"data: 78901234567890",
        b"data: 78\ndata: 789012",
        b"data\ndata\ndata\ndata\ndata",
        b"data: 789012\nevent: 0",
        b"data: 7890\n: 34567890",
        b": 345678901234567890",
        b"id: 5678901234567890",
        b"\xef\xbb\xbfdata: 78901234567890",
        b"data: x\n\ndata: 78901234567890",
    ],
)
def test_an_event_up_to_the_limit_is_read_and_a_larger_one_refused_wherever_it_is_cut(largest: bytes) -> None:
    fitting, larger = largest + b"\n\n", largest + b"!\n\n"
    for place in range(len(larger)):
        assert feed_all(EventDecoder(LIMIT), [fitting[:place], fitting[place:]]) == read_event_stream(fitting)[0]
        with pytest.raises(OversizedEventError):
            feed_all(EventDecoder(LIMIT), [larger[:place], larger[place:]])


def test_an_oversized_event_is_an_error_that_knows_the_limit() -> None:
    with pytest.raises(OversizedEventError, match="the event is larger than the limit of 20 bytes") as raised:
        feed_all(EventDecoder(LIMIT), [b"data: " + b"x" * LIMIT])

    assert raised.value.limit_bytes == LIMIT
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    "part",
    [b"x" * 1000, b"data: x\n", b"data\r\n", b"data:\r", b": comment" * 20],
    ids=["a line without end", "lines without end", "names", "empty values", "a comment without end"],
)
def test_what_never_ends_is_refused_at_the_limit(part: bytes) -> None:
    decoder = EventDecoder(10_000)
    fed = 0

    def feed_for_ever() -> None:
        nonlocal fed
        while fed < 1_000_000:
            fed += len(part)
            assert list(decoder.feed(part)) == []

    with pytest.raises(OversizedEventError):
        feed_for_ever()
    assert fed <= 20_000


def test_any_number_of_events_and_comments_passes_a_limit_that_each_of_them_keeps() -> None:
    assert len(feed_all(EventDecoder(LIMIT), [b"data: x\nid: 5\n\n:\n\n" * 10_000])) == 10_000


def test_events_before_an_oversized_one_are_given_first() -> None:
    decoder = EventDecoder(LIMIT)
    given = []

    def take() -> None:
        for event in decoder.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * LIMIT + b"\n\ndata: c\n\n"):
            given.append(event)  # noqa: PERF402 - a list display would lose them

    with pytest.raises(OversizedEventError):
        take()
    assert given == [Event("a"), Event("b")]


def test_a_decoder_that_has_overflown_gives_nothing_any_more() -> None:
    decoder = EventDecoder(LIMIT)
    for part in (b": " + b"x" * LIMIT + b"\n", b"\n\n", b"data: x\n\n"):
        with pytest.raises(OversizedEventError):
            list(decoder.feed(part))


def test_the_largest_chunk_that_is_sent_by_default_is_read_by_default() -> None:
    text = "x" * (Limits().chunk_bytes - 2)

    [event] = EventDecoder().feed(encode_chunk(text, Limits().chunk_bytes))
    assert event.data == f'"{text}"'


def test_a_long_line_in_small_parts_is_not_copied_with_every_part() -> None:
    decoder = EventDecoder(4_000_000)
    list(decoder.feed(b"data: " + b"x" * 1_000_000))
    copies = 0
    tracemalloc.start()
    try:
        for _ in range(200):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert list(decoder.feed(b"0123456789")) == []
            copies += tracemalloc.get_traced_memory()[1] - before > 100_000
    finally:
        tracemalloc.stop()

    assert copies <= 2  # when the buffer grows
