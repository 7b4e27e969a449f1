"""ASGI middleware outside that sends from a task of its own, and takes all that it is given.

Nothing is being sent by the app when a write is stuck there, and the app may be over.
"""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from tests.apps import PREFIX, Journal, make_app
from tests.neighbours.promises import EXIT_S, GRACEFUL_S, STALL_S, Wrap, settings_for
from tests.neighbours.protocols import Http, on_each_protocol, reading, reading_nothing
from tests.neighbours.wrappers import App, closure, from_a_task
from tests.servers import call, serving
from trio_streamact import Limits, Stream, StreamActions, define_stream_action


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
    await journal.wait_for(started=1)
    await trio.testing.wait_all_tasks_blocked(cushion=STALL_S / 20)


@on_each_protocol
@pytest.mark.parametrize("goes_on", [True, False], ids=["the handler goes on", "the handler has returned"])
async def test_a_write_that_is_stuck_in_a_task_of_the_wrapper_is_seen(
    goes_on: bool, http: Http, tls: dict[str, str]
) -> None:
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
            await journal.wait_for(finished=1)
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
    @define_stream_action(limits=Limits(stall_s=60))
    async def download(stream: Stream[str]) -> None:
        for _ in range(300):
            await stream.send("x" * 60_000)

    return app, journal


async def test_a_head_that_is_stuck_in_a_task_of_the_wrapper_is_seen() -> None:
    """It is all that waits of a stream whose connection of HTTP/2 is stuck already."""
    app, journal = app_with_download()
    async with (
        serving(from_a_task(math.inf)(app)) as server,
        reading_nothing(server, "http2", "/download") as connection,
    ):
        await trio.testing.wait_all_tasks_blocked(cushion=0.05)
        await connection.request(f"{PREFIX}/idle")
        await journal.wait_for(started=1)
        await connection.until_reset()


async def test_an_end_that_is_left_in_a_task_of_the_wrapper_is_seen() -> None:
    """The same where the end is all that is left, and the app has returned."""
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
        await journal.wait_for(finished=1, reports=1)
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
