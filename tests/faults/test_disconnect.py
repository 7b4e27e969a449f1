"""The client is gone: the handler is cancelled, the log is quiet, and nothing is left over."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from quart import Request, got_request_exception
from quart_trio import QuartTrio

from tests.apps import PREFIX, Journal, make_app
from tests.servers import DEADLINE_S, RawClient, Server, is_complete, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Stream, StreamActions

Leave = Callable[[RawClient], Awaitable[None]]


async def fin(client: RawClient) -> None:
    await client.stream.aclose()


async def rst(client: RawClient) -> None:
    await client.reset()


async def half_close(client: RawClient) -> None:
    await client.stream.send_eof()


@asynccontextmanager
async def leaving(
    server: Server, journal: Journal, caplog: pytest.LogCaptureFixture, leave: Leave
) -> AsyncIterator[RawClient]:
    """Once the block has brought a handler where it should be, leave; it must end, and nothing be logged."""
    client = await server.connect()
    yield client
    caplog.clear()
    await leave(client)
    await journal.wait_for(finished=1)  # no heartbeat would find it, nor a stall
    assert journal.cancelled == 1
    assert not [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    await trio.aclose_forcefully(client.stream)


@pytest.mark.parametrize("leave", [fin, rst, half_close])
@pytest.mark.parametrize("path", ["/idle", "/ticks", "/flood", "/slow-middleware"])
async def test_a_client_that_leaves_cancels_the_handler(
    path: str, leave: Leave, caplog: pytest.LogCaptureFixture
) -> None:
    app, journal = make_app()
    async with serving(app) as server, leaving(server, journal, caplog, leave) as client:
        await client.request(PREFIX + path)
        await journal.wait_for(started=1)
        await trio.sleep(0.2)  # by now a flood fills every buffer, and its handler waits


@pytest.mark.parametrize("leave", [fin, rst])
async def test_a_client_that_leaves_during_its_upload_leaves_nothing_behind(
    leave: Leave, caplog: pytest.LogCaptureFixture
) -> None:
    app, journal = make_app()
    async with serving(app) as server:
        before = await tasks_at_rest()
        client = await server.connect()
        await client.request(f"{PREFIX}/words", body=b'{"prompt"', headers={"Content-Length": "1000"})
        await trio.sleep(0.1)
        assert trio.lowlevel.current_statistics().tasks_living > before
        await leave(client)
        await tasks_down_to(before)
    assert journal.started == 0
    assert not [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]


async def test_a_body_that_never_arrives_is_a_parse_error() -> None:
    app, journal = make_app()
    app.config["BODY_TIMEOUT"] = 0.2
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/words", body=b'{"prompt"', headers={"Content-Length": "1000"})
        await client.read_until(
            b'"code":"PARSE_ERROR","message":"Request body did not arrive in time","statusCode":400'
        )
    assert journal.started == 0


async def test_a_body_that_is_too_large_is_a_parse_error() -> None:
    app, journal = make_app()
    app.config["MAX_CONTENT_LENGTH"] = 100
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/words", body=b'{"prompt":"%b"}' % (b"x" * 200))
        await client.read_until(b'"code":"PARSE_ERROR","message":"Request body is too large","statusCode":400')
    assert journal.started == 0


async def test_handlers_that_fail_while_clients_leave_lose_no_error_and_leave_no_task_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """300 handlers fail at random moments, and their clients leave at random moments."""
    rng = random.Random(11)
    app, journal = make_app()
    actions = StreamActions(app, url_prefix="")
    failed = 0

    @actions.post("/fail")
    async def fail(stream: Stream[Any]) -> None:
        nonlocal failed
        with journal:
            ends_at = trio.current_time() + rng.uniform(0, 0.03)
            while trio.current_time() < ends_at:
                await stream.send("x")
                if rng.random() < 0.3:
                    await trio.sleep(rng.uniform(0, 0.01))
            failed += 1
            raise LookupError("secret")

    read_whole = left = 0

    async def visit(server: Server, stays_s: float) -> None:
        nonlocal read_whole, left
        async with await server.connect() as client:
            with trio.move_on_after(stays_s) as stay:
                await client.request("/fail", headers={"Connection": "close"})
                response = await client.read_all()
                assert is_complete(response), response
                assert response.count(b'"__actions_error"') == 1
                assert b'"code":"STREAM_ERROR"' in response
                read_whole += 1
            left += stay.cancelled_caught
            if rng.random() < 0.5:
                await client.reset()

    async with serving(app) as server:
        before = await tasks_at_rest()
        longest_s = 0.06
        for _ in range(30):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(visit, server, rng.uniform(0, longest_s))
            longest_s *= 1.2 if read_whole < left else 0.8  # how busy the machine is decides who wins
        await journal.wait_for(finished=journal.started, reports=journal.started)
        await tasks_down_to(before)
    assert read_whole + left == 300
    assert read_whole > 30, "the race has two sides"
    assert left > 30, "the race has two sides"
    logged = [record for record in caplog.records if record.exc_info and isinstance(record.exc_info[1], LookupError)]
    assert len(logged) == failed
    assert failed >= read_whole


@pytest.mark.parametrize("leave", [fin, rst])
async def test_a_client_that_leaves_while_nobody_wants_its_body_cancels_the_handler(leave: Leave) -> None:
    """Its connection is not read any more, so that a write finds it; and then all that was received is taken."""
    app = QuartTrio(__name__)
    is_cancelled = trio.Event()

    @StreamActions(app).post("/ticks")
    async def ticks(stream: Stream[str]) -> None:
        try:
            while True:
                await stream.send("tick")
                await trio.sleep(0.02)
        finally:
            is_cancelled.set()

    async with serving(app) as server:
        client = await server.connect()
        await client.request(f"{PREFIX}/ticks", body=b"x" * 300_000, headers={"Content-Length": "1000000"})
        await client.read_until(b"tick")
        await leave(client)
        with trio.fail_after(DEADLINE_S):
            await is_cancelled.wait()


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("reader", ["input", "handler"])
async def test_a_client_that_leaves_while_its_body_is_read_is_no_failure_of_the_app(
    reader: str, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Quart 0.23 raises something of its own there."""
    app = QuartTrio(__name__)
    actions = StreamActions(app)
    failures: list[object] = []

    @actions.post("/input")
    async def takes(input: Any, stream: Stream[int]) -> None: ...

    @actions.post("/handler")
    async def reads(request: Request, stream: Stream[int]) -> None:
        await stream.send(sum([len(part) async for part in request.body]))

    async def note(_: object, exception: Exception) -> None:
        failures.append(exception)

    got_request_exception.connect(note, app)
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc'
    async with serving(app) as server:
        before = await tasks_at_rest()
        client = await server.connect()
        headers = {"Content-Length": "1000", "Content-Type": content_type}
        await client.request(f"{PREFIX}/{reader}", body=part, headers=headers)
        await trio.sleep(0.1)
        assert trio.lowlevel.current_statistics().tasks_living > before
        await fin(client)
        await tasks_down_to(before)
    assert not failures
    assert not [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
