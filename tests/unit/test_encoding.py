"""The bytes of chunks and endings."""

from __future__ import annotations

import dataclasses
import enum
import gc
import json
import linecache
import math
import weakref
from collections import ChainMap, OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from attrs import define, field

from trio_streamact import ActionError, OversizedChunkError
from trio_streamact._protocol.encoding import DIALECTS, HEARTBEAT, Dialect, encode_chunk, encode_done, encode_error

ERROR = ActionError("NOT_FOUND", "No such chat", 404)
FIELD_ERROR = ActionError("VALIDATION_ERROR", "Input validation failed", 422, {"user.email": ["Field required"]})


@define
class Token:
    text: str


@define
class Account:
    name: str
    _balance: Decimal = Decimal("1.10")
    alias_of: str = field(default="", alias="of")


@define
class Team:
    lead: Account
    members: list[Account] = field(factory=list)
    by_name: dict[str, Account] = field(factory=dict)


@define
class Tally:
    votes: dict[Color, int]


@define
class Node:
    next: Any = None


@dataclasses.dataclass
class Point:
    x: int
    _y: int = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    start: Point
    end: Point


class Song(TypedDict):
    title: str
    by: Account


class Pair(NamedTuple):
    left: int
    right: Account


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Mode(enum.StrEnum):
    ON = "on"


class Corner(enum.Enum):
    TOP = Point(0, 0)


class Model(pydantic.BaseModel):
    at: datetime
    of: str = pydantic.Field(default="x", alias="from")


class Root(pydantic.RootModel[dict[str, int]]):
    pass


class Struct(msgspec.Struct, rename="camel"):
    created_at: datetime
    amount: Decimal = Decimal("0.5")


NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
SOME_ID = UUID("12345678-1234-5678-1234-567812345678")

SENT: list[tuple[object, str]] = [
    (None, "null"),
    (True, "true"),
    (1, "1"),
    (1.5, "1.5"),
    ("a", '"a"'),
    ("\u20ac\U0001f600", '"\u20ac\U0001f600"'),
    ([], "[]"),
    ({}, "{}"),
    ((1, (2,)), "[1,[2]]"),
    (Token("hello"), '{"text":"hello"}'),
    (Account("ann"), '{"name":"ann","_balance":"1.10","alias_of":""}'),
    (
        Team(Account("a"), [Account("b")], {"c": Account("c")}),
        '{"lead":{"name":"a","_balance":"1.10","alias_of":""},"members":[{"name":"b","_balance":"1.10","alias_of":""}],'
        '"by_name":{"c":{"name":"c","_balance":"1.10","alias_of":""}}}',
    ),
    (Tally({Color.RED: 2}), '{"votes":{"red":2}}'),
    (Point(1), '{"x":1,"_y":2}'),
    (Line(Point(1), Point(3, 4)), '{"start":{"x":1,"_y":2},"end":{"x":3,"_y":4}}'),
    (Song(title="x", by=Account("b")), '{"title":"x","by":{"name":"b","_balance":"1.10","alias_of":""}}'),
    (Pair(1, Account("b")), '[1,{"name":"b","_balance":"1.10","alias_of":""}]'),
    (Model.model_validate({"at": NOON, "from": "y"}), '{"at":"2024-02-29T12:00:00Z","from":"y"}'),
    (Root({"a": 1}), '{"a":1}'),
    (Struct(NOON), '{"createdAt":"2024-02-29T12:00:00Z","amount":"0.5"}'),
    (Color.RED, '"red"'),
    (Size.SMALL, "1"),
    (Mode.ON, '"on"'),
    (Corner.TOP, '{"x":0,"_y":0}'),
    (NOON, '"2024-02-29T12:00:00+00:00"'),
    (date(2024, 2, 29), '"2024-02-29"'),
    (time(12, 30), '"12:30:00"'),
    (time(12, 30, 0, 10_000), '"12:30:00.010000"'),
    (time(12, 30, tzinfo=UTC), '"12:30:00+00:00"'),
    (datetime(2024, 2, 29, 12, 30, 0, 10_000), '"2024-02-29T12:30:00.010000"'),
    (SOME_ID, '"12345678-1234-5678-1234-567812345678"'),
    (Decimal("1.10"), '"1.10"'),
    ({7}, "[7]"),
    (frozenset({"a"}), '["a"]'),
    (b"\xff\x00", '"/wA="'),
    (deque([1]), "[1]"),
    (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
    (MappingProxyType({"a": 1}), '{"a":1}'),
    (ChainMap({"a": 1}), '{"a":1}'),
]


def said(data: object) -> str:
    frame = encode_chunk(data)
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    return frame[len(b"data: ") : -2].decode()


def test_a_chunk_is_one_data_line_of_compact_json() -> None:
    assert encode_chunk({"text": "hello"}) == b'data: {"text":"hello"}\n\n'
    assert encode_chunk({"a": [1, None], "b": "\u20ac"}) == b'data: {"a":[1,null],"b":"\xe2\x82\xac"}\n\n'


@pytest.mark.parametrize(("data", "text"), SENT)
def test_a_value_of_any_kind_is_said_in_json(data: object, text: str) -> None:
    assert said(data) == text


@pytest.mark.parametrize(("data", "text"), SENT)
def test_a_value_is_said_the_same_inside_of_others(data: object, text: str) -> None:
    assert said([data]) == f"[{text}]"
    assert said({"a": {"b": data}}) == f'{{"a":{{"b":{text}}}}}'
    assert said(Node([data])) == f'{{"next":[{text}]}}'


@pytest.mark.parametrize(("data", "text"), SENT)
def test_a_value_is_said_the_same_beside_one_that_orjson_cannot_say(data: object, text: str) -> None:
    assert said([data, 2**64, "\ud800", math.nan]) == f'[{text},18446744073709551616,"\\ud800",null]'


@pytest.mark.parametrize("number", [2**53, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**300])
def test_an_integer_keeps_all_its_digits(number: int) -> None:
    assert said(number) == str(number)
    assert said({"n": [number]}) == f'{{"n":[{number}]}}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_null_as_in_javascript(number: float) -> None:
    assert said([number]) == "[null]"
    assert said({"a": number, "b": 2**70}) == f'{{"a":null,"b":{2**70}}}'


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1, "1"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (2**70, str(2**70)),
        (SOME_ID, str(SOME_ID)),
        (date(2024, 2, 29), "2024-02-29"),
        (Color.RED, "red"),
        (Mode.ON, "on"),
        (Size.SMALL, "1"),
        (Decimal("1.10"), "1.10"),
        (b"\xff", "/w=="),
    ],
)
def test_a_key_that_is_no_text_becomes_text(key: object, text: str) -> None:
    assert said({key: 1}) == f'{{"{text}":1}}'
    assert said(Node({key: 1})) == f'{{"next":{{"{text}":1}}}}'
    assert said(MappingProxyType({key: 1})) == f'{{"{text}":1}}'
    assert said({"a": {key: "\ud800"}}) == f'{{"a":{{"{text}":"\\ud800"}}}}'


def test_a_lone_surrogate_is_escaped_as_javascript_does() -> None:
    assert said("a\ud800b") == '"a\\ud800b"'
    assert said({"\udfff": 1}) == '{"\\udfff":1}'
    assert json.loads(said({"\udfff": "\ud83d"})) == {"\udfff": "\ud83d"}


def test_no_text_ends_a_line_of_the_stream() -> None:
    frame = encode_chunk("a\n\nevent: done\r\ndata: {}\r\r\u2028\u2029\x85\x00")

    assert len(frame.splitlines()) == 2
    assert frame.count(b"\n") == 2


def test_more_levels_than_orjson_writes_are_said_all_the_same() -> None:
    data: list[Any] = []
    for _ in range(300):
        data = [data]

    assert said(data) == "[" * 301 + "]" * 301


# Endings


@pytest.mark.parametrize(
    ("dialect", "frame"), [("marked", b'data: {"__actions_done":true}\n\n'), ("named", b"event: done\ndata: {}\n\n")]
)
def test_done_is_said_as_the_dialect_has_it(dialect: Dialect, frame: bytes) -> None:
    assert encode_done(dialect) == frame


@pytest.mark.parametrize(
    ("dialect", "error", "frame"),
    [
        (
            "marked",
            ERROR,
            b'data: {"__actions_error":{"code":"NOT_FOUND","message":"No such chat","statusCode":404}}\n\n',
        ),
        ("named", ERROR, b'event: error\ndata: {"code":"NOT_FOUND","message":"No such chat","statusCode":404}\n\n'),
        (
            "marked",
            FIELD_ERROR,
            b'data: {"__actions_error":{"code":"VALIDATION_ERROR","message":"Input validation failed",'
            b'"statusCode":422,"fieldErrors":{"user.email":["Field required"]}}}\n\n',
        ),
        (
            "named",
            FIELD_ERROR,
            b'event: error\ndata: {"code":"VALIDATION_ERROR","message":"Input validation failed",'
            b'"statusCode":422,"fieldErrors":{"user.email":["Field required"]}}\n\n',
        ),
    ],
)
def test_an_error_is_said_as_the_dialect_has_it(dialect: Dialect, error: ActionError, frame: bytes) -> None:
    assert encode_error(error, dialect) == frame


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_can_always_be_said(dialect: Dialect) -> None:
    error = ActionError("A\n\nB", "\ud800", 2**70, {"\udfff": ["\r"]})
    frame = encode_error(error, dialect)

    assert json.loads(frame.splitlines()[-2].removeprefix(b"data: ")) in (
        error.as_json(),
        {"__actions_error": error.as_json()},
    )
    assert frame.endswith(b"}\n\n")


def test_a_heartbeat_is_a_comment_and_nothing_else() -> None:
    assert HEARTBEAT == b":\n\n"


# Refusals


class Ending(enum.Enum):
    DONE = "__actions_done"
    WHOLE = {"__actions_done": True}  # noqa: RUF012 - a value, not a default


class EndingModel(pydantic.BaseModel):
    done: bool = pydantic.Field(default=True, serialization_alias="__actions_done")


class EndingStruct(msgspec.Struct):
    done: bool = msgspec.field(default=True, name="__actions_done")


ENDINGS: list[object] = [
    {"__actions_done": True},
    {"__actions_error": None, "text": "x"},
    {"text": "\ud800", "__actions_done": 2**70},
    {Ending.DONE: True},
    {1: 1, Ending.DONE: True},
    {Ending.DONE: "\ud800", 2**70: 1},
    Ending.WHOLE,
    OrderedDict(__actions_done=True),
    ChainMap({"__actions_done": True}),
    MappingProxyType({"__actions_error": True}),
    attrs.make_class("EndingAttrs", ["__actions_done"])(True),
    dataclasses.make_dataclass("EndingDataclass", [("__actions_error", bool)])(True),
    EndingModel(),
    Root({"__actions_done": 1}),
    EndingStruct(),
]


@pytest.mark.parametrize("data", ENDINGS, ids=lambda data: type(data).__name__)
def test_a_chunk_that_would_read_as_an_ending_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="invalid chunk: the keys __actions_done and __actions_error are reserved"):
        encode_chunk(data)


@pytest.mark.parametrize("data", ENDINGS, ids=lambda data: type(data).__name__)
def test_below_the_top_any_key_is_free(data: object) -> None:
    assert json.loads(said([data]))[0].keys() & {"__actions_done", "__actions_error"}
    assert "__actions_" in said({"inner": data})


def circular_list() -> object:
    data: list[Any] = []
    data.append([data])
    return data


def circular_dict() -> object:
    data: dict[str, Any] = {}
    data["a"] = {"b": data}
    return data


def circular_attrs() -> object:
    node = Node()
    node.next = Node([node])
    return node


def bottomless() -> object:
    data: list[Any] = []
    for _ in range(100_000):
        data = [data]
    return data


@pytest.mark.parametrize("make", [circular_list, circular_dict, circular_attrs, bottomless])
def test_what_holds_itself_or_has_no_bottom_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="value is not JSON serializable: it contains itself, or is nested too deeply"):
        encode_chunk(make())


class Plain:
    pass


class Anything(pydantic.BaseModel):
    value: Any


@pytest.mark.parametrize(
    "data",
    [
        object(),
        Plain(),
        Plain,
        len,
        1j,
        bytearray(b"x"),
        range(3),
        (item for item in [1]),
        ValueError("x"),
        NOON - NOON,
        {}.keys(),
        Anything(value=Plain()),
        {(1,): 1},
        {frozenset({1}): 1},
        10**5000,
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_json_cannot_say_is_refused_in_clear_words(data: object) -> None:
    for sent in (data, [data], {"a": data}, Node(data)):
        with pytest.raises(TypeError, match="value is not JSON serializable: "):
            encode_chunk(sent)


def test_a_refusal_names_the_type() -> None:
    with pytest.raises(TypeError, match=r"unsupported type Plain$"):
        encode_chunk({"a": [Plain()]})


def test_a_refused_chunk_does_not_spoil_the_next_one() -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            encode_chunk(Plain())
        with pytest.raises(TypeError):
            encode_chunk(circular_attrs())
        assert said(Node(1)) == '{"next":1}'


def test_a_chunk_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert encode_chunk("abc", limit_bytes=5) == b'data: "abc"\n\n'
    with pytest.raises(OversizedChunkError, match="chunk of 6 bytes exceeds the limit of 5 bytes") as raised:
        encode_chunk("abcd", limit_bytes=5)
    assert (raised.value.size_bytes, raised.value.limit_bytes) == (6, 5)
    assert isinstance(raised.value, ValueError)


def test_the_size_of_a_chunk_is_counted_in_bytes() -> None:
    with pytest.raises(OversizedChunkError) as raised:
        encode_chunk("\u20ac", limit_bytes=4)
    assert raised.value.size_bytes == 5
    with pytest.raises(OversizedChunkError):
        encode_chunk("\ud800", limit_bytes=7)


def _attrs_class() -> Any:
    return attrs.make_class("Row", {"x": attrs.field(type=int)})(1)


def _nested_classes() -> Any:
    inner = attrs.make_class("Inner", {"x": attrs.field(type=int)})
    generics = {"rows": attrs.field(type=list[inner]), "by": attrs.field(type=dict[str, inner])}  # type: ignore[valid-type]
    return attrs.make_class("Outer", generics)([inner(1)], {"a": inner(2)})


MADE_PER_REQUEST: dict[str, Callable[[], Any]] = {
    "attrs": _attrs_class,
    "attrs in a list": lambda: [_attrs_class()],
    "attrs within attrs": _nested_classes,
    "dataclass": lambda: dataclasses.make_dataclass("Row", [("x", int)])(1),
    "pydantic": lambda: pydantic.create_model("Row", x=(int, ...))(x=1),
    "msgspec": lambda: msgspec.defstruct("Row", [("x", int)])(1),
    "enum": lambda: enum.Enum("Row", {"a": 1}).a,  # type: ignore[attr-defined]
    "mapping": lambda: type("Row", (dict,), {})(a=1),
    "text": lambda: type("Row", (str,), {})("a"),
}


@pytest.mark.parametrize("make", MADE_PER_REQUEST.values(), ids=MADE_PER_REQUEST)
def test_a_class_that_came_with_a_request_goes_with_it(make: Callable[[], Any]) -> None:
    chunk = make()
    classes = [weakref.ref(type(chunk))]
    if isinstance(chunk, list):
        classes = [weakref.ref(type(chunk[0]))]
    if hasattr(chunk, "rows"):
        classes.append(weakref.ref(type(chunk.rows[0])))
    lines = len(linecache.cache)
    assert encode_chunk(chunk) == encode_chunk(chunk)
    assert len(linecache.cache) <= lines, "the code that was written for it is not kept either"

    del chunk
    gc.collect()
    assert [cls() for cls in classes] == [None] * len(classes)
