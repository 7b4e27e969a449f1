"""What holds for every stream of bytes, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.reference import read_event_stream
from tests.vectors import Vector, event_streams
from trio_streamact._protocol.decoding import Event, EventDecoder, OversizedEventError

VECTORS = event_streams()


@given(data=st.data(), vector=st.sampled_from(VECTORS))
def test_where_the_network_cuts_a_stream_changes_no_event(data: st.DataObject, vector: Vector) -> None:
    decoder = EventDecoder()

    assert [e for part in data.draw(strategies.cuts(vector.data)) for e in decoder.feed(part)] == vector.events
    assert decoder.retry_ms == vector.retry_ms


@given(data=st.data(), stream=strategies.streams() | st.binary())
def test_any_bytes_are_read_as_the_standard_reads_them(data: st.DataObject, stream: bytes) -> None:
    decoder = EventDecoder()

    events = [event for part in data.draw(strategies.cuts(stream)) for event in decoder.feed(part)]

    assert (events, decoder.retry_ms) == read_event_stream(stream)


def encoded(event: Event, line_end: str) -> bytes:
    lines = [f"event: {event.type}", *(f"data: {line}" for line in event.data.split("\n")), "", ""]
    return line_end.join(lines).encode()


@given(data=st.data(), events=st.lists(strategies.events()), line_end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_events_survive_any_cut_and_any_line_end(data: st.DataObject, events: list[Event], line_end: str) -> None:
    decoder = EventDecoder()
    stream = b"".join(encoded(event, line_end) for event in events)

    assert [event for part in data.draw(strategies.cuts(stream)) for event in decoder.feed(part)] == events


@given(data=st.data(), stream=strategies.streams(), limit=st.integers(1, 40))
def test_a_limit_only_ever_takes_the_end_of_a_stream_away_and_the_same_one_wherever_it_is_cut(
    data: st.DataObject, stream: bytes, limit: int
) -> None:
    def read(parts: list[bytes]) -> tuple[list[Event], bool]:
        decoder, events = EventDecoder(limit), []
        try:
            for part in parts:
                for event in decoder.feed(part):
                    events.append(event)  # noqa: PERF402 - a list display would lose them
        except OversizedEventError:
            return events, True
        return events, False

    events, is_cut_off = read([stream])

    assert read(data.draw(strategies.cuts(stream))) == (events, is_cut_off)
    expected, _ = read_event_stream(stream)
    assert expected[: len(events)] == events
    assert is_cut_off or events == expected
