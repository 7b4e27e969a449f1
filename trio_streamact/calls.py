"""Calling a function by its parameter names, and the middleware chain."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, final

import attrs

MIDDLEWARE_PARAMETERS = frozenset({"request", "ctx", "metadata", "input"})
HANDLER_PARAMETERS = MIDDLEWARE_PARAMETERS | {"stream"}


@final
@attrs.frozen
class NamedCall:
    """An async function and the names of the arguments that it wants."""

    function: Callable[..., Awaitable[Any]]
    names: tuple[str, ...]

    @classmethod
    def to(
        cls, function: object, role: str, allowed: frozenset[str], required: frozenset[str] = frozenset()
    ) -> NamedCall:
        """Check *function*, which serves as *role*, and remember what it wants.

        Raises:
            TypeError: It is not an async function, has a parameter of another name than those *allowed*, takes one by
                position only, or lacks one that is *required*.
        """
        if not callable(function):
            raise TypeError(f"{role} must be an async function, not {function!r}")
        target = function.func if isinstance(function, partial) else function
        given = function.keywords if isinstance(function, partial) else {}
        title = f"{role} {getattr(target, '__qualname__', repr(target))}"
        if inspect.isasyncgenfunction(target):
            raise TypeError(f"{title} is an async generator; send chunks with `await stream.send(...)`, do not yield")
        if not inspect.iscoroutinefunction(target) and not inspect.iscoroutinefunction(type(target).__call__):
            raise TypeError(f"{title} must be an async function: define it with `async def`")
        names = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in given:
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"{title}: its arguments come by name, so `{parameter}` can receive none")
            if parameter.name not in allowed:
                raise TypeError(f"{title}: no argument is named {parameter.name!r}; it can have {_listed(allowed)}")
            names.append(parameter.name)
        if missing := required.difference(names):
            raise TypeError(f"{title} needs a parameter {_listed(missing)}")
        return cls(function, tuple(names))

    def __call__(self, arguments: Mapping[str, Any]) -> Awaitable[Any]:
        """Call the function with those of *arguments* that it wants."""
        return self.function(**{name: arguments[name] for name in self.names})


def middleware_chain(functions: Iterable[object]) -> tuple[NamedCall, ...]:
    """Check middleware functions, once, where the action is defined.

    Raises:
        TypeError: One of them cannot be called by names, or *functions* is itself a function.
    """
    if callable(functions):
        raise TypeError("middleware is a list of functions; write [function] for a single one")
    return tuple(NamedCall.to(function, "middleware", MIDDLEWARE_PARAMETERS) for function in functions)


async def run_middleware(chain: Iterable[NamedCall], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run *chain* in order and give the context: the mappings it returned, later keys over earlier ones.

    Raises:
        TypeError: A middleware returned something that is neither a mapping nor None.
    """
    ctx: dict[str, Any] = {}
    for call in chain:
        added = await call({**arguments, "ctx": ctx})
        if added is None:
            continue
        if not isinstance(added, Mapping):
            name = getattr(call.function, "__qualname__", repr(call.function))
            raise TypeError(f"middleware {name} returned {type(added).__qualname__}; it may return a mapping, or None")
        ctx.update(added)
    return ctx


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
