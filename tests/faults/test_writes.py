"""A stream's bytes leave when they can, in as few writes as can be; the fault as it is, and without it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import h11
import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from quart_trio import QuartTrio

from tests.servers import RawClient, body_of, is_complete, serving
from trio_streamact import Stream, StreamActions
from trio_streamact._hypercorn import http1_writer as writes
from trio_streamact._hypercorn.patches.pipelining import ClosedConnection

KEPT_ALIVE = b"\r\n0\r\n\r\n"


async def passes_of(write: Any) -> int:
    """Count how often another task runs between the beginning and the end of *write*."""
    passes = 0

    async def other() -> None:
        nonlocal passes
        while True:
            passes += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        before = passes
        await write()
        waited = passes - before
        nursery.cancel_scope.cancel()
    return waited


async def test_upstream_still_yields_in_every_write_and_ours_in_none() -> None:
    """Fails once hypercorn writes without a pass through the scheduler: then our writes can go."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.testing.open_stream_to_socket_listener(listeners[0])
    async with listeners[0], client, await listeners[0].accept() as stream:
        server = TCPServer(None, Config(), WorkerContext(None), {}, stream)  # type: ignore[arg-type]  # of no app
        assert await passes_of(partial(server.protocol_send, RawData(b"theirs"))) >= 1
        ours = writes.Http1Writer(server, None, lambda: None)
        ours.corked = False
        waited = await passes_of(partial(ours.send, RawData(b"ours")))
        assert waited == 0
        received = b""
        while not received.endswith(b"ours"):
            received += await client.receive_some()
        assert received == b"theirsours"


async def test_what_is_sent_beside_a_write_that_lasts_comes_behind_it() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.testing.open_stream_to_socket_listener(listeners[0])
    async with listeners[0], client, await listeners[0].accept() as stream:
        server = TCPServer(None, Config(), WorkerContext(None), {}, stream)  # type: ignore[arg-type]  # of no app
        http = h11.Connection(h11.SERVER)
        http.receive_data(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        http.next_event()
        http.send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]))
        ours = writes.Http1Writer(server, SimpleNamespace(connection=http), lambda: None)
        async with server.send_lock:
            assert not ours.write_nowait(b"behind", ends=False)
            await stream.send_all(b"first ")
        await ours.flush()
        received = b""
        while not received.endswith(b"behind\r\n"):
            received += await client.receive_some()
        assert received == b"first 6\r\nbehind\r\n"


async def test_what_is_written_to_a_connection_that_is_closed_is_dropped() -> None:
    server = SimpleNamespace(stream=SimpleNamespace(), send_lock=trio.Lock())
    for is_chunked in (False, True):  # as the connection was when it was open
        ours = writes.Http1Writer(server, SimpleNamespace(connection=ClosedConnection()), lambda: None)
        ours._is_chunked = is_chunked
        assert ours.write_nowait(b"data", ends=False)
        await ours.flush()


@pytest.mark.parametrize("size", [writes.COPIED_BYTES - 100, 50 * writes.COPIED_BYTES])
@pytest.mark.parametrize("is_chunked", [True, False])
async def test_what_the_kernel_does_not_take_at_once_comes_whole_whatever_its_size(size: int, is_chunked: bool) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.testing.open_stream_to_socket_listener(listeners[0])
    async with listeners[0], client, await listeners[0].accept() as stream:
        server = TCPServer(None, Config(), WorkerContext(None), {}, stream)  # type: ignore[arg-type]  # of no app
        http = h11.Connection(h11.SERVER)
        http.receive_data(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" if is_chunked else b"GET / HTTP/1.0\r\n\r\n")
        http.next_event()
        head = http.send(h11.Response(status_code=200, headers=[]))
        ours = writes.Http1Writer(server, SimpleNamespace(connection=http), lambda: None)
        await ours.send(RawData(head))
        bodies = [bytes([65 + number]) * size for number in range(4)]
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                for number, body in enumerate(bodies):
                    if not ours.write_nowait(body, ends=number == 3):
                        await ours.flush()
                await stream.aclose()

            nursery.start_soon(write)
            response = b"".join([part async for part in client])
    assert body_of(response) == b"".join(bodies)
    assert is_complete(response) == is_chunked


async def ask(client: RawClient, path: str, until: bytes) -> bytes:
    client.received = b""
    await client.request(path)
    return await client.read_until(until)


async def test_a_short_stream_leaves_in_one_write(written: list[bytes]) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix="")

    @actions.post("/short")
    async def short(stream: Stream[int]) -> None:
        for number in range(3):
            await stream.send(number)

    async with serving(app) as server, await server.connect() as client:
        for _ in range(3):  # on one connection
            written.clear()
            response = await ask(client, "/short", KEPT_ALIVE)
            assert body_of(response).count(b"data:") == 4
            assert len(written) == 1


@pytest.mark.parametrize(("is_wrapped", "turns"), [(False, 2), (True, 0)])
async def test_a_head_leaves_with_the_first_chunk_of_a_handler_that_waits_for_its_turn_alone(
    written: list[bytes], is_wrapped: bool, turns: int
) -> None:
    """Behind middleware the handler has a task of its own, whose first turn is one more."""
    app = QuartTrio(__name__)
    if is_wrapped:
        app.asgi_app = partial(app.asgi_app)  # type: ignore[method-assign]  # as Quart has middleware set
    actions = StreamActions(app, url_prefix="")

    @actions.post("/soon")
    async def soon(stream: Stream[int]) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        await stream.send(1)

    async with serving(app) as server, await server.connect() as client:
        for _ in range(10):  # trio runs what is ready in any order
            written.clear()
            await ask(client, "/soon", KEPT_ALIVE)
            assert b"data: 1\n\n" in written[0]


async def test_a_head_waits_for_no_handler_and_a_chunk_for_no_other() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix="")
    go = trio.Event()

    @actions.post("/slow")
    async def slow(stream: Stream[int]) -> None:
        await go.wait()
        await stream.send(1)
        await stream.close()
        await trio.sleep_forever()

    async with serving(app) as server, await server.connect() as client:
        await client.request("/slow")
        assert b"data" not in await client.read_until(b"\r\n\r\n")
        go.set()
        assert not is_complete(await client.read_until(b"__actions_done"))  # whatever the handler does behind it


async def test_a_connection_that_carried_a_stream_carries_other_responses_as_before() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix="")

    @actions.post("/short")
    async def short(stream: Stream[int]) -> None:
        await stream.send(1)

    @app.post("/plain")
    async def plain() -> Any:
        async def parts() -> Any:
            yield b"first"
            await trio.sleep_forever()

        return await app.make_response(parts())

    async with serving(app) as server, await server.connect() as client:
        for _ in range(3):
            assert b"__actions_done" in await ask(client, "/short", KEPT_ALIVE)
        assert b"first" in await ask(client, "/plain", b"first")


async def test_a_response_in_the_place_of_a_stream_is_not_held_back() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix="")

    @actions.post("/replaced")
    async def replaced(stream: Stream[int]) -> None:
        await stream.send(1)

    @app.after_request
    async def replace(_: Any) -> Any:
        async def parts() -> Any:
            yield b"first"
            await trio.sleep_forever()

        return await app.make_response(parts())

    async with serving(app) as server, await server.connect() as client:
        assert b"first" in await ask(client, "/replaced", b"first")
