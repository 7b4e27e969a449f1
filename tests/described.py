"""Types of every kind, and what clients read of an action that takes or sends them."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, NewType, NotRequired, Required, TypedDict, TypeVar

import attrs
import cattrs
import msgspec
import pydantic
from jsonschema import Draft202012Validator
from typing_extensions import TypeAliasType

from trio_streamact import Stream, StreamActions, define_stream_action
from trio_streamact._actions.routes import Route
from trio_streamact._codegen import describe, openapi, typescript

T = TypeVar("T")
U = TypeVar("U")

UserId = NewType("UserId", int)
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | float | bool | None")


class Color(enum.Enum):
    """What a thing looks like."""

    RED = "red"
    GREEN = "green"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Odd(enum.Enum):
    PAIR = (1, 2)
    DAY = date(2020, 1, 1)
    NAMED = "named"


@attrs.define
class Token:
    text: str


@attrs.define
class Prompt:
    """What the model is asked."""

    prompt: str
    temperature: float = 1.0


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    seen: int = dataclasses.field(default=0, init=False)


class Options(TypedDict, total=False):
    a: Required[int]
    b: str


class LateOptions(TypedDict):
    a: int
    b: NotRequired[str]


class Keyed(TypedDict, Generic[T]):
    key: T


class Listed(Keyed[list[U]], Generic[U]):
    one: U


class Pair(NamedTuple):
    left: int
    right: Color = Color.RED


@attrs.define
class Tree(Generic[T]):
    value: T
    children: list[Tree[T]] = attrs.field(factory=list)


@attrs.define
class Names(Tree[list[str]]):
    extra: int | None = None


@attrs.define
class Both(Generic[U]):
    """The variable of its own, in the place of that of another class."""

    tree: Tree[U]
    other: Tree[int]


@attrs.define
class Renamed:
    plain: int
    other: Annotated[int, cattrs.override(rename="else")] = 1
    hidden: Annotated[int, cattrs.override(omit=True)] = 2
    _private: int = 3
    made: int = attrs.field(init=False, default=4)


class User(pydantic.BaseModel):
    """Somebody."""

    id: int = pydantic.Field(description="Who it is.")
    name: str = pydantic.Field("x", alias="fullName")
    friends: list[User] = []

    @pydantic.computed_field
    def initial(self) -> str:
        return self.name[:1]


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


@pydantic.dataclasses.dataclass
class Checked:
    x: int = 1


class Message(msgspec.Struct, tag="message", rename="camel"):
    some_text: str
    maybe: int | msgspec.UnsetType = msgspec.UNSET
    count: int = 1


class Sparse(msgspec.Struct, omit_defaults=True):
    x: int = 1


class Row(msgspec.Struct, array_like=True):
    x: int
    y: str = "y"


class Wrapped(msgspec.Struct, Generic[T]):
    it: T


class Unresolvable:
    """A dataclass one of whose types is nowhere to be found."""

    __annotations__ = {"known": "int", "unknown": "Nowhere"}


Unresolvable = dataclasses.dataclass(Unresolvable)  # type: ignore[misc]  # mypy sees a class twice


CHUNKS: list[tuple[Any, Any, Any]] = [
    (str, "a", 1),
    (float, 1, "1"),
    (datetime, datetime(2020, 1, 1, tzinfo=UTC), 1),
    (Decimal, Decimal("1.5"), 1.5),
    (bytes, b"\xff", 255),
    (Path, Path("/x"), ["x"]),
    (set[int], {1}, {"1": 1}),
    (tuple[int, str], (1, "a"), ["a", 1]),
    (tuple[()], (), [1]),
    (dict[Color, Point], {Color.RED: Point(1)}, {"blue": {"x": 1, "y": 1}}),
    (dict[int, int], {1: 1}, {"1": "1"}),
    (Color, Color.RED, "RED"),
    (Size, Size.SMALL, 3),
    (Odd, Odd.PAIR, [1, 3]),
    (Odd, Odd.DAY, "2020-01-02"),
    (Token, Token("a"), {}),
    (Point, Point(1.5), {"x": 1}),
    (Pair, Pair(1), [1]),
    (Tree[int], Tree(1, [Tree(2)]), {"value": 1, "children": [{"value": 2}]}),
    (Names, Names(["a"]), {"value": ["a"], "children": []}),
    (Renamed, Renamed(1), {"plain": 1, "other": 1, "_private": 1}),
    (User, User(id=1, fullName="x"), {"id": 1, "name": "x", "friends": [], "initial": "x"}),
    (list[Page[int]], [Page[int](items=[1])], [{"items": ["1"]}]),
    (Checked, Checked(), {}),
    (Message, Message("a"), {"type": "other", "someText": "a", "count": 1}),
    (Sparse, Sparse(), {"x": "1"}),
    (Row, Row(1), [1, 1]),
    (Wrapped[Token], Wrapped(Token("a")), {"it": {}}),
    (dict[str, Json], {"a": [1, None, "x"]}, []),
    (Token | Point | None, None, "null"),
]
"""Types, each with a chunk of it, and with JSON that is none."""


def routes_of(actions: StreamActions) -> list[Route]:
    """Give what is registered."""
    return list(actions._routes)


def declarations(actions: StreamActions) -> str:
    """Give ``actions.d.ts``."""
    return typescript(describe(routes_of(actions)))


def action_of(*, input: Any = None, chunk: Any = Any) -> StreamActions:
    """Register one action, ``it``, that takes *input* and sends *chunk*."""

    async def it(stream: Any) -> None: ...

    it.__annotations__["stream"] = Stream[chunk]
    actions = StreamActions()
    actions.post("/it")(define_stream_action(it, input=input))
    return actions


def type_in_typescript(*, input: Any = None, chunk: Any = Any) -> str:
    """Give the type that TypeScript reads of for the one or the other."""
    written = declarations(action_of(input=input, chunk=chunk))
    types = written.partition("__types?: { input: ")[2].partition(" };\n")[0]
    of_input, _, of_chunk = types.partition("; chunk: ")
    return of_chunk if input is None else of_input


def validator(*, input: Any = None, chunk: Any = Any) -> Draft202012Validator:
    """Give a validator of the JSON Schema for the one or the other."""
    document = openapi(describe(routes_of(action_of(input=input, chunk=chunk))), "it")
    operation = document["paths"]["/api/_actions/it"]["post"]
    if input is None:
        events = operation["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]["anyOf"]
        schema = events[0]["properties"]["data"]["contentSchema"]
    else:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator({**schema, "components": document["components"]})
