"""Connections that wait for their next request: the fault as it is, and without it."""

from __future__ import annotations

import gc
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer
from quart_trio import QuartTrio

from tests.servers import RawClient, Server, repaired_writes, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Stream, StreamActions
from trio_streamact.serving import keep_alive
from trio_streamact.serving.keep_alive import IdleTimer

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


@repaired_writes
async def test_upstream_has_a_task_more_for_each_idle_connection_and_we_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails once hypercorn does without: then our timer can go."""
    assert await tasks_of_idle_connections() == CONNECTIONS
    monkeypatch.setattr(keep_alive, "repair_connection", lambda _: None)
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


@repaired_writes
async def test_a_client_that_closes_an_idle_connection_leaves_nothing_behind() -> None:
    async with serving(app_with_streams(), keep_alive_timeout=60) as server:
        async with AsyncExitStack() as stack:
            await connections(server, stack, "/stream")
            at_rest = await tasks_at_rest()
        await tasks_down_to(at_rest - CONNECTIONS)
        gc.collect()  # hypercorn's connections hold themselves
        assert not [each for each in gc.get_objects() if isinstance(each, IdleTimer)], "somebody holds a connection"


@repaired_writes
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
