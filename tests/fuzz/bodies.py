"""Bodies by the grammar of what an action declares, that go for what they cost: long names, depth, numbers, collisions.

All is random, and the same for the same dice. A body has about the size that is asked for: most of its values are
copies of a few, which costs the generator little and a validator as much as any others.
"""

from __future__ import annotations

import enum
import json
import math
import random
import typing
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Literal
from urllib.parse import quote_from_bytes
from uuid import UUID

import pydantic
from attrs import frozen

from tests.fuzz.inputs import INPUTS
from trio_streamact._inputs.declared import is_union, unwrapped

FORM, MULTIPART, JSON = "application/x-www-form-urlencoded", "multipart/form-data", "application/json"
CHARSETS = ["utf-16", "utf-32-le", "latin-1", "utf-16-be", "shift-jis"]
PRIME = 2**61 - 1
"""Numbers that are equal modulo this have the same hash in Python."""


@frozen
class Body:
    """A request's input, and where it goes."""

    path: str
    content_type: str
    data: bytes


def any_body(dice: random.Random, size: int, path: str | None = None) -> Body:
    """Make a body of about *size* bytes for one of the actions."""
    path = path or dice.choice(list(INPUTS))
    declared = INPUTS[path]
    kind = dice.choice([JSON, JSON, JSON, JSON, FORM, MULTIPART])
    if kind == FORM:
        return Body(path, FORM, _urlencoded(dice, declared, size))
    if kind == MULTIPART:
        return Body(path, f"{MULTIPART}; boundary=b", _multipart(dice, declared, size))
    text = value(dice, declared, size)
    if dice.random() < 0.1:
        charset = dice.choice(CHARSETS)
        return Body(path, f"{JSON}; charset={charset}", text.encode(charset, "replace"))
    return Body(path, JSON, text.encode("utf-8", "replace"))


PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
SOUND: list[tuple[str, str, Body]] = [
    ("POST", "/list", Body("/list", JSON, b"[1,2,3]")),
    ("POST", "/attrs", Body("/attrs", JSON, b'{"id":1,"tags":[{"name":"a"}]}')),
    ("POST", "/mapping", Body("/mapping", FORM, b"a=1&b=2")),
    ("POST", "/any", Body("/any", f"{MULTIPART}; boundary=b", PART + b"1\r\n--b--")),
    ("GET", "/any?a=1", Body("/any", JSON, b"")),
    *(("GET", path, Body(path, JSON, b"")) for path in ("/idle", "/ticks", "/flood", "/refused") for _ in range(2)),
    ("POST", "/idle", Body("/idle", JSON, b"{}")),
    ("POST", "/flood", Body("/flood", JSON, b"")),
]
"""Good requests: method, path and body."""


# JSON


def value(dice: random.Random, declared: Any, size: int) -> str:
    """Make a JSON text of about *size* characters that looks like *declared*, or, now and then, does not."""
    if dice.random() < 0.1:
        declared = Any
    declared = unwrapped(declared)
    if isinstance(declared, pydantic.TypeAdapter):
        declared = declared._type
    base, arguments = typing.get_origin(declared) or declared, typing.get_args(declared)
    if is_union(declared):
        return value(dice, dice.choice(arguments), size)
    if size < 4 and (fields_of(base) or base in (dict, list, set, frozenset)):
        return "[]" if base in (list, set, frozenset) else "{}"
    if fields := fields_of(base):
        return _object_of(dice, base, fields, size)
    if base is dict:
        return _object(dice, arguments[0], arguments[1], size)
    if base is tuple:
        return listed(value(dice, argument, size // len(arguments)) for argument in arguments)
    if base in (list, set, frozenset):
        return _list(dice, arguments[0], size, distinct=base is not list)
    if declared in _SCALARS or base is Literal or (isinstance(base, type) and issubclass(base, enum.Enum)):
        return scalar(dice, declared, size)
    return _anything(dice, size)


@cache
def fields_of(declared: Any) -> dict[str, Any]:
    """The fields of a class, whichever library it is of; a named tuple's are those of a list."""
    if not isinstance(declared, type) or declared.__module__ != "tests.fuzz.inputs" or issubclass(declared, enum.Enum):
        return {}
    return {} if issubclass(declared, tuple) else typing.get_type_hints(declared)


def listed(texts: Iterable[str]) -> str:
    return f"[{','.join(texts)}]"


def _anything(dice: random.Random, size: int) -> str:
    if size < 8:
        return scalar(dice, dice.choice(list(_SCALARS)), size)
    make: list[Callable[[], str]] = [
        lambda: _text(dice, size),
        lambda: _list(dice, Any, size),
        lambda: _object(dice, str, Any, size),
        lambda: _levels(dice, size),
        lambda: scalar(dice, dice.choice(list(_SCALARS)), size),
    ]
    return dice.choice(make)()


def _share(dice: random.Random, size: int) -> int:
    """A part of *size*: as often tiny as large."""
    return max(1, int(max(1, size) ** dice.random()))


def _list(dice: random.Random, item: Any, size: int, *, distinct: bool = False) -> str:
    one = value(dice, item, min(size - 2, _share(dice, size)))
    count = max(1, size // (len(one) + 1))
    if distinct and (make := _NUMBERED.get(item)):
        spread = dice.choice([1, PRIME])
        return listed(make(1 + number * spread) for number in range(max(1, size // len(make(PRIME)))))
    others = [value(dice, item, min(size // 4, len(one))) for _ in range(dice.choice([0, 0, 3]))]
    return listed(others + [one] * count)


_NUMBERED: dict[Any, Callable[[int], str]] = {
    int: str,
    UUID: lambda number: f'"{UUID(int=number % 2**128)}"',
    Decimal: lambda number: f'"{number}"',
}


def _object_of(dice: random.Random, declared: Any, fields: dict[str, Any], size: int) -> str:
    """An object with one field that takes most of the room; others may be there, and unknown ones."""
    large = dice.choice(list(fields))
    members = {name: value(dice, hint, min(10, size // 8)) for name, hint in fields.items() if dice.random() < 0.6}
    members[large] = value(dice, fields[large], size - 4)
    if dice.random() < 0.2 and (wrappers := _wrappers(declared)):
        opening, closing = dice.choice(wrappers)
        levels = dice.randrange(min(60, 1 + size // len(opening + closing)))
        inner = ",".join(f'"{name}":{text}' for name, text in members.items())
        return f"{opening * levels}{{{inner}}}{closing * levels}"
    texts = [f'"{name}":{text}' for name, text in members.items()]
    if dice.random() < 0.1:
        texts.append(_object(dice, str, Any, max(1, size // 4))[1:-1] or '"u":1')
    return f"{{{','.join(texts)}}}"


@cache
def _wrappers(declared: Any) -> list[tuple[str, str]]:
    """What may stand around an object of a class that contains itself, and make one of it again."""
    found = []
    for name, hint in fields_of(declared).items():
        members = typing.get_args(hint) if is_union(hint) else (hint,)
        for member in members:
            base, arguments = typing.get_origin(member), typing.get_args(member)
            if member is declared:
                found.append((f'{{"{name}":', "}"))
            elif declared in arguments:
                found.append((f'{{"{name}":[', "]}") if base is list else (f'{{"{name}":{{"k":', "}}"))
    return found


def _object(dice: random.Random, key: Any, member: Any, size: int) -> str:
    one = value(dice, member, min(size - 4, _share(dice, size)))
    names = _names(dice, key)
    length = len(next(names)) + len(one) + 4
    members = (f'"{next(names)}":{one}' for _ in range(max(1, size // length)))
    return f"{{{','.join(members)}}}"


def _names(dice: random.Random, key: Any) -> Iterator[str]:
    """Names without end, all different: short, as long as may be, too long, of escapes, colliding."""
    spread = dice.choice([1, PRIME])
    padding = dice.choice(["", "", "k" * 50, "k" * 240, "\\u0001" * 200, "é" * 200, "\\n" * 100, "k" * 2000, "."])
    for number in range(1, 10**9):
        if key is str:
            yield f"{padding}{number}"
        elif key is UUID:
            yield str(UUID(int=(1 + number * spread) % 2**128))
        else:
            yield str(1 + number * spread)


def _levels(dice: random.Random, size: int) -> str:
    opening, closing = dice.choice(
        [("[", "]"), ('{"inner":', "}"), ('{"%s":' % ("k" * 250), "}"), ("[1,", "]"), ('[{"a":', "}]")]
    )
    most = max(1, size // (len(opening) + len(closing)))
    levels = min(most, dice.choice([10, 60, 64, 200, 1000, most]))
    return opening * levels + _anything(dice, max(1, size - levels * 2 - 4)) * (levels < most) + closing * levels


PIECES = ["x", "\\u0001", '\\"', "\\\\", "é", "\U0001f600", " ", "[", ",", "{", " - at `$", "0", ".", "\\ud83d\\ude00"]


def _text(dice: random.Random, size: int) -> str:
    piece = dice.choice(PIECES)
    first = dice.choice(["", "", "\U0001f600"])  # with which each character takes four bytes in Python
    return f'"{first}{piece * max(1, size // len(piece))}"'


def scalar(dice: random.Random, declared: Any, size: int) -> str:
    """Make what stands for a value of *declared* in JSON, or what nearly does."""
    if typing.get_origin(declared) is Literal:
        return json.dumps(dice.choice([*typing.get_args(declared), "c"]))
    if isinstance(declared, type) and issubclass(declared, enum.Enum):
        return json.dumps(dice.choice([*(member.value for member in declared), "c"]))
    if dice.random() < 0.2:
        return dice.choice(WRONG)
    return dice.choice(_SCALARS[declared])(size)


WRONG = ['""', "null", "true", "1e400", "-0", "[]", "{}", '"x"', "1.5", "NaN", "9" * 400, '"\\ud800"', "[[]]"]

_SCALARS: dict[Any, list[Callable[[int], str]]] = {
    int: [lambda _: "1", lambda size: "9" * min(size, 18), lambda _: "-7"],
    float: [lambda _: "1.5", lambda size: "0." + "3" * min(size, 2000), lambda _: "1e300"],
    bool: [lambda _: "true"],
    str: [
        lambda _: '"a"',
        lambda size: '"%s"' % ("x" * size),
        lambda size: '"\U0001f600%s"' % ("x" * size),
        lambda size: '"%s"' % ("\\u0001" * (size // 6)),
    ],
    bytes: [lambda size: '"%s"' % ("A" * (size // 4 * 4)), lambda size: '"%s"' % ("A" * size + "!")],
    UUID: [lambda _: f'"{UUID(int=7)}"', lambda _: f'"{UUID(int=PRIME)}"', lambda size: '"%s"' % ("0" * size)],
    Decimal: [lambda _: '"1.5"', lambda size: '"%s"' % ("9" * size), lambda _: '"1e999999"'],
    datetime: [lambda _: '"2024-01-01T00:00:00Z"', lambda size: '"2024-01-01T00:00:00.%s"' % ("0" * size)],
    date: [lambda _: '"2024-01-01"', lambda _: '"2024-02-30"'],
}


# Forms


def _form_names(dice: random.Random, declared: Any) -> Iterator[str]:
    names = list(fields_of(declared) if isinstance(declared, type) else {}) or ["a"]
    kind = dice.choice(["same", "declared", "numbered", "keys"])
    numbered = _names(dice, str)
    for number in range(10**9):
        if kind == "keys":
            yield next(numbered)
        else:
            yield names[0] if kind == "same" else names[number % len(names)] if kind == "declared" else f"n{number}"


def _form_value(dice: random.Random, declared: Any, size: int) -> bytes:
    pieces = [b"x", b"%41", b"\xff", b"+", b"1", b"%", b"\xc3\xa9"]
    if dice.random() < 0.5:
        return value(dice, declared, size).encode("utf-8", "replace")
    piece = dice.choice(pieces)
    return piece * max(1, size // len(piece))


def _urlencoded(dice: random.Random, declared: Any, size: int) -> bytes:
    names = _form_names(dice, declared)
    one = _form_value(dice, declared, _share(dice, size))
    if dice.random() < 0.5:
        one = quote_from_bytes(one, safe="%+").encode()
    length = len(next(names)) + len(one) + 2
    count = max(1, size // length)
    if dice.random() < 0.7:
        count = min(count, 999)  # more are refused at once
    return dice.choice([b"&", b"&", b"&", b"&&", b";"]).join(
        b"%b=%b" % (next(names).encode(), one) for _ in range(count)
    )


def _multipart(dice: random.Random, declared: Any, size: int) -> bytes:
    names = _form_names(dice, declared)
    one = _form_value(dice, declared, _share(dice, size))
    extra = dice.choice(
        [
            b"",
            b'; filename="f"',
            b';a=""' * math.ceil(size ** (dice.random() / 2)),
            b"; filename*=utf-8''%41",
            b"\r\nX: " + b"y" * _share(dice, size),
            b"\r\nX: y" * _share(dice, size // 5),
            b"\r\nContent-Type: text/plain; charset=utf-16",
        ]
    )
    part = b'--b\r\nContent-Disposition: form-data; name="%b"' + extra.replace(b"%", b"%%") + b"\r\n\r\n%b\r\n"
    length = len(part) + len(one) + len(next(names))
    count = max(1, size // length)
    if dice.random() < 0.7:
        count = min(count, 999)
    return b"".join(part % (next(names).encode(), one) for _ in range(count)) + dice.choice([b"--b--\r\n"] * 5 + [b""])


def spoilt(dice: random.Random, data: bytes) -> bytes:
    """Return *data* with some of its bytes changed, left out or repeated; or cut short."""
    for _ in range(dice.choice([1, 1, 2, 5])):
        at = dice.randrange(len(data) + 1)
        length = _share(dice, len(data) + 1)
        change = dice.randrange(6)
        if change == 0:
            data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        elif change == 1:
            data = data[:at] + data[at + length :]
        elif change == 2:
            data = data[:at] + data[at : at + length] + data[at:]
        elif change == 3:
            data = data[:at] + dice.randbytes(dice.randrange(1, 5)) + data[at:]
        elif change == 4:
            data = data[:at]
        else:
            data = data[:at] + dice.choice(MARKS) + data[at:]
    return data


MARKS = [
    b"\0",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b":",
    b" ",
    b"\xff\xff",
    b"0",
    b"-1",
    b"\r\n0\r\n\r\n",
    b"?",
    b"%",
    b"\x80",
]
