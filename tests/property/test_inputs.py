"""What holds for every input: it makes what was declared, or an error that says why."""

from __future__ import annotations

import enum
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import attrs
import msgspec
import orjson
import pydantic
import pytest
from attrs import define, field, validators
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.ids import shown
from trio_streamact import InvalidInput
from trio_streamact._inputs import input_schema
from trio_streamact._protocol.encoding import encode_chunk


class Size(enum.IntEnum):
    SMALL = 1


class Mode(enum.StrEnum):
    ON = "on"


@define
class Part:
    name: str
    count: int = field(default=1, validator=validators.gt(0))


@define
class Whole:
    a: int | None = None
    b: list[int] = field(factory=list)
    part: Part | None = None
    parts: dict[str, Part] = field(factory=dict)
    size: Size | None = None
    mode: Mode = Mode.ON
    flag: bool = False
    ratio: float = 0.5
    either: int | str | None = None
    when: datetime | None = None
    child: Whole | None = None


class Loose(TypedDict):
    a: NotRequired[int]
    b: NotRequired[list[str]]


class Model(pydantic.BaseModel):
    a: int | None = None
    b: list[int] = []
    flag: bool = False
    ratio: float = 0.5


class Struct(msgspec.Struct):
    a: int | None = None
    b: list[int] = []
    flag: bool = False
    ratio: float = 0.5


NAMES = sorted({*attrs.fields_dict(Whole), "name", "count"})
OBJECTS: list[Any] = [Part, Whole, Loose, Model, Struct]
PLAIN: dict[Any, type | tuple[type, ...]] = {
    str: str,
    int: int,
    bool: bool,
    float: float,
    list[int]: list,
    set[str]: set,
    tuple[int, str]: tuple,
    dict[str, int]: dict,
    dict[int, list[str]]: dict,
    int | str: (int, str),
    bool | None: (bool, type(None)),
    datetime: datetime,
    date: date,
    time: time,
    UUID: UUID,
    Decimal: Decimal,
    bytes: bytes,
    Size: Size,
    Mode: Mode,
    Literal["a", 1]: (str, int),
    Annotated[list[Part], "parts"]: list,
    Part | None: (Part, type(None)),
    Part | Whole: (Part, Whole),
}
DECLARED: dict[Any, type | tuple[type, ...]] = PLAIN | {declared: declared for declared in OBJECTS} | {Loose: dict}


def near_misses() -> st.SearchStrategy[Any]:
    """JSON in which much has the names of what was declared, and now and then its type."""
    values = strategies.parsed_json() | st.sampled_from([1, "on", "x", [1], ["a"], {"name": "x"}, "2024-02-29", "YQ=="])
    members = st.dictionaries(st.sampled_from(NAMES), values, max_size=4)
    return values | members | st.lists(values | members, max_size=3) | st.fixed_dictionaries({"child": members})


def made_or_refused(declared: Any, raw: Any) -> tuple[Any, dict[str, list[str]]]:
    """What is made of *raw*, and what is wrong with it; any other exception is a bug."""
    try:
        return input_schema(declared)(raw), {}
    except InvalidInput as error:
        assert error.field_errors  # noqa: PT017 - an error without a word would pass for none
        return None, error.field_errors


@pytest.mark.parametrize("declared", DECLARED, ids=shown)
@given(raw=near_misses())
def test_any_json_value_makes_what_was_declared_or_an_error_by_field(declared: Any, raw: Any) -> None:
    made, errors = made_or_refused(declared, raw)

    if errors:
        assert all(messages and all(messages) for messages in errors.values())
    else:
        assert isinstance(made, DECLARED[declared])
        assert isinstance(made, bool) == isinstance(raw, bool)


@pytest.mark.parametrize("declared", DECLARED, ids=shown)
@given(raw=strategies.queries(NAMES))
def test_any_query_makes_what_was_declared_or_an_error_by_field(declared: Any, raw: dict[str, Any]) -> None:
    made, errors = made_or_refused(declared, raw)

    assert errors or isinstance(made, DECLARED[declared])


@given(raw=near_misses())
def test_a_client_never_reads_words_of_python(raw: Any) -> None:
    for declared in (Whole, list[Part], dict[str, Part], int | str, Part | Whole):
        _, errors = made_or_refused(declared, raw)
        told = str(list(errors.values()))
        assert not any(word in told for word in ("Traceback", "Error", "<class", "object has no", "cattrs", "__main__"))


@define
class Everything:
    number: int
    ratio: float
    flag: bool
    text: str
    nothing: str | None
    day: date
    moment: datetime
    hour: time
    id: UUID
    amount: Decimal
    data: bytes
    size: Size
    mode: Mode
    word: Literal["a", "b"]
    either: int | str | None
    numbers: list[int]
    words: set[str]
    pair: tuple[int, str]
    rest: tuple[float, ...]
    by_name: dict[str, list[int]]
    by_number: dict[int, str]
    loose: Loose
    part: Part
    parts: list[Part]
    _private: int = 0


attrs.resolve_types(Everything)  # for Hypothesis


def everything() -> st.SearchStrategy[Everything]:
    whole = st.integers(-strategies.WIDEST_INTEGER, strategies.WIDEST_INTEGER)
    floats = st.floats(allow_nan=False, allow_infinity=False)
    part = st.builds(Part, st.text(), st.integers(1, 100))
    return st.builds(
        Everything,
        number=whole,
        ratio=floats,
        either=whole | st.text() | st.none(),
        amount=st.decimals(allow_nan=False, allow_infinity=False),
        numbers=st.lists(whole, max_size=3),
        pair=st.tuples(whole, st.text()),
        rest=st.lists(floats, max_size=3).map(tuple),
        by_name=st.dictionaries(st.text(), st.lists(whole, max_size=2), max_size=3),
        by_number=st.dictionaries(whole, st.text(), max_size=3),
        loose=st.fixed_dictionaries({}, optional={"a": whole, "b": st.lists(st.text(), max_size=2)}),
        part=part,
        parts=st.lists(part, max_size=2),
        private=whole,
        hour=st.times(),
    )


@given(value=everything())
def test_what_was_sent_as_a_chunk_can_be_taken_as_an_input(value: Everything) -> None:
    frame = encode_chunk(value)

    assert input_schema(Everything)(orjson.loads(frame.removeprefix(b"data: "))) == value
