"""From a request's scope to hypercorn's stream of it, with hypercorn's own stream and tasks, and no socket."""

from __future__ import annotations

import copy
import functools
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.events import EndBody, Request
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from trio_streamact._hypercorn.asgi import Receive, Scope, Send
from trio_streamact._hypercorn.patches import http_streams
from trio_streamact._hypercorn.patches.http_streams import EXTENSION, find_stream, is_own_send, is_within_request

App = Callable[[Scope, Receive, Send], Awaitable[None]]
HEADERS = [(b"host", b"test"), (b"accept", b"*/*")]


async def ask(app: App, headers: list[tuple[bytes, bytes]] | None = None) -> weakref.ref[HTTPStream]:
    """Have hypercorn serve a GET of /a by *app*; return the stream, which is over by then."""
    http_streams.repair()
    fields = list(HEADERS) if headers is None else headers
    async with TaskGroup() as tasks:
        wrapped: Any = ASGIWrapper(app)  # type: ignore[arg-type]  # hypercorn's unions of messages
        context: Any = WorkerContext(None)
        stream = HTTPStream(wrapped, Config(), context, tasks, False, None, None, _drop, 1)
        await stream.handle(Request(1, fields, "1.1", "GET", b"/a", ConnectionState({})))
        await stream.handle(EndBody(1))
    return weakref.ref(stream)


async def _drop(event: Any) -> None: ...


async def _send(message: Any) -> None: ...


async def found_by(make: Callable[[Scope], Scope]) -> bool:
    """Return True if the stream of a request is found behind middleware that replaces ``send`` and makes a scope."""
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        stream = find_stream(make(scope), _send)
        found.append(stream is not None and stream is send.__self__)  # type: ignore[attr-defined]

    await ask(app)
    return found[0]


NAMES = ("type", "method", "path", "raw_path", "query_string", "headers", "http_version", "scheme", "client", "server")


@pytest.mark.parametrize(
    "make",
    [
        lambda scope: scope,
        lambda scope: dict(scope),
        lambda scope: {**scope, "path": "/b", "headers": []},
        copy.deepcopy,
        lambda scope: {**scope, "extensions": {name: dict(each) for name, each in scope["extensions"].items()}},
        lambda scope: {**scope, "extensions": {}},
        lambda scope: {**scope, "extensions": None},
        lambda scope: {name: scope[name] for name in NAMES},
        lambda scope: {**{name: scope[name] for name in NAMES}, "headers": [*scope["headers"][1:], (b"x", b"y")]},
        lambda scope: {**copy.deepcopy(scope), "extensions": {}},
    ],
    ids=[
        "same",
        "copy",
        "other path",
        "deep copy",
        "copied extensions",
        "no extensions",
        "none",
        "new",
        "other",
        "both",
    ],
)
async def test_a_stream_is_found_in_whatever_middleware_makes_of_a_scope(make: Callable[[Scope], Scope]) -> None:
    assert await found_by(make)


@pytest.mark.parametrize(
    "make",
    [
        lambda scope: {**_in_process(scope), "headers": [(bytes(name), value) for name, value in scope["headers"]]},
        lambda scope: {**_in_process(scope), "headers": []},
        lambda scope: {**_in_process(scope), "method": "POST"},
        lambda scope: {**_in_process(scope), "path": "/b"},
        lambda scope: {**_in_process(scope), "query_string": b"b"},
    ],
    ids=["same header fields", "none", "other method", "other path", "other query"],
)
async def test_a_call_in_process_does_not_find_the_stream_of_the_request_that_makes_it(
    make: Callable[[Scope], Scope],
) -> None:
    assert not await found_by(make)


def _in_process(scope: Scope) -> Scope:
    return {name: scope[name] for name in NAMES}


async def test_a_stream_is_found_for_one_guard_only() -> None:
    """Below the first there are calls in-process alone, however much their scopes resemble the request's."""
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(is_within_request())
        found.append(find_stream(_in_process(scope), _send) is not None)
        found.append(is_within_request())
        found.append(find_stream(_in_process(scope), _send) is not None)

        async def task() -> None:
            found.append(find_stream(_in_process(scope), _send) is not None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)

    await ask(app)
    assert found == [False, True, True, False, False]


async def test_once_the_response_has_begun_a_scope_is_one_of_a_call_in_process() -> None:
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        found.append(find_stream(dict(scope), _send))

    await ask(app)
    assert found == [None]


async def test_outside_of_hypercorn_there_is_no_stream() -> None:
    assert (
        find_stream({"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": []}, _send) is None
    )


async def test_requests_at_once_find_their_own_streams() -> None:
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.lowlevel.checkpoint()
        stream = find_stream(_in_process(scope), _send)
        found.append(stream is send.__self__)  # type: ignore[attr-defined]

    fields = list(HEADERS)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, app, fields)  # which share even their header fields
    assert found == [True] * 5


async def test_whoever_keeps_a_scope_or_a_context_keeps_no_stream() -> None:
    kept: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(copy.deepcopy(scope))
        kept.append(trio.lowlevel.current_task().context.copy())

    gc.collect()
    gc.disable()
    try:
        stream = await ask(app)
        assert kept[0]["extensions"][EXTENSION]["stream"]() is stream() is None, "without the collector"
    finally:
        gc.enable()


async def test_a_wrapper_that_resembles_the_own_send_is_none() -> None:
    own: list[bool] = []

    class Proxy:
        """What wrapt makes of a bound method."""

        def __init__(self, wrapped: Any) -> None:
            self.wrapped = wrapped

        def __getattr__(self, name: str) -> Any:
            return getattr(self.wrapped, name)

        async def __call__(self, message: Any) -> None:
            await self.wrapped(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        @functools.wraps(send)
        async def wrapper(message: Any) -> None:
            await send(message)

        stream = find_stream(scope, send)
        assert stream is not None
        own.extend(is_own_send(each, stream) for each in (send, Proxy(send), wrapper))
        proxied = find_stream(dict(scope), Proxy(send))
        assert proxied is stream

    await ask(app)
    assert own == [True, False, False]


async def test_a_send_that_is_replaced_in_the_class_is_not_the_own_one(monkeypatch: pytest.MonkeyPatch) -> None:
    original = HTTPStream.app_send
    own = []

    @functools.wraps(original)
    async def traced(self: HTTPStream, message: Any) -> None:
        await original(self, message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        stream = find_stream(scope, send)
        assert stream is not None
        own.append(is_own_send(send, stream))

    monkeypatch.setattr(HTTPStream, "app_send", traced)
    await ask(app)
    assert own == [False]


async def test_marking_twice_is_marking_once() -> None:
    http_streams.repair()
    marked = TaskGroup.spawn_app
    http_streams.repair()
    assert TaskGroup.spawn_app is marked
