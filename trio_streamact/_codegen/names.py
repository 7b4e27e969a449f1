"""What actions and types are called where JavaScript and TypeScript can import them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import final

import attrs

from .._actions.routes import Route
from .._actions.signature import name_of

_WORDS = """
arguments await break case catch class const continue debugger default delete do else enum eval export extends false
finally for function if implements import in instanceof interface let new null package private protected public return
static super switch this throw true try typeof undefined var void while with yield
"""
_TYPES = "any asserts bigint boolean never number object string symbol unknown"

RESERVED = frozenset(_WORDS.split())
"""What no module of JavaScript may call a constant, and no TypeScript a type."""

TYPE_NAMES = frozenset(_TYPES.split())
"""What TypeScript itself calls types."""


@final
@attrs.frozen
class NameCollisionError(ValueError):
    """Two actions of one namespace would have the same name for clients."""

    name: str
    first: str
    second: str

    def __str__(self) -> str:
        return (
            f"two actions would be {self.name!r} for clients: {self.first} and {self.second}; give one of them a name="
        )


def camel_case(name: str) -> str:
    """Give the name of a handler as JavaScript writes names: ``ai_chat`` as ``aiChat``.

    A word that JavaScript keeps for itself gets an underscore behind it: ``delete_``.
    """
    first, *rest = re.findall(r"[^\W_]+", name) or ["_"]
    # A word of capitals in front goes as a whole: `AIChat` is `aiChat`, and not `aIChat`.
    first = re.sub(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z](?=[a-z])|^[A-Z]+", lambda found: found[0].lower(), first)
    return _legal("".join([first, *map(_capitalised, rest)]), RESERVED)


def type_name(parts: Sequence[str]) -> str:
    """Join *parts*, the last of which is a type's own name, to one: ``["chat", "Token"]`` to ``ChatToken``."""
    *around, own = parts
    name = "".join(map(pascal_case, around)) + (_capitalised(own) if around else own)
    return _legal(name, RESERVED | TYPE_NAMES)


def pascal_case(text: str) -> str:
    """Give the words in *text* as TypeScript writes the names of types: ``Page[user]`` as ``PageUser``."""
    return "".join(map(_capitalised, re.findall(r"[^\W_]+", text)))


def exports(routes: Iterable[Route]) -> dict[str, Route]:
    """Name every one of *routes*; where an action stands at several, those behind the first are numbered.

    Where another namespace has the name already, that of the route's own stands in front of it.
    """
    named: dict[str, Route] = {}
    times: dict[tuple[int, int], int] = {}
    for route in routes:
        handler = _identity_of(route.action._handler.function)
        times[handler] = times.get(handler, 0) + 1
        name = camel_case(route.action.name)
        if times[handler] > 1:
            name = f"{name}{times[handler]}"
        if name in named:
            name = camel_case(f"{route.namespace} {route.action.name}")
        named[first_free(name, named.__contains__)] = route
    return named


def check_names(routes: Iterable[Route]) -> None:
    """Check that each action of one namespace has a name of its own.

    Raises:
        NameCollisionError: Two have the same.
    """
    named: dict[str, Route] = {}
    for route in routes:
        name = camel_case(route.action.name)
        first = named.setdefault(name, route)
        if _identity_of(first.action._handler.function) != _identity_of(route.action._handler.function):
            raise NameCollisionError(name, _described(first), _described(route))


def first_free(name: str, is_taken: Callable[[str], bool]) -> str:
    """Give *name*, or *name* with the first number behind it that makes it free."""
    free, count = name, 2
    while is_taken(free):
        free, count = f"{name}{count}", count + 1
    return free


def _identity_of(handler: object) -> tuple[int, int]:
    # Each registration makes a view of its own, and each look at a method another object for it.
    return id(getattr(handler, "__self__", None)), id(getattr(handler, "__func__", handler))


def _described(route: Route) -> str:
    function = inspect.unwrap(route.action._handler.function)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    place = f", {code.co_filename}:{code.co_firstlineno}" if code else ""
    return f"{name_of(function)} ({route.methods[0]} {route.path}{place})"


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]


def _legal(name: str, reserved: frozenset[str]) -> str:
    return f"{name}_" if name in reserved else f"_{name}" if name[0].isdigit() else name
