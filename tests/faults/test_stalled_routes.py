"""A client that takes nothing of a route that is no stream is ended after ``stall_s``, too; a slow one is not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from quart_trio import QuartTrio

from tests.apps import PREFIX
from tests.http2 import Http2Client, http2
from tests.servers import RawClient, Server, call, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits, StreamActions
from trio_streamact._hypercorn.scheduler import Scheduler
from trio_streamact._hypercorn.watchdog import Watchdog

STALL_S = 0.5
PART = b"x" * 100_000
PARTS = 300
CLIENT_FILE = f"{PREFIX}/_client/streamact.js"


def make_app() -> QuartTrio:
    app = QuartTrio(__name__)
    app.config["RESPONSE_TIMEOUT"] = None  # or Quart would end it, after a minute
    StreamActions(app, limits=Limits(stall_s=STALL_S))

    @app.get("/whole")
    async def whole() -> bytes:
        return PART * PARTS

    @app.get("/parts")
    async def parts() -> Any:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(PARTS):
                yield PART

        return body()

    @app.get("/idle")
    async def idle() -> Any:
        async def body() -> AsyncIterator[bytes]:
            yield b"1"
            await trio.sleep(4 * STALL_S)
            yield b"2"

        return body()

    @app.get("/pauses")
    async def pauses() -> Any:
        async def body() -> AsyncIterator[bytes]:
            yield b"%" * 8_000
            await trio.sleep(2 * STALL_S)
            yield b"2"

        return body()

    @app.get("/small")
    async def small() -> str:
        return "small"

    return app


async def connect(server: Server) -> trio.socket.SocketType:
    """Connect with little room for what is not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = trio.socket.from_stdlib_socket(sock)
    await client.connect((server.host, server.port))
    return client


def gets(path: str, count: int = 1) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode() * count


@pytest.mark.parametrize("request_", [gets("/whole"), gets("/parts"), gets(CLIENT_FILE, 1500)], ids=["a", "b", "file"])
async def test_a_client_that_reads_nothing_of_a_response_leaves_nothing(request_: bytes) -> None:
    async with serving(make_app()) as server:
        before = await tasks_at_rest()
        client = await connect(server)
        await client.send(request_)
        while trio.lowlevel.current_statistics().tasks_living == before:
            await trio.lowlevel.checkpoint()
        began = trio.current_time()
        await tasks_down_to(before)
        assert trio.current_time() - began >= STALL_S
        client.close()


async def test_without_the_rule_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watchdog, "watch_writes", lambda *_: None)
    async with serving(make_app()) as server:
        before = await tasks_at_rest()
        client = await connect(server)
        await client.send(gets("/whole"))
        with pytest.raises(trio.TooSlowError):
            await tasks_down_to(before, within_s=8 * STALL_S)
        client.close()
        await tasks_down_to(before)


@pytest.mark.parametrize("path", ["/whole", "/parts", "/small", CLIENT_FILE])
async def test_over_http2_a_response_without_a_window_is_ended_alone(path: str) -> None:
    async with serving(make_app()) as server, http2(server, initial_window=0) as client:
        stalled = await client.request(path, method="GET")
        await client.until(lambda: stalled in client.was_reset)
        sibling = await client.request("/small", method="GET")
        await client.open_window(sibling, 1000)
        assert await client.until_ended(sibling) == b"small"


async def test_a_client_that_is_merely_slow_is_served() -> None:
    async with serving(make_app()) as server:
        client = await connect(server)
        await client.send(gets("/parts"))
        began = trio.current_time()
        while trio.current_time() - began < 5 * STALL_S:
            await trio.sleep(STALL_S / 10)
            assert await client.recv(8192)
        client.close()


async def test_a_response_that_waits_for_its_app_is_not_ended() -> None:
    async with serving(make_app()) as server:
        assert await call(server, "/idle", method="GET") == b"12"


@pytest.mark.parametrize("version", [1, 2])
async def test_a_client_that_reads_a_little_later_than_the_kernel_would_send_is_served(version: int) -> None:
    """The app is done with its write, and waits; what it wrote is still in the kernel."""
    async with serving(make_app()) as server:
        stream = trio.SocketStream(await connect(server))
        async with stream, trio.open_nursery() as nursery:
            if version == 1:
                raw = RawClient(stream)
                await raw.request("/pauses", method="GET")
                await trio.sleep(STALL_S * 0.7)
                received = await raw.read_until(b"2\r\n0\r\n\r\n")
            else:
                http = Http2Client(stream)
                await http.start(None)
                stream_id = await http.request("/pauses", method="GET")
                await trio.sleep(STALL_S * 0.7)
                nursery.start_soon(http.read)
                received = await http.until_ended(stream_id)
                nursery.cancel_scope.cancel()
        assert received.count(b"%") == 8_000


async def test_nothing_looks_at_a_response_that_is_over() -> None:
    async with serving(make_app()) as server, await server.connect() as client:
        scheduler = Scheduler.current()
        for _ in range(3):
            client.received = b""
            await client.stream.send_all(gets("/small"))
            await client.read_until(b"small")
        await trio.testing.wait_all_tasks_blocked()
        assert scheduler._open <= 1, "the timer of the idle connection"
