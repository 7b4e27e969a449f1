"""Every kind of input that an action can declare, for what is thrown at them."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
from attrs import define, field, validators

from trio_streamact import InvalidInput


class Color(enum.Enum):
    RED = "red"
    NINE = 9


@define
class Tag:
    name: str = field(validator=validators.max_len(20))
    weight: float = 1.0


@define
class Order:
    id: int
    tags: list[Tag]
    mode: Literal["a", "b", 1] = "a"
    color: Color = Color.RED
    when: datetime | date | None = None
    price: Decimal = Decimal(1)
    data: bytes = b""
    ids: frozenset[UUID] = frozenset()
    pairs: dict[str, list[int]] = field(factory=dict)
    by_number: dict[int, float] = field(factory=dict)
    point: tuple[int, float] = (0, 0.0)
    either: int | str | list[int] | None = None
    inner: Order | None = None


@dataclasses.dataclass
class Parcel:
    id: int
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    parts: list[Parcel] = dataclasses.field(default_factory=list)
    sizes: set[int] = dataclasses.field(default_factory=set)


class Search(TypedDict):
    term: str
    page: NotRequired[int]
    tags: NotRequired[list[Tag]]
    inner: NotRequired[dict[str, Search]]


class Spot(NamedTuple):
    x: int
    y: float = 0.0


class Profile(pydantic.BaseModel):
    id: int
    email: str = pydantic.Field(min_length=3)
    tags: list[str] = []
    pairs: dict[str, list[int]] = {}
    prices: set[Decimal] = set()
    born: date | None = None
    inner: list[Profile] = []


class Strict(pydantic.BaseModel, extra="forbid"):
    either: int | list[int] | dict[str, int] | None = None
    names: dict[str, Literal["a", "b"]] = {}


class And(pydantic.BaseModel):
    """One of a union without a discriminator that contains itself."""

    both: tuple[Expression, Expression]


class Not(pydantic.BaseModel):
    inner: Expression


class Term(pydantic.BaseModel):
    name: str


Expression = And | Not | Term
And.model_rebuild()
Not.model_rebuild()


class Point(msgspec.Struct):
    id: int
    x: float = 0.0
    names: dict[str, int] = {}
    ids: set[UUID] = set()
    inner: list[Point] = []


class Named(msgspec.Struct):
    """One whose refusal repeats what it was given."""

    name: str

    def __post_init__(self) -> None:
        if not self.name.isalnum():
            raise ValueError(f"{self.name!r} is no name")


def _is_short(_: Any, __: Any, value: str) -> None:
    if len(value) > 20:
        raise ValueError(f"{value!r} is too long")


@define
class Quoted:
    """The same, of attrs."""

    name: str = field(default="", validator=_is_short)
    names: list[Tag] = field(factory=list)


class Even:
    def validate(self, raw: Any) -> int:
        if not isinstance(raw, dict) or not isinstance(raw.get("id"), int) or raw["id"] % 2:
            raise InvalidInput({"id": ["Expected an even number"]})
        number: int = raw["id"]
        return number


INPUTS: dict[str, Any] = {
    "/any": Any,
    "/attrs": Order,
    "/dataclass": Parcel,
    "/typed-dict": Search,
    "/pydantic": Profile,
    "/strict": Strict,
    "/adapter": pydantic.TypeAdapter(dict[UUID, list[int | str]]),
    "/expression": pydantic.TypeAdapter(And | Not | Term),
    "/msgspec": Point,
    "/named": Named,
    "/quoted": Quoted,
    "/mapping": dict[str, Any],
    "/mappings": dict[str, dict[str, list[bool]]],
    "/numbers": dict[int, float],
    "/by-decimal": dict[Decimal, int],
    "/list": list[int],
    "/times": list[datetime],
    "/texts": list[bytes],
    "/spots": list[Spot],
    "/set": set[int],
    "/uuids": frozenset[UUID],
    "/decimals": frozenset[Decimal],
    "/union": Tag | list[Tag] | None,
    "/unions": list[Tag | int | dict[str, Color]],
    "/literal": list[Literal["a", 1] | None],
    "/validate": Even(),
}
"""What the actions at these paths declare as their input."""
