"""Calling by parameter names, and what cannot be called so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest

from trio_streamact import define_stream_action
from trio_streamact._actions.signature import HANDLER_PARAMETERS, MIDDLEWARE_PARAMETERS, NamedCall, check_calls
from trio_streamact._actions.wrapping import run_before

ARGUMENTS = {"input": 1, "request": 2, "metadata": 3, "ctx": {}, "stream": 5}


def middleware_chain(functions: Any) -> tuple[NamedCall, ...]:
    return check_calls(functions, "middleware", MIDDLEWARE_PARAMETERS)


async def run_middleware(chain: tuple[NamedCall, ...], arguments: dict[str, Any]) -> dict[str, Any]:
    async def nothing_within() -> None: ...

    ctx: dict[str, Any] = {}
    await run_before(chain, {**arguments, "ctx": ctx}, nothing_within)
    return ctx


def call_to(function: object) -> NamedCall:
    return NamedCall.to(function, "handler", HANDLER_PARAMETERS)


async def nothing() -> tuple[()]:
    return ()


async def some(stream: int, input: int) -> tuple[int, int]:
    return stream, input


async def keyword_only(*, metadata: int, request: int = 9) -> tuple[int, int]:
    return metadata, request


class Callable:
    async def __call__(self, input: int) -> tuple[Any, int]:
        return self.__class__, input

    async def method(self, input: int) -> tuple[Any, int]:
        return self.__class__, input

    @classmethod
    async def of_class(cls, input: int) -> tuple[Any, int]:
        return cls, input

    @staticmethod
    async def of_none(input: int) -> int:
        return input


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (nothing, ()),
        (some, (5, 1)),
        (keyword_only, (3, 2)),
        (partial(keyword_only), (3, 2)),
        (Callable(), (Callable, 1)),
        (Callable().method, (Callable, 1)),
        (Callable.of_class, (Callable, 1)),
        (Callable.of_none, 1),
        (partial(Callable().method), (Callable, 1)),
        (partial(Callable()), (Callable, 1)),
    ],
)
async def test_a_function_gets_the_arguments_that_it_names_and_no_others(function: object, result: object) -> None:
    assert await call_to(function)(ARGUMENTS) == result


async def test_what_a_partial_has_given_is_kept() -> None:
    async def handler(model: str, input: int) -> tuple[str, int]:
        return model, input

    assert await call_to(partial(handler, "small"))(ARGUMENTS) == ("small", 1)
    assert await call_to(partial(handler, model="small"))(ARGUMENTS) == ("small", 1)
    assert await call_to(partial(handler, model="small", input=9))(ARGUMENTS) == ("small", 9)


def test_a_stream_that_a_partial_has_given_is_not_the_stream_of_the_action() -> None:
    with pytest.raises(TypeError, match="handler some needs a parameter stream"):
        NamedCall.to(partial(some, stream=1), "handler", HANDLER_PARAMETERS, frozenset({"stream"}))


def sync(stream: int) -> int:
    return stream


async def generator(stream: int) -> AsyncIterator[int]:
    yield stream


async def misnamed(strem: int) -> None: ...


async def by_position(input: int, /) -> None: ...


async def star_args(*args: int) -> None: ...


async def star_kwargs(**kwargs: int) -> None: ...


class SyncCallable:
    def __call__(self, stream: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (sync, "handler sync must be an async function: define it with `async def`"),
        (lambda stream: None, "must be an async function"),
        (SyncCallable(), "must be an async function"),
        (SyncCallable, "must be an async function"),
        (generator, r"handler generator is an async generator function: send chunks with `await stream.send\(...\)`"),
        (
            misnamed,
            "handler misnamed: unknown parameter 'strem'; expected any of ctx, input, metadata, request, stream",
        ),
        (by_position, "parameter `input: 'int'` is not valid, because arguments are passed by name"),
        (star_args, r"parameter `\*args: 'int'` is not valid"),
        (star_kwargs, r"parameter `\*\*kwargs: 'int'` is not valid"),
        (None, "handler must be an async function, not None"),
        ("name", "handler must be an async function, not 'name'"),
        (Callable, "handler Callable must be an async function"),
        (partial(sync), "handler sync must be an async function"),
        (partial(generator), "handler generator is an async generator"),
        (partial(misnamed), "handler misnamed: unknown parameter 'strem'"),
    ],
)
def test_what_cannot_be_called_by_names_is_refused_with_a_reason(function: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call_to(function)


def test_a_handler_without_a_stream_is_refused_where_it_is_defined() -> None:
    async def handler(input: int) -> None: ...

    with pytest.raises(TypeError, match=r"handler .*handler needs a parameter stream"):
        define_stream_action(handler)


def test_middleware_has_no_stream() -> None:
    async def middleware(stream: object) -> None: ...

    with pytest.raises(TypeError, match=r"unknown parameter 'stream'; expected any of ctx, input, metadata, request$"):
        middleware_chain([middleware])
    assert "stream" not in MIDDLEWARE_PARAMETERS


def test_a_middleware_that_is_not_in_a_list_is_refused_with_the_cure() -> None:
    with pytest.raises(TypeError, match=r"write \[function\] for a single one"):
        middleware_chain(nothing)


async def test_middleware_runs_in_order_and_later_keys_win() -> None:
    seen: list[dict[str, Any]] = []

    async def first(ctx: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(ctx))
        return {"user": "ann", "team": 1}

    async def second(ctx: dict[str, Any], input: int) -> Mapping[str, Any]:
        seen.append(dict(ctx))
        return MappingProxyType({"team": 2, "input": input})

    ctx = await run_middleware(middleware_chain([first, second]), {"input": 7})

    assert ctx == {"user": "ann", "team": 2, "input": 7}
    assert seen == [{}, {"user": "ann", "team": 1}]


async def test_middleware_that_returns_none_adds_nothing() -> None:
    async def middleware() -> None: ...

    assert await run_middleware(middleware_chain([middleware]), {}) == {}


async def test_each_request_has_a_context_of_its_own() -> None:
    async def middleware() -> dict[str, int]:
        return {"a": 1}

    chain = middleware_chain([middleware])
    first = await run_middleware(chain, {})
    first["b"] = 2

    assert await run_middleware(chain, {}) == {"a": 1}


async def test_a_middleware_that_fails_keeps_the_rest_from_running() -> None:
    async def failing() -> None:
        raise LookupError

    async def never() -> None:
        raise AssertionError

    with pytest.raises(LookupError):
        await run_middleware(middleware_chain([failing, never]), {})


@pytest.mark.parametrize("returned", [[("a", 1)], "ctx", 1, False])
async def test_middleware_that_returns_no_mapping_is_refused_by_name(returned: object) -> None:
    async def middleware() -> object:
        return returned

    with pytest.raises(TypeError, match=f"middleware .*middleware returned {type(returned).__name__}: it must return"):
        await run_middleware(middleware_chain([middleware]), {})
