"""What pydantic may spend on one input: no copies of a value for each of its errors, and no union that multiplies."""

from __future__ import annotations

import dataclasses
import json
import time
import tracemalloc
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from tests import strategies
from trio_streamact import InvalidInput
from trio_streamact._inputs import input_schema
from trio_streamact._inputs.messages import TOO_DEEP, TOO_LARGE
from trio_streamact._inputs.pydantic_costs import MAX_TRIES, PydanticCosts

T = TypeVar("T")


class Person(pydantic.BaseModel):
    id: int
    email: str
    notes: str = ""
    numbers: list[int] = []
    friends: list[Person] = []


class Wide(pydantic.BaseModel):
    a: str
    b: str
    c: str
    d: str
    e: str
    f: str
    g: str
    h: str
    text: str = pydantic.Field(validation_alias=pydantic.AliasChoices("text", pydantic.AliasPath("texts", 0)))
    inner: Wide | None = None


class And(pydantic.BaseModel):
    kind: Literal["and"]
    inner: Expression


class Not(pydantic.BaseModel):
    kind: Literal["not"]
    inner: Expression


class Name(pydantic.BaseModel):
    kind: Literal["name"]


Expression = And | Not | Name
And.model_rebuild()
Not.model_rebuild()
EXPRESSION: Any = pydantic.TypeAdapter(And | Not | Name)


class TaggedAnd(pydantic.BaseModel):
    kind: Literal["and"]
    inner: Annotated[TaggedAnd | Name, pydantic.Field(discriminator="kind")]


class Member(TypedDict):
    id: int
    next: NotRequired[Member]


@pydantic.dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass
class Plain:
    x: int


class Pair(NamedTuple):
    first: int
    second: list[int]


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class Root(pydantic.RootModel[list[Person]]):
    pass


class Checked(pydantic.BaseModel):
    inner: list[Person]

    @pydantic.field_validator("inner", mode="before")
    @classmethod
    def _before(cls, value: Any) -> Any:
        return value

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _around(cls, value: Any, handler: Any) -> Any:
        return handler(value)


def nested(levels: int, bottom: Any) -> Any:
    for _ in range(levels):
        bottom = {"friends": [bottom]}
    return bottom


def message_of(declared: Any, value: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        input_schema(declared)(value)
    ((message,), *_) = caught.value.field_errors.values()
    return message


@pytest.mark.parametrize(
    "bottom", [{"notes": "x" * 400_000}, {"notes": "\U0001f600" + "x" * 400_000}, {"numbers": [10**17] * 9000}]
)
def test_what_is_missing_around_a_large_value_takes_no_copies_of_it(bottom: Any) -> None:
    value = nested(30, bottom)
    schema, size = input_schema(Person), len(json.dumps(value, ensure_ascii=False).encode())
    with pytest.raises(InvalidInput):
        schema({})
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with pytest.raises(InvalidInput):
            schema(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 15 * size
    assert message_of(Person, value) == TOO_LARGE


def test_a_small_input_is_told_all_that_is_wrong_with_it() -> None:
    with pytest.raises(InvalidInput) as caught:
        input_schema(Person)(nested(3, {"id": 1, "email": "a"}))
    assert len(caught.value.field_errors) == 6


def test_a_large_input_is_told_what_is_wrong_with_it_where_that_takes_few_copies() -> None:
    assert message_of(Person, {"id": 1, "notes": "x" * 400_000}) == "Field required"


@pytest.mark.parametrize("alias", [{"text": "x" * 400_000}, {"texts": ["x" * 400_000]}])
def test_a_good_input_is_taken_however_large_it_is(alias: dict[str, Any]) -> None:
    few = dict.fromkeys("abcdefgh", "")
    value = {**few, "inner": {**few, "inner": {**few, "text": ""}, "text": ""}, **alias}
    assert len(input_schema(Wide)(value).text) == 400_000


@pytest.mark.parametrize("bottom", [{"kind": "name"}, {"kind": "none"}])
def test_a_recursive_union_without_a_discriminator_is_tried_so_often_and_no_more(bottom: Any) -> None:
    value = bottom
    for _ in range(60):
        value = {"kind": "and", "inner": value}
    began = time.process_time()
    assert message_of(EXPRESSION, value) == TOO_DEEP
    assert time.process_time() - began < MAX_TRIES * 1e-3  # a millisecond for each try is plenty


def test_a_recursive_union_takes_what_people_nest() -> None:
    value: Any = {"kind": "name"}
    for _ in range(8):
        value = {"kind": "not", "inner": value}
    assert input_schema(EXPRESSION)(value).kind == "not"


def test_a_discriminator_is_tried_once() -> None:
    value: Any = {"kind": "name"}
    for _ in range(60):
        value = {"kind": "and", "inner": value}
    assert input_schema(TaggedAnd)(value).kind == "and"


TYPES: dict[str, Any] = {
    "model": Person,
    "wide": Wide,
    "expression": EXPRESSION,
    "tagged": TaggedAnd,
    "typed dict": pydantic.TypeAdapter(Member),
    "dataclass": Point,
    "plain dataclass": pydantic.TypeAdapter(Plain),
    "named tuple": pydantic.TypeAdapter(Pair),
    "tuple": pydantic.TypeAdapter(tuple[int, ...]),
    "generic": Box[list[Person]],
    "root": Root,
    "validators": Checked,
    "any": pydantic.TypeAdapter(Any),
    "mappings": pydantic.TypeAdapter(dict[str, list[dict[str, int]]]),
    "literals": pydantic.TypeAdapter(list[Literal["a", 1]]),
    "sets": pydantic.TypeAdapter(frozenset[str]),
    "json": pydantic.TypeAdapter(pydantic.JsonValue),
}
NAMES = [
    "id",
    "email",
    "friends",
    "inner",
    "kind",
    "a",
    "text",
    "texts",
    "x",
    "y",
    "next",
    "content",
    "first",
    "second",
]


@given(data=st.data(), declared=st.sampled_from(list(TYPES)))
def test_the_costs_of_any_small_value_for_any_type_can_be_told(data: st.DataObject, declared: str) -> None:
    adapter = TYPES[declared]
    if not isinstance(adapter, pydantic.TypeAdapter):
        adapter = pydantic.TypeAdapter(adapter)
    values = strategies.json_values()
    members = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)
    value = data.draw(members | st.lists(members, max_size=3) | values)
    PydanticCosts.of(adapter.core_schema).check(value, 10_000)
