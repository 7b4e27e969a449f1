"""Connections that wait for their next request: the fault as it is, and without it."""

from __future__ import annotations

import gc
import ssl
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import TCPServer
from quart import request
from quart_trio import QuartTrio

from tests.logs import nothing_logged
from tests.repairs import leave_out
from tests.servers import RawClient, Server, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Stream, StreamActions
from trio_streamact._hypercorn.connection import Connection
from trio_streamact._hypercorn.exchange import exchange_of
from trio_streamact._hypercorn.patches.keep_alive import IdleTimer

CONNECTIONS = 8


def app_with_streams() -> QuartTrio:
    app = plain_app()
    actions = StreamActions(app, url_prefix="")

    @actions.get("/stream")
    async def stream(stream: Stream[int]) -> None:
        await stream.send(1)

    return app


def plain_app() -> QuartTrio:
    app = QuartTrio(__name__)

    @app.get("/plain")
    async def plain() -> Any:
        return "plain"

    return app


async def ask(client: RawClient, path: str) -> None:
    client.received = b""
    await client.request(path, method="GET")
    await client.read_until(b"\r\n0\r\n\r\n" if path == "/stream" else b"plain")


async def connections(server: Server, stack: AsyncExitStack, path: str) -> list[RawClient]:
    clients = [await stack.enter_async_context(await server.connect()) for _ in range(CONNECTIONS)]
    for client in clients:
        await ask(client, path)
    return clients


async def tasks_of_idle_connections() -> int:
    async with serving(app_with_streams()) as server, AsyncExitStack() as stack:
        await connections(server, stack, "/plain")
        first = await tasks_at_rest()
        await connections(server, stack, "/plain")
        return await tasks_at_rest() - first


async def test_upstream_has_a_task_more_for_each_idle_connection_and_we_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails once hypercorn does without: then our timer can go."""
    assert await tasks_of_idle_connections() == CONNECTIONS
    leave_out(monkeypatch, TCPServer, "__await__")
    assert await tasks_of_idle_connections() == 2 * CONNECTIONS


@pytest.mark.parametrize("path", ["/plain", "/stream"])
async def test_an_idle_connection_is_closed_when_its_time_is_over_and_not_before(path: str) -> None:
    async with serving(app_with_streams(), keep_alive_timeout=0.4) as server, await server.connect() as client:
        for _ in range(5):  # each request begins it anew
            await ask(client, path)
            await trio.sleep(0.15)
        began = trio.current_time()
        await ask(client, path)
        await client.read_all()
        assert trio.current_time() - began >= 0.4


@pytest.mark.parametrize("path", ["/plain", "/stream"])
async def test_a_shutdown_waits_for_no_idle_connection(path: str) -> None:
    stopping = trio.Event()

    async def read(client: RawClient) -> None:
        await client.read_all()
        assert stopping.is_set()

    with trio.fail_after(10):
        async with (
            AsyncExitStack() as stack,
            serving(app_with_streams(), graceful_timeout=60, keep_alive_timeout=60) as server,
            trio.open_nursery() as nursery,
        ):
            for client in await connections(server, stack, path):
                nursery.start_soon(read, client)
            await trio.sleep(0.1)
            stopping.set()
            server.stop()


async def test_a_client_that_closes_an_idle_connection_leaves_nothing_behind() -> None:
    async with serving(app_with_streams(), keep_alive_timeout=60) as server:
        async with AsyncExitStack() as stack:
            await connections(server, stack, "/stream")
            at_rest = await tasks_at_rest()
        await tasks_down_to(at_rest - CONNECTIONS)
        gc.collect()  # hypercorn's connections hold themselves
        assert not [each for each in gc.get_objects() if isinstance(each, IdleTimer)], "somebody holds a connection"


# Before the first request

HALVES = {
    "nothing": b"",
    "half a head": b"GET /plain HTTP/1.1\r\nHost: te",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "half a frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\xff\1\5\0",
}
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.mark.parametrize("half", HALVES.values(), ids=list(HALVES))
async def test_a_client_that_never_asks_and_leaves_leaves_nothing_behind(half: bytes) -> None:
    async with serving(app_with_streams(), keep_alive_timeout=60) as server:
        before = await tasks_at_rest()
        for _ in range(CONNECTIONS):
            async with await server.connect() as client:
                await client.stream.send_all(half)
                await tasks_at_rest()
        await tasks_down_to(before, within_s=5)


async def test_upstream_keeps_what_such_a_client_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn stops the timer of a connection when its client leaves."""
    leave_out(monkeypatch, TCPServer, "__await__")
    async with serving(app_with_streams(), keep_alive_timeout=2) as server:
        before = await tasks_at_rest()
        async with await server.connect():
            await tasks_at_rest()
        with pytest.raises(trio.TooSlowError):
            await tasks_down_to(before, within_s=1)


@pytest.mark.parametrize("half", HALVES.values(), ids=list(HALVES))
async def test_a_connection_on_which_nobody_asks_is_closed_in_time(half: bytes) -> None:
    async with serving(app_with_streams(), keep_alive_timeout=0.4) as server, await server.connect() as client:
        began = trio.current_time()
        await client.stream.send_all(half)
        await client.read_all()
        assert trio.current_time() - began >= 0.4


async def test_upstream_waits_for_a_client_of_http2_that_never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn starts its timer behind the preface."""
    leave_out(monkeypatch, H2Protocol, "initiate")
    async with serving(app_with_streams(), keep_alive_timeout=0.4) as server, await server.connect() as client:
        await client.stream.send_all(HALVES["the preface of HTTP/2"])
        with trio.move_on_after(2) as waited:
            await client.read_all()
        assert waited.cancelled_caught


@pytest.mark.parametrize("half", [b"", HALF_HELLO], ids=["nothing", "half a hello"])
async def test_a_handshake_that_is_not_finished_is_closed_in_time(half: bytes, certificate: tuple[str, str]) -> None:
    key, cert = certificate
    async with serving(app_with_streams(), keep_alive_timeout=0.4, keyfile=key, certfile=cert) as server:
        before = await tasks_at_rest()
        with nothing_logged():
            async with await server.connect() as client:
                began = trio.current_time()
                await client.stream.send_all(half)
                await client.read_all()
                assert trio.current_time() - began >= 0.4
            await tasks_down_to(before)


async def test_a_shutdown_waits_for_no_connection_that_has_not_asked(certificate: tuple[str, str]) -> None:
    key, cert = certificate
    with trio.fail_after(10):
        async with (
            serving(app_with_streams(), graceful_timeout=60, keyfile=key, certfile=cert) as server,
            await server.connect() as silent,
            await server.connect() as half,
        ):
            await half.stream.send_all(HALF_HELLO)
            await tasks_at_rest()
            server.stop()
            await silent.read_all()
            await half.read_all()


async def test_a_client_behind_tls_that_reads_nothing_any_more_is_closed_in_time(certificate: tuple[str, str]) -> None:
    """The close of TLS writes, and there is no room for that."""
    key, cert = certificate
    app = app_with_streams()

    async def fill(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with trio.move_on_after(0.2):
            await stream.transport_stream.send_all(b"x" * 10**8)

    @app.get("/full")
    async def full() -> str:
        exchange = exchange_of(request.scope)
        assert exchange is not None
        assert isinstance(exchange.connection, Connection)
        stream, send_all = exchange.connection.server.stream, exchange.connection.server.stream.send_all
        ends = b"last of all"

        async def send_and_fill(data: bytes) -> None:
            await send_all(data)
            if data.endswith(ends):
                await fill(stream)

        stream.send_all = send_and_fill
        return ends.decode()

    async with serving(app, keep_alive_timeout=0.4, keyfile=key, certfile=cert) as server:
        before = await tasks_at_rest()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        tcp = await trio.open_tcp_stream(server.host, server.port)
        client = trio.SSLStream(tcp, context, server_hostname="localhost")
        await client.send_all(b"GET /full HTTP/1.1\r\nHost: test\r\n\r\n")
        assert await tasks_at_rest() > before
        await tasks_down_to(before)
        await trio.aclose_forcefully(client)


async def test_a_close_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    close = TCPServer._initiate_server_close
    tried = 0

    async def fail_at_first(self: TCPServer) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise LookupError("of nobody's making")
        await close(self)

    monkeypatch.setattr(TCPServer, "_initiate_server_close", fail_at_first)
    async with serving(app_with_streams(), keep_alive_timeout=0.1) as server, await server.connect() as client:
        await ask(client, "/plain")
        await client.read_all()
    assert tried == 2
    assert "of nobody's making" in caplog.text
