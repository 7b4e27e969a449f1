"""The names of actions and types in JavaScript and TypeScript."""

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
"""Reserved words: not valid as the name of a JavaScript constant or a TypeScript type."""

TYPE_NAMES = frozenset(_TYPES.split())
"""The names of TypeScript's own types."""


@final
@attrs.frozen
class NameCollisionError(ValueError):
    """Two actions of one namespace have the same name for clients."""

    name: str
    first: str
    second: str

    def __str__(self) -> str:
        return (
            f"two actions have the name {self.name!r} for clients: {self.first} and {self.second}; "
            "set the option name= of one of them"
        )


def camel_case(name: str) -> str:
    """Return the JavaScript name of an action: ``aiChat`` for ``ai_chat``.

    An underscore is added to a reserved word: ``delete_``.
    """
    first, *rest = re.findall(r"[^\W_]+", name) or ["_"]
    # Lower a whole word of capitals at the start: `AIChat` becomes `aiChat`, not `aIChat`.
    first = re.sub(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z](?=[a-z])|^[A-Z]+", lambda found: found[0].lower(), first)
    return _legal("".join([first, *map(_capitalised, rest)]), RESERVED)


def type_name(parts: Sequence[str]) -> str:
    """Return the TypeScript name of a type from *parts* of its origin: ``ChatToken`` for ``["chat", "Token"]``."""
    *around, own = parts
    name = "".join(map(pascal_case, around)) + (_capitalised(own) if around else own)
    return _legal(name, RESERVED | TYPE_NAMES)


def pascal_case(text: str) -> str:
    """Return the words of *text* as one capitalised name: ``PageUser`` for ``Page[user]``."""
    return "".join(map(_capitalised, re.findall(r"[^\W_]+", text)))


def exports(routes: Iterable[Route]) -> dict[str, Route]:
    """Return *routes* by their JavaScript names.

    If an action has several routes, those after the first are numbered. If an action of another namespace already has
    the name, it is prefixed with the route's own namespace.
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
    """Check that the actions of one namespace have different names.

    Raises:
        NameCollisionError: Two actions have the same name.
    """
    named: dict[str, Route] = {}
    for route in routes:
        name = camel_case(route.action.name)
        first = named.setdefault(name, route)
        if _identity_of(first.action._handler.function) != _identity_of(route.action._handler.function):
            raise NameCollisionError(name, _described(first), _described(route))


def first_free(name: str, is_taken: Callable[[str], bool]) -> str:
    """Return *name* if it is free, or else *name* with the first number, from 2, that makes it free."""
    free, count = name, 2
    while is_taken(free):
        free, count = f"{name}{count}", count + 1
    return free


def _identity_of(handler: object) -> tuple[int, int]:
    # Not the view, since each registration creates a new one; not a bound method, since each access creates a new one.
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
