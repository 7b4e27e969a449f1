"""Which raw values make which input, and what a client reads of the others."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from attrs import define, field, validators

from trio_streamact import InvalidInput
from trio_streamact._inputs import MAX_ERRORS, InputSchema, UntypedText, as_json, input_schema
from trio_streamact._inputs.texts import MAX_FIELDS

T = TypeVar("T")


def refused(declared: object, raw: object) -> dict[str, list[str]]:
    """What the client reads when *raw* is given for *declared*."""
    with pytest.raises(InvalidInput) as raised:
        input_schema(declared)(raw)
    return raised.value.field_errors


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Mode(enum.StrEnum):
    ON = "on"
    OFF = "off"


class Unit(str, enum.Enum):  # noqa: UP042 - another kind than StrEnum
    METRE = "m"


class Name(str):
    __slots__ = ()


class Celsius(float):
    pass


Constant = Literal["a", 1, True, None]  # noqa: PYI061 - null among others
UserId = NewType("UserId", int)
Names = NewType("Names", list[str])
SOME_ID = UUID("12345678-1234-5678-1234-567812345678")
A_NUMBER, A_STRING, WHOLE, A_LIST, AN_OBJECT = (
    "Expected a number",
    "Expected a string",
    "Expected a whole number",
    "Expected a list",
    "Expected an object",
)


# Strict JSON

JSON_VALUES: list[Any] = [None, True, False, 0, 1, -7, 1.0, 1.5, "", "1", "true", "x", [], [1], ["x"], {}, {"a": 1}]


@pytest.mark.parametrize("raw", JSON_VALUES, ids=repr)
@pytest.mark.parametrize(
    ("declared", "accepted", "words"),
    [
        (str, str, A_STRING),
        (int, int, WHOLE),
        (bool, bool, "Expected true or false"),
        (float, (int, float), A_NUMBER),
        (list, list, A_LIST),
        (list[Any], list, A_LIST),
        (dict, dict, AN_OBJECT),
        (dict[str, Any], dict, AN_OBJECT),
    ],
)
def test_a_json_value_is_taken_for_nothing_but_its_own_type(
    declared: Any, accepted: type | tuple[type, ...], words: str, raw: Any
) -> None:
    if isinstance(raw, accepted) and (declared is bool or not isinstance(raw, bool)):
        assert input_schema(declared)(raw) == raw
    else:
        assert refused(declared, raw) == {"_root": [words]}


@pytest.mark.parametrize(
    ("declared", "raw", "value"),
    [
        (float, 1, 1.0),
        (datetime, "2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (date, "2024-02-29", date(2024, 2, 29)),
        (time, "12:30", time(12, 30)),
        (UUID, str(SOME_ID), SOME_ID),
        (Decimal, "1.10", Decimal("1.10")),
        (bytes, "/wA=", b"\xff\x00"),
        (set[int], [1, 1, 2], {1, 2}),
        (frozenset[str], ["a"], frozenset({"a"})),
        (set[frozenset[int]], [[1], [2]], {frozenset({1}), frozenset({2})}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (tuple[()], [], ()),
        (Sequence[int], [1, 2], (1, 2)),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (dict[int, str], {"1": "a", "-2": "b"}, {1: "a", -2: "b"}),
        (dict[UUID, int], {str(SOME_ID): 1}, {SOME_ID: 1}),
        (dict[Color, int], {"red": 1}, {Color.RED: 1}),
        (dict[Any, int], {"1": 1}, {"1": 1}),
        (Color, "red", Color.RED),
        (Size, 2, Size.LARGE),
        (Mode, "on", Mode.ON),
        (Unit, "m", Unit.METRE),
        (Constant, 1, 1),
        (Constant, True, True),
        (Constant, None, None),
        (Literal[Color.RED], "red", Color.RED),
        (int | None, None, None),
        (int | None, 1, 1),
        (int | str, "1", "1"),
        (int | str, 1, 1),
        (int | str | None, None, None),
        (bool | str, True, True),
        (int | float, 1.5, 1.5),
        (list[int] | int, [1], [1]),
        (list[int] | int, 1, 1),
        (datetime | int, "2024-02-29", datetime(2024, 2, 29)),
        (Color | int, "red", Color.RED),
        (Mode | int, "on", Mode.ON),
        (Literal["auto"] | int, "auto", "auto"),
        (UserId, 7, 7),
        (Names, ["a"], ["a"]),
        (Annotated[int, "how many"], 7, 7),
        (Annotated[list[Annotated[int, "each"]], "all"], [7], [7]),
        (Annotated[Mode, "mode"], "on", Mode.ON),
        (Name, "ann", Name("ann")),
        (Celsius, 20, Celsius(20)),
    ],
)
def test_a_declared_type_is_made_of_the_json_that_stands_for_it(declared: Any, raw: Any, value: object) -> None:
    made = input_schema(declared)(raw)

    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("declared", "raw", "errors"),
    [
        (datetime, "yesterday", {"_root": ["Expected an ISO 8601 date and time"]}),
        (datetime, 1709208000, {"_root": ["Expected an ISO 8601 date and time"]}),
        (date, "2023-02-29", {"_root": ["Expected an ISO 8601 date"]}),
        (time, "25:00", {"_root": ["Expected an ISO 8601 time of day"]}),
        (UUID, "1234", {"_root": ["Expected a UUID"]}),
        (Decimal, 1.1, {"_root": ["Expected a decimal number as text"]}),
        (Decimal, "one", {"_root": ["Expected a decimal number as text"]}),
        (Decimal, "NaN", {"_root": ["Expected a decimal number as text"]}),
        (Decimal, "-Infinity", {"_root": ["Expected a decimal number as text"]}),
        (bytes, "/wA", {"_root": ["Expected base64"]}),
        (bytes, "\u20ac", {"_root": ["Expected base64"]}),
        (bytes, "/wA=\n", {"_root": ["Expected base64"]}),
        (bytes, "_wA=", {"_root": ["Expected base64"]}),
        (list[int], "12", {"_root": [A_LIST]}),
        (list[int], {"0": 1}, {"_root": [A_LIST]}),
        (list[int], [1, "2", True, 4], {"1": [WHOLE], "2": [WHOLE]}),
        (set[list[int]], [[1]], {"0": ["Invalid value"]}),
        (tuple[int, str], [1], {"_root": ["Expected a list of length 2"]}),
        (tuple[int, str], [1, "a", 2], {"_root": ["Expected a list of length 2"]}),
        (tuple[int, str], ["a", 1], {"0": [WHOLE], "1": [A_STRING]}),
        (dict[str, int], [["a", 1]], {"_root": [AN_OBJECT]}),
        (dict[str, int], {"a": "1", "b": 1, "c": None}, {"a": [WHOLE], "c": [WHOLE]}),
        (dict[int, int], {"one": 1}, {"one": [WHOLE]}),
        (dict[str, dict[str, int]], {"a": {"b": "c"}}, {"a.b": [WHOLE]}),
        (Color, "blue", {"_root": ['Expected one of "red", "green"']}),
        (Color, "RED", {"_root": ['Expected one of "red", "green"']}),
        (Color, ["red"], {"_root": ['Expected one of "red", "green"']}),
        (Size, 3, {"_root": ["Expected one of 1, 2"]}),
        (Size, True, {"_root": ["Expected one of 1, 2"]}),
        (Mode, "maybe", {"_root": ['Expected one of "on", "off"']}),
        (Unit, "ft", {"_root": ['Expected one of "m"']}),
        (Annotated[Mode, "mode"], "maybe", {"_root": ['Expected one of "on", "off"']}),
        (Literal["a", 1], "1", {"_root": ['Expected one of "a", 1']}),
        (Literal["a", 1], True, {"_root": ['Expected one of "a", 1']}),
        (Literal["a", 1], {}, {"_root": ['Expected one of "a", 1']}),
        (int | None, "1", {"_root": [WHOLE]}),
        (int | str, True, {"_root": ["Expected a whole number or a string"]}),
        (int | str, None, {"_root": ["Expected a whole number or a string"]}),
        (int | str | None, 1.5, {"_root": ["Expected a whole number or a string or null"]}),
        (int | float, True, {"_root": ["Expected a whole number or a number"]}),
        (bool | str, 1, {"_root": ["Expected true or false or a string"]}),
        (UUID | int, "x", {"_root": ["Expected a UUID or a whole number"]}),
        (list[int] | int, "x", {"_root": ["Expected a list or a whole number"]}),
        (list[int] | int, ["x"], {"0": [WHOLE]}),
        (list[int | str], [1, True], {"1": ["Expected a whole number or a string"]}),
        (Literal["auto"] | int, "x", {"_root": ['Expected one of "auto" or a whole number']}),
        (UserId, "7", {"_root": [WHOLE]}),
        (Names, "ann", {"_root": [A_LIST]}),
        (Celsius, "20", {"_root": [A_NUMBER]}),
        (Name, 1, {"_root": [A_STRING]}),
    ],
)
def test_what_was_expected_is_told_by_dotted_path(declared: Any, raw: Any, errors: dict[str, list[str]]) -> None:
    assert refused(declared, raw) == errors


def test_without_a_declared_type_every_value_passes() -> None:
    for declared in (Any, object):
        for raw in JSON_VALUES:
            assert input_schema(declared)(raw) == raw
        assert input_schema(declared).type is Any


def test_a_schema_knows_what_was_declared() -> None:
    assert input_schema(list[int]).type == list[int]


# Objects


@define
class User:
    email: str = field(validator=validators.matches_re(".+@.+"))
    nick: str | None = None


@define
class Order:
    user: User
    items: list[User]
    count: int = field(default=1, validator=[validators.ge(1), validators.lt(10)])
    note: str = field(default="", validator=validators.max_len(3))


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = dataclasses.field(default_factory=list)


class Song(TypedDict):
    title: str
    year: NotRequired[int]


class Query(TypedDict, total=False):
    q: Required[str]
    page: int


class Page(TypedDict, Generic[T]):
    items: list[T]
    next: NotRequired[T]


class Paged(Query):
    size: NotRequired[int]
    last: bool


class Pair(NamedTuple):
    left: int
    right: str


@define
class Box(Generic[T]):
    one: T
    many: list[T]


@define
class Tree:
    value: int
    children: list[Tree] = field(factory=list)
    left: Tree | None = None


class Comment(TypedDict):
    text: str
    replies: NotRequired[list[Comment]]


@define
class Cat:
    kind: Literal["cat"]
    lives: int


@define
class Dog:
    kind: Literal["dog"]
    tricks: list[str]


@define
class Owner:
    pet: Cat | Dog
    also: Cat | Dog | None = None
    more: list[Cat | Dog] = field(factory=list)


@pytest.mark.parametrize(
    ("declared", "raw", "value"),
    [
        (User, {"email": "a@b"}, User("a@b")),
        (User, {"email": "a@b", "nick": None}, User("a@b")),
        (
            Order,
            {"user": {"email": "a@b"}, "items": [{"email": "c@d"}], "count": 2},
            Order(User("a@b"), [User("c@d")], 2),
        ),
        (Point, {"x": 1}, Point(1)),
        (Point, {"x": 1, "y": 2, "tags": ["a"]}, Point(1, 2, ["a"])),
        (Song, {"title": "x"}, {"title": "x"}),
        (Song, {"title": "x", "year": 1999}, {"title": "x", "year": 1999}),
        (Query, {"q": "x", "page": 2}, {"q": "x", "page": 2}),
        (Page[int], {"items": [1]}, {"items": [1]}),
        (Paged, {"q": "x", "last": True}, {"q": "x", "last": True}),
        (Pair, [1, "a"], Pair(1, "a")),
        (Box[int], {"one": 1, "many": [2]}, Box(1, [2])),
        (Box[Point], {"one": {"x": 1}, "many": []}, Box(Point(1), [])),
        (Tree, {"value": 1, "children": [{"value": 2}], "left": {"value": 3}}, Tree(1, [Tree(2)], Tree(3))),
        (Comment, {"text": "a", "replies": [{"text": "b"}]}, {"text": "a", "replies": [{"text": "b"}]}),
        (Cat | Dog, {"kind": "dog", "tricks": ["sit"]}, Dog("dog", ["sit"])),
        (Owner, {"pet": {"kind": "cat", "lives": 9}, "also": None}, Owner(Cat("cat", 9))),
        (Owner | None, None, None),
        (list[Point], [{"x": 1}], [Point(1)]),
        (dict[str, Point], {"a": {"x": 1}}, {"a": Point(1)}),
    ],
)
def test_an_object_is_made_of_an_object(declared: Any, raw: Any, value: object) -> None:
    assert input_schema(declared)(raw) == value


@pytest.mark.parametrize("declared", [User, Order, Point, Song, Query, Tree, Box[int], dict[str, int]])
@pytest.mark.parametrize("raw", [None, True, 1, "x", [], [["email", "a@b"]]], ids=repr)
def test_nothing_but_an_object_makes_an_object(declared: Any, raw: Any) -> None:
    assert refused(declared, raw) == {"_root": [AN_OBJECT]}


@pytest.mark.parametrize(
    ("declared", "raw", "errors"),
    [
        (Order, {}, {"user": ["Field required"], "items": ["Field required"]}),
        (
            Order,
            {"user": {}, "items": [{"email": "a@b"}, {"email": 1}, 7, {}], "count": True},
            {
                "user.email": ["Field required"],
                "items.1.email": [A_STRING],
                "items.2": [AN_OBJECT],
                "items.3.email": ["Field required"],
                "count": [WHOLE],
            },
        ),
        (Order, {"user": "x", "items": "y"}, {"user": [AN_OBJECT], "items": [A_LIST]}),
        (Point, {"x": "1", "tags": "a"}, {"x": [WHOLE], "tags": [A_LIST]}),
        (Song, {"title": 1, "year": "1999"}, {"title": [A_STRING], "year": [WHOLE]}),
        (Song, {}, {"title": ["Field required"]}),
        (Query, {"page": "1"}, {"q": ["Field required"], "page": [WHOLE]}),
        (Page[int], {"items": ["x"], "next": "y"}, {"items.0": [WHOLE], "next": [WHOLE]}),
        (Paged, {"size": "x"}, {"q": ["Field required"], "last": ["Field required"], "size": [WHOLE]}),
        (Pair, ["x", "a"], {"0": [WHOLE]}),
        (Pair, [1], {"_root": ["Expected a list of length 2"]}),
        (Box[int], {"one": "x", "many": [1, "x"]}, {"one": [WHOLE], "many.1": [WHOLE]}),
        (
            Tree,
            {"value": 1, "children": [{"value": "x"}, "y"], "left": {"value": 1, "left": []}},
            {"children.0.value": [WHOLE], "children.1": [AN_OBJECT], "left.left": [AN_OBJECT]},
        ),
        (Comment, {"text": "a", "replies": [{"text": 1}]}, {"replies.0.text": [A_STRING]}),
        (Owner, {"pet": {"kind": "cat"}}, {"pet.lives": ["Field required"]}),
        (Owner, {"pet": {"kind": "fish"}}, {"pet": ["Expected one of 2 kinds of object"]}),
        (Owner, {"pet": {"kind": ["cat"]}}, {"pet": ["Expected one of 2 kinds of object"]}),
        (Owner, {"pet": {}}, {"pet": ["Expected one of 2 kinds of object"]}),
        (Owner, {"pet": 1}, {"pet": ["Expected one of 2 kinds of object"]}),
        (
            Owner,
            {"pet": {"kind": "cat", "lives": "x"}, "more": [{"kind": "dog", "tricks": [1]}]},
            {"pet.lives": [WHOLE], "more.0.tricks.0": [A_STRING]},
        ),
    ],
)
def test_all_that_is_wrong_is_told_at_once(declared: Any, raw: Any, errors: dict[str, list[str]]) -> None:
    assert refused(declared, raw) == errors


def test_keys_that_were_not_declared_are_ignored() -> None:
    hostile = {"__proto__": {"admin": True}, "__class__": "x", "__init__": 1, "constructor": 1, "self": 2, "": 3}

    assert input_schema(Point)({"x": 1, **hostile}) == Point(1)
    assert input_schema(User)({"email": "a@b", **hostile}) == User("a@b")


@define
class Awkward:
    _private: int
    request: int
    cls: int = 0
    aliased: int = field(default=0, alias="other")
    named: int = field(default=0, kw_only=True)
    fixed: int = field(default=5, init=False)
    constant: ClassVar[int] = 6
    last: Final[int] = 7


def test_a_field_goes_by_its_attribute_name_whatever_its_argument_is_called() -> None:
    made = input_schema(Awkward)({"_private": 1, "request": 2, "cls": 3, "aliased": 4, "named": 5})

    assert made == Awkward(1, 2, 3, other=4, named=5)
    assert input_schema(Awkward)({"_private": 1, "request": 2, "other": 9}).aliased == 0
    assert refused(Awkward, {"private": 1}) == {"_private": ["Field required"], "request": ["Field required"]}


def test_what_is_no_argument_of_the_class_cannot_be_set() -> None:
    made = input_schema(Awkward)({"_private": 1, "request": 2, "fixed": 99, "constant": 99})

    assert (made.fixed, made.constant) == (5, 6)


def test_defaults_are_made_anew_for_each_input() -> None:
    schema = input_schema(Point)
    first = schema({"x": 1})
    first.tags.append("mine")

    assert schema({"x": 1}).tags == []


def test_a_generic_class_without_its_argument_is_refused_at_definition() -> None:
    with pytest.raises(TypeError, match="Box cannot be an input"):
        input_schema(Box)


# Validators


def accident(_: object, __: object, value: int) -> None:
    if value:
        raise KeyError("secret")


@define
class Validated:
    low: int = field(default=1)
    high: int = field(default=2)
    odd: int = field(default=1)
    broken: int = field(default=0, validator=accident)
    nested: list[str] = field(factory=list, validator=validators.deep_iterable(validators.min_len(2)))

    @low.validator
    def _low(self, attribute: attrs.Attribute[int], value: int) -> None:
        if value > self.high:
            raise ValueError("low is more than high")

    @odd.validator
    def _odd(self, attribute: attrs.Attribute[int], value: int) -> None:
        if value % 2 == 0:
            raise ValueError(attribute)


def test_what_the_validators_of_attrs_refuse_is_told_by_field() -> None:
    errors = refused(Order, {"user": {"email": "nobody"}, "items": [], "count": 0, "note": "long"})

    assert errors == {"user.email": ["'email' must match regex '.+@.+' ('nobody' doesn't)"]}  # no Order without a User
    errors = refused(Order, {"user": {"email": "a@b"}, "items": [], "count": 0, "note": "long"})
    assert errors == {"count": ["'count' must be >= 1: 0"], "note": ["Length of 'note' must be <= 3: 4"]}


def test_every_validator_is_asked_though_attrs_stops_at_the_first_that_refuses() -> None:
    errors = refused(Validated, {"low": 3, "odd": 2, "broken": 1, "nested": ["long", "s"]})

    assert list(errors) == ["low", "odd", "broken", "nested"]
    assert errors["low"] == ["low is more than high"]
    assert errors["nested"] == ["Length of 'nested' must be >= 2: 1"]


def test_of_what_is_an_accident_and_not_a_refusal_the_client_reads_nothing() -> None:
    errors = refused(Validated, {"broken": 1, "odd": 2})

    assert errors == {"odd": ["Invalid value"], "broken": ["Invalid value"]}


@define
class Checked:
    how: str

    def __attrs_post_init__(self) -> None:
        fail(self.how)


@dataclasses.dataclass
class CheckedDataclass:
    how: str

    def __post_init__(self) -> None:
        fail(self.how)


@define
class CheckedWithin:
    inner: Checked


def fail(how: str) -> None:
    errors: dict[str, Callable[[], Exception]] = {
        "refuse": lambda: ValueError("start comes after end"),
        "by field": lambda: InvalidInput({"start": ["too late"], "end.day": ["too early"]}),
        "as a whole": lambda: InvalidInput("these do not go together"),
        "key": lambda: KeyError("secret"),
        "type": lambda: TypeError("secret"),
        "json": lambda: msgspec.ValidationError("secret"),
        "two": lambda: ValueError("secret", "secret"),
        "none": lambda: ValueError(),
        "object": lambda: ValueError(Checked),
        "unicode": lambda: UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
    }
    if how in errors:
        raise errors[how]()


@pytest.mark.parametrize("declared", [Checked, CheckedDataclass])
def test_what_the_object_as_a_whole_refuses_is_told_of_the_whole(declared: type) -> None:
    assert refused(declared, {"how": "refuse"}) == {"_root": ["start comes after end"]}
    assert refused(declared, {"how": "as a whole"}) == {"_root": ["these do not go together"]}
    assert refused(CheckedWithin, {"inner": {"how": "refuse"}}) == {"inner": ["start comes after end"]}


def test_invalid_input_raised_within_an_object_keeps_its_fields_below_it() -> None:
    errors = {"start": ["too late"], "end.day": ["too early"]}

    assert refused(Checked, {"how": "by field"}) == errors
    assert refused(CheckedWithin, {"inner": {"how": "by field"}}) == {
        f"inner.{name}": messages for name, messages in errors.items()
    }


@pytest.mark.parametrize("declared", [Checked, CheckedDataclass])
@pytest.mark.parametrize("how", ["key", "type", "json", "two", "none", "object", "unicode"])
def test_the_text_of_other_exceptions_is_never_shown(declared: type, how: str) -> None:
    assert refused(declared, {"how": how}) == {"_root": ["Invalid value"]}


def test_a_converter_that_fails_is_told_without_its_text() -> None:
    def only_one(value: int) -> int:
        return {1: 1}[value]

    @define
    class Converted:
        x: int = field(converter=only_one)

    assert input_schema(Converted)({"x": 1}) == Converted(1)
    assert refused(Converted, {"x": 2}) == {"_root": ["Invalid value"]}


# At definition


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x


class Shape(Protocol):
    x: int


@define
class WithCallable:
    call: Callable[[], int]


@define
class WithDuration:
    durations: list[dict[str, timedelta]]


def make_unresolvable() -> type:
    @define
    class Unresolvable:
        x: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the point

    return Unresolvable


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (Plain, "Plain cannot be an input: cattrs cannot structure Plain from JSON"),
        (Shape, "Shape cannot be an input"),
        (WithCallable, r"WithCallable cannot be an input: .*Callable\[\[\], int\]"),
        (WithDuration, "WithDuration cannot be an input: cattrs cannot structure timedelta from JSON"),
        (make_unresolvable(), "Unresolvable cannot be an input: name 'Missing' is not defined"),
        (timedelta, "timedelta cannot be an input"),
        (complex, "complex cannot be an input"),
        (type, "type cannot be an input"),
        (1, "1 cannot be an input"),
        ("Prompt", "'Prompt' cannot be an input"),
        (len, "cannot be an input"),
        (list[int] | list[str], "cannot be an input"),
    ],
)
def test_a_type_that_cannot_be_made_of_json_is_refused_at_definition(declared: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        input_schema(declared)


# An object with validate


class Even:
    def validate(self, raw: object) -> int:
        if not isinstance(raw, int) or raw % 2:
            raise InvalidInput({"n": ["must be even"]})
        return raw


class OfClass:
    @classmethod
    def validate(cls, raw: object) -> object:
        return [raw]


class Async:
    async def validate(self, raw: object) -> object:
        return raw


class Greedy:
    def validate(self, raw: object, also: object) -> object:
        return raw, also


def test_an_object_with_validate_decides_by_itself() -> None:
    schema = input_schema(Even())

    assert schema(2) == 2
    assert refused(Even(), 3) == {"n": ["must be even"]}
    assert input_schema(OfClass)(1) == [1]


def test_an_object_with_validate_is_given_plain_text() -> None:
    [made] = input_schema(OfClass)({"a": UntypedText("1"), "b": [UntypedText("2"), UntypedText("3")]})

    assert made == {"a": "1", "b": ["2", "3"]}
    assert {type(value) for value in (made["a"], *made["b"])} == {str}


@pytest.mark.parametrize("declared", [Even, Async(), Greedy()])
def test_a_validate_that_cannot_be_called_with_one_value_is_refused_at_definition(declared: object) -> None:
    with pytest.raises(TypeError, match="validate"):
        input_schema(declared)


# Text out of a query, a form or a route


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        (str, "1", "1"),
        (str, "", ""),
        (Any, "1", "1"),
        (int, "12", 12),
        (int, "-12", -12),
        (int, "+12", 12),
        (int, str(10**30), 10**30),
        (int, "1.0", "1.0"),
        (int, "1_0", "1_0"),
        (int, " 1", " 1"),
        (int, "\u0661", "\u0661"),
        (int, "9" * 5000, "9" * 5000),
        (int, "", ""),
        (float, "1", 1.0),
        (float, "1.5e3", 1500.0),
        (float, ".5", 0.5),
        (float, "5.", 5.0),
        (float, "nan", "nan"),
        (float, "inf", "inf"),
        (float, "1e999", "1e999"),
        (float, "1_0", "1_0"),
        (bool, "true", True),
        (bool, "True", True),
        (bool, "1", True),
        (bool, "on", True),
        (bool, "false", False),
        (bool, "0", False),
        (bool, "OFF", False),
        (bool, "yes", "yes"),
        (bool, "", ""),
        (Color, "red", "red"),
        (Size, "1", 1),
        (Size, "small", "small"),
        (Literal["a", 1, 2.5, False], "1", 1),
        (Literal["a", 1, 2.5, False], "2.5", 2.5),
        (Literal["a", 1, 2.5, False], "false", False),
        (Literal["a", 1, "1"], "1", "1"),
        (Literal[Size.LARGE], "2", 2),
        (list[int], "1", [1]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "[1", ["[1"]),
        (list[str], "a,b", ["a,b"]),
        (list, "1", ["1"]),
        (set[int], "1", [1]),
        (tuple[int, ...], "1", [1]),
        (list[list[int]], "1", [[1]]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[str, int], "{", "{"),
        (dict[str, int], "[1]", "[1]"),
        (Point, ' {"x": 1}', {"x": 1}),
        (Song, '{"title": "x"}', {"title": "x"}),
        (int | None, "1", 1),
        (int | None, "", None),
        (bool | None, "", None),
        (date | None, "", None),
        (list[int] | None, "", None),
        (list[int] | None, "1", [1]),
        (Color | None, "", None),
        (Point | None, "", None),
        (str | None, "", ""),
        (Any | None, "", ""),
        (int | str, "1", 1),
        (int | str, "x", "x"),
        (int | str | None, "", ""),
        (list[int] | int, "1", 1),
        (list[int] | int, "[1]", [1]),
        (list[str] | bool, "x", ["x"]),
        (Literal["auto"] | int, "auto", "auto"),
        (Literal["auto"] | int, "1", 1),
        (UserId, "7", 7),
        (Names, "a", ["a"]),
        (Annotated[int, "n"], "7", 7),
        (Annotated[int | None, "n"], "", None),
    ],
)
def test_text_becomes_the_json_that_the_declared_type_asks_for(declared: Any, text: str, value: object) -> None:
    made = as_json(UntypedText(text), declared)

    assert made == value
    assert type(made) is type(value)


@define
class Search:
    q: str
    page: int = 1
    exact: bool = False
    size: Size | None = None
    tags: list[int] = field(factory=list)
    at: Point | None = None


class SearchDict(TypedDict):
    q: str
    page: NotRequired[int]


@pytest.mark.parametrize(
    ("raw", "made"),
    [
        ({"q": UntypedText("x")}, Search("x")),
        (
            {"q": UntypedText("1"), "page": UntypedText("2"), "exact": UntypedText("on"), "size": UntypedText("2")},
            Search("1", 2, True, Size.LARGE),
        ),
        ({"q": UntypedText(""), "size": UntypedText("")}, Search("")),
        ({"q": UntypedText("x"), "tags": UntypedText("1")}, Search("x", tags=[1])),
        ({"q": UntypedText("x"), "tags": [UntypedText("1"), UntypedText("2")]}, Search("x", tags=[1, 2])),
        ({"q": UntypedText("x"), "tags": UntypedText("[1,2]")}, Search("x", tags=[1, 2])),
        ({"q": UntypedText("x"), "at": UntypedText('{"x":1}')}, Search("x", at=Point(1))),
        ({"q": "x", "page": UntypedText("2")}, Search("x", 2)),
    ],
)
def test_a_query_is_converted_to_the_declared_types(raw: dict[str, Any], made: Search) -> None:
    assert input_schema(Search)(raw) == made


def test_names_that_clients_invent_are_not_remembered() -> None:
    @define
    class Page:
        number: int

    schema = input_schema(Page)
    for invented in range(1000):
        assert schema({"number": UntypedText("1"), f"x{invented}": UntypedText("1")}) == Page(1)
    assert list(schema._texts._fields) == ["number"]

    mapping = input_schema(dict[str, int])
    for invented in range(1000):
        assert mapping({f"x{invented}": UntypedText("1")}) == {f"x{invented}": 1}
    assert len(mapping._texts._fields) <= MAX_FIELDS


@pytest.mark.parametrize(
    ("raw", "errors"),
    [
        ({"q": UntypedText("x"), "page": UntypedText("two")}, {"page": [WHOLE]}),
        ({"q": UntypedText("x"), "page": [UntypedText("1"), UntypedText("2")]}, {"page": [WHOLE]}),
        ({"q": [UntypedText("x"), UntypedText("y")]}, {"q": [A_STRING]}),
        ({"q": UntypedText("x"), "tags": [UntypedText("1"), UntypedText("b")]}, {"tags.1": [WHOLE]}),
        ({"q": UntypedText("x"), "at": UntypedText("here")}, {"at": [AN_OBJECT]}),
        ({"q": UntypedText("x"), "at": UntypedText('{"x":"1"}')}, {"at.x": [WHOLE]}),
        ({"q": UntypedText("x"), "exact": UntypedText("")}, {"exact": ["Expected true or false"]}),
        ({}, {"q": ["Field required"]}),
    ],
)
def test_text_that_cannot_be_converted_is_told_as_the_json_would_be(
    raw: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    assert refused(Search, raw) == errors


@pytest.mark.parametrize(
    ("declared", "raw", "made"),
    [
        (SearchDict, {"q": UntypedText("1"), "page": UntypedText("2")}, {"q": "1", "page": 2}),
        (Point, {"x": UntypedText("1"), "tags": UntypedText("2")}, Point(1, tags=["2"])),
        (dict[str, int], {"a": UntypedText("1")}, {"a": 1}),
        (dict, {"a": UntypedText("1")}, {"a": "1"}),
        (Any, {"a": UntypedText("1"), "b": [UntypedText("2"), UntypedText("3")]}, {"a": "1", "b": ["2", "3"]}),
        (Box[int], {"one": UntypedText("1"), "many": UntypedText("2")}, Box(1, [2])),
        (Box[int], {"one": UntypedText("1"), "many": [UntypedText("2"), UntypedText("3")]}, Box(1, [2, 3])),
        (Cat | Dog, {"kind": UntypedText("cat"), "lives": UntypedText("9")}, Cat("cat", 9)),
        (Cat | Dog, {"kind": UntypedText("dog"), "tricks": UntypedText("sit")}, Dog("dog", ["sit"])),
        (Search | None, {"q": UntypedText("1"), "page": UntypedText("2")}, Search("1", 2)),
        (Annotated[Search, "x"], {"q": UntypedText("1"), "page": UntypedText("2")}, Search("1", 2)),
    ],
)
def test_a_query_is_converted_for_every_kind_of_object(declared: Any, raw: Any, made: object) -> None:
    assert input_schema(declared)(raw) == made


# pydantic and msgspec


class Model(pydantic.BaseModel):
    name: str
    count: int = 1
    ratio: float = 1.0
    day: date | None = None
    tags: list[int] = []
    inner: Model | None = None
    renamed: int = pydantic.Field(default=0, alias="other")
    anything: Any = None

    @pydantic.field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value == "root":
            raise ValueError("not this one")
        return value


class Struct(msgspec.Struct):
    name: str
    count: int = 1
    ratio: float = 1.0
    day: date | None = None
    tags: list[int] = []
    inner: Struct | None = None
    renamed: int = msgspec.field(default=0, name="other")
    anything: Any = None

    def __post_init__(self) -> None:
        if self.name == "root":
            raise ValueError("not this one")


@pydantic.dataclasses.dataclass
class ModelDataclass:
    name: str
    count: int = 1


MODELS: list[Any] = [Model, Struct]
FOREIGN: list[Any] = [*MODELS, ModelDataclass]


class PydanticBox(pydantic.BaseModel, Generic[T]):
    one: T


class StructBox(msgspec.Struct, Generic[T]):
    one: T


@pytest.mark.parametrize("declared", MODELS)
def test_models_of_other_libraries_are_made_by_those(declared: Any) -> None:
    made = input_schema(declared)({"name": "a", "ratio": 1, "day": "2024-02-29", "inner": {"name": "b"}, "other": 3})

    assert type(made) is type(made.inner) is declared
    assert (made.name, made.count, made.ratio, made.day, made.inner.name) == ("a", 1, 1.0, date(2024, 2, 29), "b")
    assert made.renamed == 3


@pytest.mark.parametrize("declared", FOREIGN)
@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "a", "count": "1"}, "count"),
        ({"name": "a", "count": True}, "count"),
        ({"name": "a", "count": 1.5}, "count"),
        ([], "_root"),
        ("a", "_root"),
        (None, "_root"),
    ],
)
def test_models_of_other_libraries_are_as_strict(declared: Any, raw: object, path: str) -> None:
    assert list(refused(declared, raw)) == [path]


@pytest.mark.parametrize("declared", MODELS)
@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"name": "a", "tags": "1"}, "tags"),
        ({"name": "a", "tags": [1, "2"]}, "tags.1"),
        ({"name": "a", "inner": {"name": "a", "inner": {"name": 1}}}, "inner.inner.name"),
        ({"name": "a", "inner": {}}, "inner.name"),
        ({"name": "a", "day": 1}, "day"),
    ],
)
def test_models_of_other_libraries_tell_paths_as_ours_do(declared: Any, raw: object, path: str) -> None:
    assert list(refused(declared, raw)) == [path]


@pytest.mark.parametrize("declared", FOREIGN)
def test_a_field_that_is_missing_is_told_in_the_same_words_by_all(declared: Any) -> None:
    assert refused(declared, {}) == {"name": ["Field required"]}


def test_a_pydantic_model_tells_all_that_is_wrong_at_once() -> None:
    assert list(refused(Model, {"count": "1", "tags": ["x", 1, "y"]})) == ["name", "count", "tags.0", "tags.2"]


def test_a_msgspec_struct_behind_a_key_is_told_with_a_star_for_the_key() -> None:
    class Structs(msgspec.Struct):
        by_name: dict[str, list[Struct]]

    assert list(refused(Structs, {"by_name": {"a.b": [{"name": 1}]}})) == ["by_name.*.0.name"]


def test_the_words_of_a_validator_are_told_by_models_of_other_libraries_too() -> None:
    assert refused(Model, {"name": "root"}) == {"name": ["not this one"]}
    assert refused(Struct, {"name": "root"}) == {"_root": ["not this one"]}


@pytest.mark.parametrize("declared", MODELS)
def test_a_query_is_converted_for_models_of_other_libraries(declared: Any) -> None:
    texts = {"name": "1", "count": "2", "ratio": "1", "day": "", "tags": "3", "other": "4", "anything": "5"}
    made = input_schema(declared)({name: UntypedText(text) for name, text in texts.items()})

    assert (made.name, made.count, made.ratio, made.day, made.tags) == ("1", 2, 1.0, None, [3])
    assert (made.renamed, made.anything) == (4, "5")


@pytest.mark.parametrize("declared", FOREIGN)
def test_an_integer_of_any_size_in_a_query_is_no_accident(declared: Any) -> None:
    assert input_schema(declared)({"name": UntypedText("a"), "count": UntypedText(str(10**30))}).count == 10**30


def test_pydantic_refuses_a_depth_that_its_parser_does_not_read_in_the_same_words() -> None:
    raw: Any = 1
    for _ in range(300):
        raw = [raw]

    assert refused(Model, {"name": "a", "anything": raw}) == {"_root": ["Nested too deeply"]}
    assert input_schema(Struct)({"name": "a", "anything": raw}).anything == raw


@pytest.mark.parametrize("declared", [PydanticBox[int], StructBox[int]])
def test_generic_models_of_other_libraries_work(declared: Any) -> None:
    assert input_schema(declared)({"one": 1}).one == 1
    assert input_schema(declared)({"one": UntypedText("1")}).one == 1
    assert list(refused(declared, {"one": "1"})) == ["one"]


def test_a_type_adapter_is_a_schema_too() -> None:
    adapter = pydantic.TypeAdapter(list[Model])

    assert input_schema(adapter)([{"name": "a"}]) == [Model(name="a")]
    assert list(refused(adapter, [{"name": "a"}, {"name": 1}])) == ["1.name"]


@define
class Mixed:
    model: Model
    structs: list[Struct]


def test_models_of_other_libraries_may_stand_inside_of_ours() -> None:
    made = input_schema(Mixed)({"model": {"name": "a"}, "structs": [{"name": "b"}]})

    assert made == Mixed(Model(name="a"), [Struct("b")])
    assert refused(Mixed, {"model": {"name": "a", "tags": ["x"]}, "structs": [{"name": "b"}, {}, 1]}) == {
        "model.tags.0": ["Input should be a valid integer"],
        "structs.1.name": ["Field required"],
        "structs.2": ["Expected `object`, got `int`"],
    }
    assert len(refused(list[Struct], [{}] * MAX_ERRORS)) == MAX_ERRORS
    assert list(refused(list[Struct], [{}] * (MAX_ERRORS + 1))) == ["_root"]


def test_schemas_are_values_that_can_be_shared() -> None:
    schema = input_schema(Tree)

    assert isinstance(schema, InputSchema)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        schema.type = int  # type: ignore[misc]  # that is the point
    assert schema({"value": 1}) == schema({"value": 1})


# Bounds


@define
class Numbers:
    xs: list[int]


def test_a_report_of_errors_is_bounded() -> None:
    at_most = refused(list[int], ["x"] * MAX_ERRORS)

    assert len(at_most) == MAX_ERRORS
    for declared, raw in [
        (list[int], ["x"] * (MAX_ERRORS + 1)),
        (list[int], ["x"] * 1_000_000),
        (list[Numbers], [{}] * (MAX_ERRORS + 1)),
        (list[User], [{"email": ""}] * (MAX_ERRORS + 1)),
        (dict[str, int], {str(n): "x" for n in range(MAX_ERRORS + 1)}),
        (pydantic.TypeAdapter(list[int]), ["x"] * (MAX_ERRORS + 1)),
    ]:
        assert refused(declared, raw) == {"_root": [f"More than {MAX_ERRORS} values are invalid"]}


def test_each_wrong_value_counts_once_however_deep_it_is() -> None:
    assert len(refused(list[list[list[int]]], [[["x"]]] * MAX_ERRORS)) == MAX_ERRORS
    assert len(refused(list[Numbers], [{"xs": ["x"]}] * MAX_ERRORS)) == MAX_ERRORS


def test_the_count_starts_anew_with_each_input() -> None:
    schema = input_schema(list[int])
    for _ in range(3):
        with pytest.raises(InvalidInput) as raised:
            schema(["x"] * (MAX_ERRORS - 1))
        assert len(raised.value.field_errors) == MAX_ERRORS - 1


def nested(levels: int, value: object) -> dict[str, Any]:
    raw: dict[str, Any] = {"value": value}
    for _ in range(levels):
        raw = {"value": 1, "children": [raw]}
    return raw


def test_what_is_wrong_in_the_depth_is_told_with_its_whole_path() -> None:
    assert refused(Tree, nested(100, "x")) == {f"{'children.0.' * 100}value": [WHOLE]}


def from_below(frames: int, call: Callable[[], Any]) -> Any:
    return from_below(frames - 1, call) if frames else call()


LEVELS: dict[Any, Callable[[Any], Any]] = {
    Tree: lambda inner: {"value": 1, "left": inner},
    Comment: lambda inner: {"text": "a", "replies": [] if inner is None else [inner]},
    Model: lambda inner: {"name": "a", "inner": inner},
    Struct: lambda inner: {"name": "a", "inner": inner},
}


BEYOND_ALL = 200_000
"""Levels that are too many for Python, and for the stack of C, whose limit is another one since Python 3.12."""


@pytest.mark.parametrize("declared", LEVELS)
def test_more_levels_than_python_can_call_are_refused(declared: Any) -> None:
    raw = None
    for _ in range(BEYOND_ALL if declared is Struct else sys.getrecursionlimit()):
        raw = LEVELS[declared](raw)

    # Whichever call it is that there is no room for.
    for frames in range(20):
        assert from_below(frames, lambda: refused(declared, raw)) == {"_root": ["Nested too deeply"]}


@pytest.mark.parametrize("declared", LEVELS)
def test_any_depth_is_either_read_or_refused(declared: Any) -> None:
    schema = input_schema(declared)
    raw = None
    answers = set()
    for level in range(BEYOND_ALL if declared is Struct else sys.getrecursionlimit()):
        raw = LEVELS[declared](raw)
        if level > sys.getrecursionlimit() and level % 1999:
            continue
        try:
            schema(raw)
            answers.add("read")
        except InvalidInput as error:
            answers.add(str(error.field_errors))

    assert answers == {"read", "{'_root': ['Nested too deeply']}"}
