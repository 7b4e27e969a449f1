"""Calling a function by its parameter names: handlers, guards and middleware."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, final

import attrs

GUARD_PARAMETERS = frozenset({"request", "ctx", "metadata"})
MIDDLEWARE_PARAMETERS = GUARD_PARAMETERS | {"input"}
HANDLER_PARAMETERS = MIDDLEWARE_PARAMETERS | {"stream"}


@final
@attrs.frozen
class NamedCall:
    """An async function and the names of the arguments that it wants.

    Attributes:
        function: The function.
        names: The names of its parameters.
        wraps: Whether it is an async generator function, whose part after the ``yield`` runs when the handler is over.
    """

    function: Callable[..., Any]
    names: tuple[str, ...]
    wraps: bool = False

    @classmethod
    def to(
        cls,
        function: object,
        role: str,
        allowed: frozenset[str],
        required: frozenset[str] = frozenset(),
        *,
        may_wrap: bool = False,
    ) -> NamedCall:
        """Check *function*, which serves as *role*, and remember what it wants.

        Raises:
            TypeError: It is not an async function, has a parameter of another name than those *allowed*, takes one by
                position only, or lacks one that is *required*.
        """
        if not callable(function):
            raise TypeError(f"{role} must be an async function, not {function!r}")
        given = function.keywords if isinstance(function, partial) else {}
        title = f"{role} {name_of(function)}"
        wraps = _is_kind(inspect.isasyncgenfunction, function)
        if wraps and not may_wrap:
            raise TypeError(f"{title} is an async generator; send chunks with `await stream.send(...)`, do not yield")
        if not wraps and not _is_kind(inspect.iscoroutinefunction, function):
            raise TypeError(f"{title} must be an async function: define it with `async def`")
        names = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in given:
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(
                    f"{title}: its arguments come by name, so `{parameter}` can receive none; a decorator has to keep "
                    "the names of the parameters, with functools.wraps"
                )
            if parameter.name not in allowed:
                hint = "; of a method, give the bound one" if parameter.name == "self" else ""
                raise TypeError(
                    f"{title}: no argument is named {parameter.name!r}; it can have {_listed(allowed)}{hint}"
                )
            names.append(parameter.name)
        if missing := required.difference(names):
            raise TypeError(f"{title} needs a parameter {_listed(missing)}")
        return cls(function, tuple(names), wraps)

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Call the function with those of *arguments* that it wants; the result is to be awaited, or iterated."""
        return self.function(**{name: arguments[name] for name in self.names})


def check_calls(functions: Iterable[object], role: str, allowed: frozenset[str]) -> tuple[NamedCall, ...]:
    """Check the functions of an action that run before its handler, once, where the action is defined.

    Raises:
        TypeError: One of them cannot be called by names, or *functions* is itself a function.
    """
    if callable(functions):
        raise TypeError(f"{role} functions are given in a list: write [function] for a single one")
    return tuple(NamedCall.to(function, role, allowed, may_wrap=True) for function in functions)


def merge(ctx: dict[str, Any], call: NamedCall, added: object) -> None:
    """Add to *ctx* what *call* returned, or yielded: a mapping, or None for nothing.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(added, Mapping):
        ctx.update(added)
    elif added is not None:
        did, may = ("yielded", "yield") if call.wraps else ("returned", "return")
        kind = type(added).__qualname__
        raise TypeError(f"middleware {name_of(call.function)} {did} {kind}; it may {may} a mapping, or None")


def name_of(function: Any) -> str:
    """Return the name of *function* for its author; of a partial that of its function, of an object its class's."""
    while isinstance(function, partial):
        function = function.func
    name: str | None = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return name or type(function).__qualname__


def _is_kind(is_kind: Callable[[Any], bool], function: Any) -> bool:
    """Whether *function* is of a kind, also as a partial, an object that is called, or behind plain decorators."""
    while isinstance(function, partial):
        function = function.func
    # A plain decorator of an async function returns what that returns.
    candidates = (function, inspect.unwrap(function), inspect.unwrap(type(function).__call__))
    return any(is_kind(candidate) for candidate in candidates)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
