"""What holds for every chunk: it comes back as it was sent, and can forge nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.reference import read_event_stream
from trio_streamact import ActionError
from trio_streamact._protocol.decoding import Event, EventDecoder
from trio_streamact._protocol.encoding import DIALECTS, HEARTBEAT, Dialect, encode_chunk, encode_done, encode_error


def read(parts: list[bytes]) -> list[Event]:
    decoder = EventDecoder()
    return [event for part in parts for event in decoder.feed(part)]


class Parts(httpx2.SyncByteStream):
    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts


def read_by_httpx2(parts: list[bytes]) -> list[Event]:
    headers = {"Content-Type": "text/event-stream"}
    response = httpx2.Response(200, headers=headers, stream=Parts(parts), request=httpx2.Request("GET", "http://test"))
    return [Event(event.data, event.event, event.id) for event in httpx2.EventSource(response)]


@given(data=st.data(), chunks=st.lists(strategies.chunks(), max_size=4))
def test_chunks_come_back_equal_through_every_reader_whatever_the_cuts(data: st.DataObject, chunks: list[Any]) -> None:
    stream = b"".join(encode_chunk(chunk) + HEARTBEAT for chunk in chunks)
    parts = data.draw(strategies.cuts(stream))

    for events in (read(parts), read_by_httpx2(parts), read_event_stream(stream)[0]):
        assert [json.loads(event.data) for event in events] == chunks
        assert {(event.type, event.id) for event in events} <= {("message", "")}


@given(chunk=strategies.chunks())
def test_a_chunk_is_one_event_on_one_line_and_never_an_ending(chunk: Any) -> None:
    frame = encode_chunk(chunk)

    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert len(frame[:-2].splitlines()) == 1
    assert len(read_event_stream(frame)[0]) == 1
    assert frame not in [encode_done(dialect) for dialect in DIALECTS]


@given(
    text=strategies.texts(), key=st.sampled_from(["__actions_done", "__actions_error"]), value=strategies.json_values()
)
def test_no_text_of_a_user_ends_a_stream(text: str, key: str, value: Any) -> None:
    for chunk in (
        text,
        {"text": text},
        {text: value},
        [{key: value}],
        {"data": {key: value}},
        json.dumps({key: value}),
    ):
        try:
            frame = encode_chunk(chunk)
        except ValueError:
            assert chunk == {key: value} or text in ("__actions_done", "__actions_error")
            continue
        [event] = read([frame])
        said = json.loads(event.data)
        assert said == chunk
        assert event.type == "message"
        assert not isinstance(said, dict) or not said.keys() & {"__actions_done", "__actions_error"}


@given(
    data=st.data(),
    code=strategies.texts(),
    message=strategies.texts(),
    status_code=st.integers(),
    field_errors=st.dictionaries(strategies.texts(), st.lists(strategies.texts()), max_size=3),
    dialect=st.sampled_from(DIALECTS),
)
def test_an_error_comes_back_equal_and_alone(
    data: st.DataObject,
    code: str,
    message: str,
    status_code: int,
    field_errors: dict[str, list[str]],
    dialect: Dialect,
) -> None:
    error = ActionError(code, message, status_code, field_errors)

    [event] = read(data.draw(strategies.cuts(encode_error(error, dialect))))

    members = json.loads(event.data)
    assert (members if dialect == "named" else members["__actions_error"]) == error.as_json()
    assert event.type == ("error" if dialect == "named" else "message")


@given(text=st.text(st.characters(categories=["Cs", "L", "Cc"])))
def test_lone_surrogates_come_back_equal(text: str) -> None:
    # As JSON has it, a high and a low surrogate beside each other are one character.
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    [event] = read([encode_chunk({"text": text})])

    assert json.loads(event.data)["text"] == expected
