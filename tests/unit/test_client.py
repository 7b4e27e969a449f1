"""The parts of the Trio client that need no network: bytes to chunks, inputs to requests, and the types of it all."""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict, assert_type, cast
from uuid import UUID

import attrs
import httpx2
import msgspec
import pydantic
import pytest

from tests.apps import Prompt, Token
from tests.ids import shown
from tests.vectors import Run, runs
from trio_streamact import InvalidInput, Stream, define_stream_action
from trio_streamact._client.chunks import ChunkReader, structure_of
from trio_streamact._client.errors import http_error
from trio_streamact._client.options import MAX_EVENT_BYTES
from trio_streamact._client.sending import request_data
from trio_streamact._protocol.decoding import EventDecoder
from trio_streamact._protocol.encoding import encode_chunk, encode_done, encode_error
from trio_streamact._protocol.messages import Done
from trio_streamact.client import (
    ActionError,
    ChunkStream,
    StreamActionReference,
    StreamActionRunner,
    open_stream_action,
    use_stream_action,
)

RUNS = runs()

# Bytes to chunks


def read(parts: list[bytes], chunk: Any = Any, max_event_bytes: int = MAX_EVENT_BYTES) -> tuple[list[Any], Any]:
    """Give the chunks in *parts*, and how they end."""
    reader: ChunkReader[Any] = ChunkReader(structure_of(chunk), EventDecoder(max_event_bytes))
    chunks = [chunk for part in parts if reader.ending is None for chunk in reader.feed(part)]
    return chunks, reader.ending


def matches(run: Run, chunks: list[Any], ending: Done | ActionError | None) -> bool:
    expected = (run.error or {}).get("code") if run.status == "error" else "done"
    found = "done" if isinstance(ending, Done) else ending.code if ending is not None else "STREAM_INCOMPLETE"
    return (chunks, found) == (run.chunks, expected)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_where_the_bytes_are_cut_changes_no_chunk_and_no_ending(run: Run) -> None:
    for place in range(len(run.data) + 1):
        parts = [run.data[:place], run.data[place:]]
        assert matches(run, *read(parts, max_event_bytes=run.max_event_bytes or MAX_EVENT_BYTES)), place


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_bytes_may_come_one_by_one(run: Run) -> None:
    parts = [bytes([byte]) for byte in run.data]
    assert matches(run, *read(parts, max_event_bytes=run.max_event_bytes or MAX_EVENT_BYTES))


@pytest.mark.parametrize("place", range(60))
def test_an_integer_is_exact_wherever_it_is_cut(place: int) -> None:
    """The faster of the two readers of JSON is not: it may only see what lies within one part."""
    number = 12345678901234567890123456789
    stream = b"data: 1\n\n" + b"data: %d\n\n" % number + b"data: [%d]\n\n" % number

    assert read([stream[:place], stream[place:]]) == ([1, number, [number]], None)


@pytest.mark.parametrize("status", [-1, 0, 99, 600, 10**30])
def test_a_status_that_http_does_not_have_counts_as_502(status: int) -> None:
    """Over HTTP/2 a server may write any number, and an error frame could not pass it on."""
    assert http_error(status).args[:3] == ("HTTP_ERROR", "HTTP 502", 502)


class Colour(enum.Enum):
    RED = "red"
    DEEP_RED = 2


class Place(NamedTuple):
    line: int
    name: str | None


@attrs.define
class Everything:
    when: datetime
    day: date
    at: time
    id: UUID
    price: Decimal
    raw: bytes
    colour: Colour
    colours: dict[Colour, int]
    place: Place
    either: int | str | None
    kind: Literal["a", 1, True]
    tags: set[str]
    pair: tuple[int, str]
    token: Token
    tokens: list[Token]
    by_number: dict[int, float]
    by_day: dict[date, Token]
    wide: int
    anything: Any
    _private: float = 0.5
    moments: list[datetime] = attrs.field(factory=list)


EVERYTHING = Everything(
    when=datetime(2026, 2, 3, 4, 5, 6, 70, tzinfo=timezone(timedelta(hours=-3))),
    day=date(2026, 2, 3),
    at=time(4, 5, 6, 7000),
    id=UUID(int=5),
    price=Decimal("1.50"),
    raw=b"\0\xff",
    colour=Colour.DEEP_RED,
    colours={Colour.RED: 1, Colour.DEEP_RED: 2},
    place=Place(1, None),
    either="1",
    kind=True,
    tags={"a", "b"},
    pair=(1, "b"),
    token=Token("a"),
    tokens=[Token("b"), Token("\u2028 \ud83d")],
    by_number={1: 0.1, -2: 1e300},
    by_day={date(2026, 2, 3): Token("c")},
    wide=2**70,
    anything={"a": [1, None, 2**64, 0.1]},
    private=1.0,
    moments=[datetime(2026, 2, 3), datetime(2026, 2, 3, tzinfo=UTC)],
)


@dataclass
class AsDataclass:
    when: datetime
    _hidden: list[Token]


class AsTypedDict(TypedDict):
    day: date
    more: NotRequired[Token]


class AsModel(pydantic.BaseModel):
    when: datetime
    colour: Colour
    inner: list[Decimal]


class AsStruct(msgspec.Struct):
    when: datetime
    raw: bytes
    inner: list[UUID]


MOMENT = datetime(2026, 2, 3, 4, 5, 6, 70_000, tzinfo=UTC)

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (Everything, EVERYTHING),
    (AsDataclass, AsDataclass(MOMENT, [Token("a")])),
    (AsTypedDict, {"day": date(2026, 2, 3), "more": Token("a")}),
    (AsTypedDict, {"day": date(2026, 2, 3)}),
    (AsModel, AsModel(when=MOMENT, colour=Colour.RED, inner=[Decimal("1.0")])),
    (AsStruct, AsStruct(MOMENT, b"\xff", [UUID(int=1)])),
    (list[AsModel], [AsModel(when=MOMENT, colour=Colour.RED, inner=[])]),
    (Token | None, None),
    (Token | None, Token("a")),
    (int, 2**200),
    (float, 1),
    (str, "text"),
    (bool, True),
    (datetime, MOMENT),
    (Colour, Colour.RED),
    (bytes, b"\0"),
    (Annotated[int, "of pages"], 1),
    (dict, {"a": 1}),
    (Any, {"a": [1, 2.5, None, True, 2**70]}),
    (object, [1]),
]


@pytest.mark.parametrize(("declared", "chunk"), ROUND_TRIPS, ids=shown)
def test_what_a_handler_sends_is_what_a_client_gets(declared: Any, chunk: Any) -> None:
    [got], ending = read([encode_chunk(chunk)], declared)

    assert ending is None
    assert got == chunk
    assert type(got) is type(chunk) or declared is float


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (Token, b'{"text":1}'),
        (Token, b"{}"),
        (Token, b"null"),
        (Token, b'"text"'),
        (int, b"1.0"),
        (int, b"true"),
        (str, b"1"),
        (float, b'"1"'),
        (float, b"1" * 400),
        (bool, b"1"),
        (date, b'"today"'),
        (datetime, b"0"),
        (Colour, b'"blue"'),
        (Decimal, b'"NaN"'),
        (bytes, b'"?"'),
        (AsModel, b'{"when":1}'),
        (AsStruct, b"[]"),
        (list[int], b'[1,"2"]'),
        (int | str, b"true"),
    ],
)
def test_a_chunk_that_is_not_what_was_declared_ends_the_stream(declared: Any, data: bytes) -> None:
    chunks, ending = read([b"data: " + data + b"\n\n" + encode_done("marked")], declared)

    assert chunks == []
    assert isinstance(ending, ActionError)
    assert (ending.code, ending.status_code) == ("MALFORMED_EVENT", 502)
    assert ending.__cause__ is not None


def test_why_a_chunk_does_not_fit_stands_in_the_cause_and_not_in_the_words() -> None:
    _, ending = read([encode_chunk({"text": 1})], Token)

    assert isinstance(ending, ActionError)
    assert not ending.field_errors
    assert isinstance(ending.__cause__, InvalidInput)
    assert ending.__cause__.__notes__ == ["{'text': ['Expected a string']}"]


def test_code_of_a_declared_type_that_raises_ends_the_stream_and_nothing_more() -> None:
    @attrs.define
    class Odd:
        text: str = attrs.field()

        @text.validator
        def _check(self, *_: object) -> None:
            raise LookupError("secret")

    _, ending = read([encode_chunk({"text": "a"})], Odd)
    assert isinstance(ending, ActionError)
    assert ending.code == "MALFORMED_EVENT"
    assert "secret" not in str(ending)


def test_a_type_that_cannot_be_made_of_json_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="Callable"):
        open_stream_action("http://x", chunk=Callable[[], None])
    with pytest.raises(TypeError, match="Callable"):
        use_stream_action("http://x", chunk=Callable[[], None])
    with pytest.raises(TypeError, match="Callable"):
        use_stream_action(StreamActionReference[Any, Any]("http://x", chunk=Callable[[], None]))


def test_how_a_type_is_made_is_found_out_once() -> None:
    assert structure_of(AsModel) is structure_of(AsModel)


@pytest.mark.parametrize("dialect", ["marked", "named"])
def test_an_error_is_the_server_s_to_the_last_member(dialect: Any) -> None:
    error = ActionError("BUSY", "Come back", 429, {"a.0": ["b", "c"]}, retry_after_s=1.5)
    _, ending = read([encode_error(error, dialect)])

    assert isinstance(ending, ActionError)
    assert ending.as_json() == error.as_json()


# Inputs to requests


@pytest.mark.parametrize(("declared", "value"), ROUND_TRIPS, ids=shown)
def test_an_input_is_encoded_as_a_chunk_is(declared: Any, value: Any) -> None:
    body = request_data("/x", "POST", value).body

    assert body == (b"{}" if value is None else encode_chunk(value).removeprefix(b"data: ").strip())


def test_an_input_that_is_left_out_is_an_empty_object() -> None:
    assert request_data("/x", "POST", None).body == b"{}"
    assert request_data("/x", "GET", None).query == ()
    assert request_data("/x", "GET", None).body is None


def test_a_query_has_text_as_it_is_and_the_rest_as_json() -> None:
    given = {
        "text": "a b&c",
        "none": None,
        "yes": True,
        "no": False,
        "int": 2**70,
        "float": 1.5,
        "list": [1, "a"],
        "object": {"a": None},
        "day": date(2026, 2, 3),
        "colour": Colour.DEEP_RED,
        "broken": "\ud800",
    }
    assert request_data("/x", "GET", given).query == (
        ("text", "a b&c"),
        ("none", ""),
        ("yes", "true"),
        ("no", "false"),
        ("int", str(2**70)),
        ("float", "1.5"),
        ("list", '[1,"a"]'),
        ("object", '{"a":null}'),
        ("day", "2026-02-03"),
        ("colour", "2"),
        ("broken", "\ufffd"),
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_variables_of_the_path_are_filled_and_left_out_of_the_body(method: str) -> None:
    sent = request_data("http://h/{a}/x/{b}.json", method, {"a": "1/2 ?#%é{b}", "b": 3, "c": [2**70, 1.0]})

    assert sent.url == "http://h/1%2F2%20%3F%23%25%C3%A9%7Bb%7D/x/3.json"
    assert sent.body is not None
    assert json.loads(sent.body) == {"c": [2**70, 1.0]}


def test_variables_of_the_path_are_filled_and_left_out_of_the_query() -> None:
    @attrs.define
    class Wish:
        day: date
        count: int

    sent = request_data("/{day}", "GET", Wish(date(2026, 2, 3), 4))
    assert sent.url == "/2026-02-03"
    assert sent.query == (("count", "4"),)


@pytest.mark.parametrize(
    ("url", "method", "input"),
    [
        ("/{a}", "POST", None),
        ("/{a}", "POST", {}),
        ("/{a}", "POST", {"a": None}),
        ("/{a}", "POST", {"a": ""}),
        ("/{a}", "POST", {"a": "."}),
        ("/{a}", "POST", {"a": ".."}),
        ("/{a}", "POST", [1]),
        ("/x", "GET", [1]),
        ("/x", "GET", "text"),
        ("/x", "POST", object()),
        ("/x", "POST", {"a": {1: object()}}),
    ],
)
def test_an_input_that_cannot_be_sent_is_an_error(url: str, method: str, input: Any) -> None:
    with pytest.raises(ActionError) as raised:
        request_data(url, method, input)
    assert (raised.value.code, raised.value.status_code) == ("INVALID_INPUT", 400)


# Types, which mypy checks: none of these functions needs to run


REFERENCE = StreamActionReference[Prompt, Token]("http://h/x", input=Prompt, chunk=Token)


def runners_are_typed(http: httpx2.AsyncClient) -> None:
    def shown(token: Token) -> None: ...
    def all_shown(tokens: list[Token]) -> None: ...
    async def shown_later(token: Token) -> None: ...

    runner = use_stream_action(REFERENCE, http=http, on_chunk=shown, on_done=all_shown, on_error=print)
    assert_type(runner, StreamActionRunner[Prompt, Token])
    assert_type(runner.chunks, Sequence[Token])
    assert_type(runner.data, Token | None)
    assert_type(use_stream_action("/x", chunk=Token, on_chunk=shown_later), StreamActionRunner[Any, Token])
    assert_type(use_stream_action("/x", method="GET"), StreamActionRunner[Any, Any])
    assert_type(use_stream_action("/x", chunk=int | None, on_chunk=print), StreamActionRunner[Any, int | None])
    use_stream_action(REFERENCE, on_chunk=str.upper)  # type: ignore[arg-type]  # a chunk is no text
    use_stream_action(REFERENCE, method="GET")  # type: ignore[call-overload]  # a reference has its own


async def streams_are_typed() -> None:
    async with open_stream_action(REFERENCE, Prompt("a"), timeout=1) as stream:
        assert_type(stream, ChunkStream[Token])
        async for chunk in stream:
            assert_type(chunk, Token)
    opened: AbstractAsyncContextManager[AsyncIterator[Token]] = open_stream_action("/x", {"a": 1}, chunk=Token)
    async with opened, open_stream_action("/x", {"a": 1}, method="GET") as anything:
        assert_type(anything, ChunkStream[Any])
    open_stream_action(REFERENCE, Token("a"))  # type: ignore[misc]  # the input is a prompt
    await use_stream_action(REFERENCE).execute(Token("a"))  # type: ignore[arg-type]  # the same


def test_a_view_is_no_address_and_the_error_says_what_is() -> None:
    @define_stream_action
    async def ai_chat(stream: Stream[int]) -> None: ...

    for call in (open_stream_action, use_stream_action):
        with pytest.raises(TypeError, match=r"must be a URL or a StreamActionReference, not <function ai_chat"):
            call(cast("Any", ai_chat))
