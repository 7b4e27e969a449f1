"""ASGI middleware outside the app: all that a stream needs of its connection holds behind it."""

from __future__ import annotations

import copy
import functools
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.middleware import ProxyFixMiddleware
from hypercorn.middleware.dispatcher import TrioDispatcherMiddleware
from hypercorn.protocol.http_stream import HTTPStream
from quart import Quart

from tests.apps import PREFIX, Journal, make_app
from tests.neighbours.promises import EXIT_S, GRACEFUL_S, ON_EACH_PROTOCOL, ON_ONE, STALL_S, Wrap, settings_for
from tests.neighbours.protocols import Http, on_each_protocol, reading, reading_nothing
from tests.servers import call, serving
from trio_streamact import Limits, Stream, StreamActions

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI app."""


def closure(app: App) -> App:
    """Replaces ``send`` and ``receive``, as tracers and error trackers do."""

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        async def traced_receive() -> Any:
            return await receive()

        async def traced_send(message: Any) -> None:
            await send(message)

        await app(scope, traced_receive, traced_send)

    return outside


def with_scope(make: Callable[[Any], Any]) -> Wrap:
    """Replaces ``send``, and the scope by what *make* makes of it."""

    def wrap(app: App) -> App:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            async def traced_send(message: Any) -> None:
                await send(message)

            await app(make(scope) if scope["type"] == "http" else scope, receive, traced_send)

        return outside

    return wrap


def from_a_task(room: float) -> Wrap:
    """Sends from a task of its own, with *room* for so many messages between the app and that task."""

    def wrap(app: App) -> App:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            put, queue = trio.open_memory_channel[Any](room)

            async def pump() -> None:
                async for message in queue:
                    await send(message)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump)
                with put:
                    await app(scope, receive, put.send)

        return outside

    return wrap


def bare_scope(scope: Any) -> Any:
    """A scope built name by name, as ASGI has them."""
    names = ("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path")
    return {name: scope[name] for name in (*names, "headers", "client", "server")}


WRAPPERS: dict[str, Wrap] = {
    "nothing": lambda app: app,
    "closure": closure,
    "deep copy": with_scope(copy.deepcopy),
    "no extensions": with_scope(lambda scope: {**scope, "extensions": {}}),
    "new scope": with_scope(bare_scope),
    "task": from_a_task(0),
    "task with a queue": from_a_task(100),
    "proxy fix": ProxyFixMiddleware,
    "dispatcher": lambda app: TrioDispatcherMiddleware({"/unused": app, "": app}),
    "all at once": lambda app: ProxyFixMiddleware(
        closure(TrioDispatcherMiddleware({"": from_a_task(0)(with_scope(copy.deepcopy)(app))}))
    ),
}
behind_each_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())


@on_each_protocol
@behind_each_wrapper
@pytest.mark.parametrize("promise", ON_EACH_PROTOCOL, ids=lambda promise: promise.__name__)
async def test_behind_a_wrapper(
    promise: Callable[[Wrap, Http, dict[str, str]], Awaitable[None]], wrap: Wrap, http: Http, tls: dict[str, str]
) -> None:
    await promise(wrap, http, tls)


@behind_each_wrapper
@pytest.mark.parametrize("promise", ON_ONE, ids=lambda promise: promise.__name__)
async def test_behind_a_wrapper_too(promise: Callable[[Wrap], Awaitable[None]], wrap: Wrap) -> None:
    await promise(wrap)


# A wrapper that takes all that it is given: nothing is being sent when a write is stuck, and the app may be over.


def app_with_much_to_say(goes_on: bool, stall_s: float) -> tuple[Any, Journal]:
    """An app with an action of which the kernel takes a part, and the journal of its handlers."""
    app, journal = make_app()
    actions = StreamActions(app, url_prefix="", limits=Limits(stall_s=stall_s))

    @actions.post("/much")
    async def much(stream: Stream[str]) -> None:
        with journal:
            for _ in range(300):
                await stream.send("x" * 60_000)
            while goes_on:
                await stream.send("x")
                await trio.sleep(STALL_S / 10)

    return app, journal


async def stuck(journal: Journal) -> None:
    """Wait until a handler has begun, and until nothing moves any more but its small chunks."""
    await journal.until(started=1)
    await trio.testing.wait_all_tasks_blocked(cushion=STALL_S / 20)


@on_each_protocol
@pytest.mark.parametrize("goes_on", [True, False], ids=["the handler goes on", "the handler has returned"])
async def test_a_write_that_is_stuck_in_a_task_of_the_wrapper_is_seen(
    goes_on: bool, http: Http, tls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)  # by which Linux would end it, a little later
    app, journal = app_with_much_to_say(goes_on, STALL_S)
    async with (
        serving(from_a_task(math.inf)(app), **settings_for(http, tls)) as server,
        reading_nothing(server, http, "/much") as connection,
    ):
        await stuck(journal)
        await connection.until_reset()


@on_each_protocol
@pytest.mark.parametrize("goes_on", [True, False], ids=["the handler goes on", "the handler has returned"])
async def test_a_write_that_is_stuck_in_a_task_of_the_wrapper_does_not_hold_up_the_exit(
    goes_on: bool, http: Http, tls: dict[str, str]
) -> None:
    app, journal = app_with_much_to_say(goes_on, 60)
    async with AsyncExitStack() as clients:
        async with serving(from_a_task(math.inf)(app), **settings_for(http, tls)) as server:
            await clients.enter_async_context(reading_nothing(server, http, "/much"))
            await stuck(journal)
            server.stop()
            stopped_at = trio.current_time()
        assert trio.current_time() - stopped_at < EXIT_S


@pytest.mark.parametrize("http", ["http1", "http2"])
@pytest.mark.parametrize("goes_on", [True, False], ids=["the handler goes on", "the handler has returned"])
@pytest.mark.parametrize("wrap", [lambda app: app, closure, from_a_task(math.inf)], ids=["bare", "closure", "task"])
async def test_a_stalled_client_that_closes_its_half_does_not_hold_up_the_exit(
    wrap: Wrap, goes_on: bool, http: Http
) -> None:
    app, journal = app_with_much_to_say(goes_on, 60)
    async with AsyncExitStack() as clients:
        async with serving(wrap(app), graceful_timeout=GRACEFUL_S) as server:
            connection = await clients.enter_async_context(reading_nothing(server, http, "/much"))
            await stuck(journal)
            await connection.stream.send_eof()
            await journal.until(over=1)
            server.stop()
            stopped_at = trio.current_time()
        assert trio.current_time() - stopped_at < EXIT_S


async def test_middleware_may_end_the_response_that_an_app_has_begun() -> None:
    """What the app has sent and the server has kept, to send it with what follows, is not lost."""
    app, _ = make_app()

    def limited(app: App) -> App:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            with trio.CancelScope() as until_begun:

                async def send_and_cancel(message: Any) -> None:
                    await send(message)
                    until_begun.cancel()

                await app(scope, receive, send_and_cancel)
            await send({"type": "http.response.body", "body": b"too late"})

        return outside

    async with serving(limited(app)) as server:
        assert await call(server, f"{PREFIX}/idle") == b"too late"


def app_with_download() -> tuple[Any, Journal]:
    """An app with a response of which the kernel takes a part, and whose client has all the time."""
    app, journal = make_app(Limits(stall_s=STALL_S))

    @app.post("/download")
    async def download() -> bytes:
        return b"x" * 18_000_000

    return app, journal


async def test_a_head_that_is_stuck_in_a_task_of_the_wrapper_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is all that waits of a stream whose connection of HTTP/2 is stuck already."""
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    app, journal = app_with_download()
    async with (
        serving(from_a_task(math.inf)(app)) as server,
        reading_nothing(server, "http2", "/download") as connection,
    ):
        await trio.testing.wait_all_tasks_blocked(cushion=0.05)
        await connection.request(f"{PREFIX}/idle")
        await journal.until(started=1)
        await connection.until_reset()


async def test_an_end_that_is_left_in_a_task_of_the_wrapper_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the end is all that is left, and the app has returned."""
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    app, journal = app_with_download()
    at_the_end = trio.Event()

    def without_end(app: App) -> App:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            async def send_but_the_end(message: Any) -> None:
                if scope["path"].startswith(PREFIX) and not message.get("more_body", True):
                    at_the_end.set()
                    await trio.sleep_forever()
                await send(message)

            await app(scope, receive, send_but_the_end)

        return outside

    async with (
        serving(without_end(from_a_task(math.inf)(app))) as server,
        reading_nothing(server, "http2", f"{PREFIX}/refused") as connection,
    ):
        await at_the_end.wait()
        await journal.until(over=1, reports=1)
        await connection.request("/download")
        await connection.until_reset()


@on_each_protocol
async def test_a_short_stream_arrives_whole_from_a_task_of_the_wrapper(http: Http, tls: dict[str, str]) -> None:
    """The app has returned before the first byte is written."""
    app, _ = make_app()
    async with serving(from_a_task(math.inf)(app), **settings_for(http, tls)) as server:
        for _ in range(20):
            async with reading(server, http, f"{PREFIX}/words", body=b'{"prompt":"a"}') as reader:
                await reader.until(b'data: {"text":"a"}\n\ndata: {"__actions_done":true}\n\n')


# What is patched, and not wrapped: no app and no middleware is to be seen then.


def patch_send(owner: Any, name: str, seen: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the method *name* of *owner*, an ASGI app, show what it sends; as an agent does, with the names kept."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def patched(self: Any, scope: Any, receive: Any, send: Any) -> None:
        async def traced_send(message: Any) -> None:
            seen.append(message.get("body", b""))
            await send(message)

        await original(self, scope, receive, traced_send)

    monkeypatch.setattr(owner, name, patched)


@on_each_protocol
@pytest.mark.parametrize("promise", ON_EACH_PROTOCOL, ids=lambda promise: promise.__name__)
async def test_behind_a_patched_quart(
    promise: Callable[[Wrap, Http, dict[str, str]], Awaitable[None]],
    http: Http,
    tls: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patch_send(Quart, "__call__", [], monkeypatch)
    await promise(lambda app: app, http, tls)


@pytest.mark.parametrize("promise", ON_ONE, ids=lambda promise: promise.__name__)
async def test_behind_a_patched_quart_too(
    promise: Callable[[Wrap], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_send(Quart, "__call__", [], monkeypatch)
    await promise(lambda app: app)


@pytest.mark.parametrize("patched", ["Quart.__call__", "Quart.asgi_app", "HTTPStream.app_send"])
async def test_who_patches_sees_every_byte(patched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that is written to the socket at once passes nobody by."""
    seen: list[bytes] = []
    if patched == "HTTPStream.app_send":
        original = HTTPStream.app_send

        @functools.wraps(original)
        async def traced(self: HTTPStream, message: Any) -> None:
            seen.append((message or {}).get("body", b""))
            await original(self, message)

        monkeypatch.setattr(HTTPStream, "app_send", traced)
    else:
        patch_send(Quart, patched.removeprefix("Quart."), seen, monkeypatch)
    app, _ = make_app()
    async with serving(app) as server:
        async with reading(server, "http1", f"{PREFIX}/ticks") as reader:
            await reader.until(b"data: 5\n\n")
        assert b"data: 5\n\n" in b"".join(seen)
        seen.clear()
        body = await call(server, f"{PREFIX}/words", body=b'{"prompt":"a b"}')
        assert b"".join(seen) == body
