"""Call handlers, guards and middleware with the keyword arguments that they accept."""

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
    """An async function and the names of its parameters.

    Attributes:
        function: The function.
        names: The names of its parameters.
        wraps: True if it is an async generator function: the code after its ``yield`` runs after the handler.
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
        """Return the call of *function*, which errors name by its *role*, such as "guard".

        Raises:
            TypeError: *function* is not async, has a parameter that is not in *allowed* or cannot be passed by name,
                or lacks a parameter that is in *required*.
        """
        if not callable(function):
            raise TypeError(f"{role} must be an async function, not {function!r}")
        given = function.keywords if isinstance(function, partial) else {}
        title = f"{role} {name_of(function)}"
        wraps = _is_kind(inspect.isasyncgenfunction, function)
        if wraps and not may_wrap:
            raise TypeError(
                f"{title} is an async generator function: send chunks with `await stream.send(...)` instead of `yield`"
            )
        if not wraps and not _is_kind(inspect.iscoroutinefunction, function):
            raise TypeError(f"{title} must be an async function: define it with `async def`")
        names = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in given:
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(
                    f"{title}: parameter `{parameter}` is not valid, because arguments are passed by name; a decorator "
                    "must keep the names of the parameters, with functools.wraps"
                )
            if parameter.name not in allowed:
                hint = "; of a method, pass the bound method" if parameter.name == "self" else ""
                raise TypeError(
                    f"{title}: unknown parameter {parameter.name!r}; expected any of {_listed(allowed)}{hint}"
                )
            names.append(parameter.name)
        if missing := required.difference(names):
            raise TypeError(f"{title} needs a parameter {_listed(missing)}")
        return cls(function, tuple(names), wraps)

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Call the function with those of *arguments* that it has parameters for.

        The result is awaitable; if ``wraps`` is True, it is an async generator.
        """
        return self.function(**{name: arguments[name] for name in self.names})


def check_calls(functions: Iterable[object], role: str, allowed: frozenset[str]) -> tuple[NamedCall, ...]:
    """Return the calls of the guards or middleware of an action.

    Raises:
        TypeError: A function is not valid (see ``NamedCall.to``), or *functions* is itself a function.
    """
    if callable(functions):
        raise TypeError(f"expected a list of {role} functions, not a function: write [function] for a single one")
    return tuple(NamedCall.to(function, role, allowed, may_wrap=True) for function in functions)


def merge(ctx: dict[str, Any], call: NamedCall, added: object) -> None:
    """Merge *added*, the mapping or None that *call* returned or yielded, into *ctx*.

    Raises:
        TypeError: *added* is neither a mapping nor None.
    """
    if isinstance(added, Mapping):
        ctx.update(added)
    elif added is not None:
        did, may = ("yielded", "yield") if call.wraps else ("returned", "return")
        kind = type(added).__qualname__
        raise TypeError(f"middleware {name_of(call.function)} {did} {kind}: it must {may} a mapping or None")


def name_of(function: Any) -> str:
    """Return the name of *function* for messages: of a partial, the name of its function; of an object, its class."""
    while isinstance(function, partial):
        function = function.func
    name: str | None = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return name or type(function).__qualname__


def _is_kind(is_kind: Callable[[Any], bool], function: Any) -> bool:
    """Return True if *is_kind* returns True for *function*, or for the function in a partial, object or decorator."""
    while isinstance(function, partial):
        function = function.func
    # The wrapper of a synchronous decorator returns the coroutine of the async function, so it counts as async.
    candidates = (function, inspect.unwrap(function), inspect.unwrap(type(function).__call__))
    return any(is_kind(candidate) for candidate in candidates)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
