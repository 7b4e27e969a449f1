"""What holds for streams behind anything that stands around the app, whatever it does to scope, receive and send."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import trio

from tests.apps import PREFIX, make_app
from tests.http2 import http2
from tests.neighbours.protocols import Http, reading, reading_nothing
from tests.servers import DEADLINE_S, call, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits, Stream, StreamActions

Wrap = Callable[[Any], Any]
"""Puts something around an app."""

GOODBYE = (
    b'data: {"__actions_error":{"code":"SERVER_SHUTDOWN","message":"The server is shutting down","statusCode":503}}\n\n'
)
STALL_S = 0.2
GRACEFUL_S = 0.2
EXIT_S = DEADLINE_S
"""Long enough for any machine, and far from the minute after which the kernel would close a stuck connection."""
FLOODS = (f"{PREFIX}/flood",) * 3


async def flood(stream: Stream[str]) -> None:
    while True:
        await stream.send("x" * 1000)


def settings_for(http: Http, tls: dict[str, str]) -> dict[str, Any]:
    return {"graceful_timeout": GRACEFUL_S, **(tls if http == "tls" else {})}


async def every_stream_is_told_of_the_shutdown(wrap: Wrap, http: Http, tls: dict[str, str]) -> None:
    app, journal = make_app()
    async with serving(wrap(app), **settings_for(http, tls)) as server, AsyncExitStack() as clients:
        readers = [await clients.enter_async_context(reading(server, http, f"{PREFIX}/ticks")) for _ in range(3)]
        for reader in readers:
            await reader.until(b"data: 1\n\n")
        server.stop()
        for reader in readers:
            body = await reader.body()
            assert body.endswith(GOODBYE)
            assert body.count(b"__actions_error") == 1
        await journal.wait_for(finished=3, reports=3)
    assert [report.outcome for report in journal.reports] == ["shutdown"] * 3


async def a_stalled_client_is_ended_alone(wrap: Wrap, http: Http, tls: dict[str, str]) -> None:
    app, journal = make_app(Limits(stall_s=STALL_S))
    async with (
        serving(wrap(app), **settings_for(http, tls)) as server,
        reading(server, http, f"{PREFIX}/ticks") as lively,
        reading(server, http, f"{PREFIX}/flood", reads=False) as stalled,
    ):
        await journal.wait_for(finished=1, reports=1)
        assert (journal.reports[0].action, journal.reports[0].outcome) == ("flood", "stalled")
        await stalled.cut()
        assert journal.finished == 1
        await lively.until(b"data: 12\n\n")


async def a_connection_that_takes_nothing_is_closed_and_does_not_hold_up_the_exit(
    wrap: Wrap, http: Http, tls: dict[str, str]
) -> None:
    app, journal = make_app(Limits(stall_s=60))
    StreamActions(app, url_prefix="/brief", limits=Limits(stall_s=STALL_S)).post("/flood")(flood)
    async with AsyncExitStack() as clients:
        async with serving(wrap(app), **settings_for(http, tls)) as server:
            for path in ("/brief/flood", *FLOODS):
                await clients.enter_async_context(reading_nothing(server, http, path))
            await journal.wait_for(started=3, reports=1)
            assert [report.outcome for report in journal.reports] == ["stalled"]
            server.stop()
            stopped_at = trio.current_time()
        assert trio.current_time() - stopped_at < EXIT_S


async def a_client_that_leaves_cancels_its_handler(wrap: Wrap, http: Http, tls: dict[str, str]) -> None:
    app, journal = make_app()
    async with serving(wrap(app), **settings_for(http, tls)) as server:
        for number, action in enumerate(("ticks", "idle"), 1):
            async with reading(server, http, f"{PREFIX}/{action}") as reader:
                await journal.wait_for(started=number)
                await reader.leave()
                await journal.wait_for(finished=number, reports=number)
    assert journal.cancelled == 2
    assert [report.outcome for report in journal.reports] == ["disconnected"] * 2


async def an_ending_does_not_wait_for_a_handler_in_a_thread(wrap: Wrap, http: Http, tls: dict[str, str]) -> None:
    app, _ = make_app()
    go = threading.Event()

    @StreamActions(app, url_prefix="", limits=Limits(lifetime_s=0.2)).post("/thread")
    async def thread(stream: Stream[str]) -> None:
        await stream.send("begun")
        await trio.to_thread.run_sync(go.wait)

    async with serving(wrap(app), **settings_for(http, tls)) as server:
        try:
            async with reading(server, http, "/thread") as reader:
                assert b"TIMEOUT_ERROR" in await reader.response()
        finally:
            go.set()


async def all_that_is_sent_arrives_and_the_connection_closes(wrap: Wrap) -> None:
    app, _ = make_app()
    words = b'{"prompt":"a b"}'
    expected = b'data: {"text":"a"}\n\ndata: {"text":"b"}\n\ndata: {"__actions_done":true}\n\n'
    async with serving(wrap(app)) as server:
        before = await tasks_at_rest()
        for version in ("1.1", "1.0"):
            assert await call(server, f"{PREFIX}/words", body=words, version=version) == expected
        assert await call(server, "/plain", method="GET") == b"plain"
        assert (await call(server, f"{PREFIX}/burst", body=b'{"count":2000}')).count(b"hello world") == 2000
        await tasks_down_to(before)  # with the timer of streams


async def one_connection_of_http2_takes_any_number_of_requests(wrap: Wrap) -> None:
    app, _ = make_app()
    async with serving(wrap(app), keep_alive_max_requests=5) as server, http2(server) as client:
        ticks = await client.request(f"{PREFIX}/ticks")
        for _ in range(15):
            stream = await client.request("/plain", "GET")
            assert await client.until_ended(stream) == b"plain"
        size = len(client.bodies[ticks])
        await client.until(lambda: len(client.bodies[ticks]) > size + 30)


async def a_response_of_http2_that_fails_is_reset(wrap: Wrap) -> None:
    app, _ = make_app()

    @app.get("/fails")
    async def fails() -> AsyncIterator[bytes]:
        async def body() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("on purpose")

        return body()

    async with serving(wrap(app)) as server, http2(server) as client:
        stream = await client.request("/fails", "GET")
        await client.until(lambda: stream in client.was_reset)
        sibling = await client.request("/plain", "GET")
        assert await client.until_ended(sibling) == b"plain"


ON_EACH_PROTOCOL: tuple[Callable[[Wrap, Http, dict[str, str]], Awaitable[None]], ...] = (
    every_stream_is_told_of_the_shutdown,
    a_stalled_client_is_ended_alone,
    a_connection_that_takes_nothing_is_closed_and_does_not_hold_up_the_exit,
    a_client_that_leaves_cancels_its_handler,
    an_ending_does_not_wait_for_a_handler_in_a_thread,
)
ON_ONE: tuple[Callable[[Wrap], Awaitable[None]], ...] = (
    all_that_is_sent_arrives_and_the_connection_closes,
    one_connection_of_http2_takes_any_number_of_requests,
    a_response_of_http2_that_fails_is_reset,
)
