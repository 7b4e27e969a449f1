"""Hundreds of clients at once, good and bad: nobody is cut, nothing is left over, and nobody ends the server.

Bounded in the gate; longer by hand, and with other dice: ``CHAOS_S=600 CHAOS_SEED=7``.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import attrs
import h2.config
import h2.connection
import h2.events
import h2.settings
import psutil
import pytest
import trio
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.tcp_server import TCPServer
from hyperframe.frame import PriorityFrame, RstStreamFrame, SettingsFrame

from tests import chaos, chaos_http2
from tests.chaos import World, hosting
from tests.chaos_app import LIMITS, PREFIX, ROOM, Books, make_app
from tests.chaos_http2 import PREFACE
from tests.cli import Cli, hypercorn
from tests.http2 import http2
from tests.logs import nothing_logged
from tests.servers import DEADLINE_S, RawClient, Server, call, tasks_at_rest, tasks_down_to
from trio_streamact._hypercorn import Exchange
from trio_streamact._stream.body import StreamBody
from trio_streamact._stream.buffer import FrameBuffer

CHAOS_S = float(os.environ.get("CHAOS_S", "8"))
"""How long the chaos lasts in all, warming up and cleaning up not counted; the restarts get half of it."""

SEED = int(os.environ.get("CHAOS_SEED", "1"))

MIB = 2**20
GOOD = [*chaos.GOOD, *chaos_http2.GOOD]
BAD = [*chaos.BAD, *chaos_http2.BAD]
PER_EXCHANGE = (StreamBody, Exchange, FrameBuffer, H11Protocol, H2Protocol, HTTPStream, TCPServer)


@attrs.frozen
class Held:
    """What a process holds when all is quiet."""

    descriptors: int
    memory: int
    objects: Counter[str]

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        with suppress(OSError, AttributeError):  # not of glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        process = psutil.Process()
        objects = Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, PER_EXCHANGE))
        return cls(process.num_fds(), process.memory_info().rss, objects)


async def quiet(books: Books, tasks: int) -> None:
    """Wait until all that clients have left behind is cleaned up."""
    with trio.fail_after(DEADLINE_S):
        while not books.balanced:  # noqa: ASYNC110 - the last client may be gone before its handler is
            await trio.sleep(0.02)
    await tasks_down_to(tasks)


async def test_no_client_is_cut_and_nothing_is_left_over_of_any() -> None:
    app, books = make_app()
    with trio.fail_after(CHAOS_S + 60), nothing_logged():
        async with hosting(app, keep_alive_timeout=2.0) as server:
            tasks = await tasks_at_rest()
            world = World(server, SEED, [*GOOD, *BAD])
            await world.run(most=400)  # to warm up
            await quiet(books, tasks)
            before = Held.now()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.run)
                await trio.sleep(CHAOS_S / 2)
                world.enough()
            await quiet(books, tasks)
            after = Held.now()
            await check_that_room_was_given_back(server)
    assert not world.failures, world.verdict()
    assert after.objects == before.objects == Counter(), world.verdict()
    assert after.descriptors <= before.descriptors, world.verdict()
    assert after.memory - before.memory < 16 * MIB, world.verdict()
    assert {"done", "error", "timeout", "rejected", "stalled", "disconnected"} <= set(books.outcomes), books
    assert set(world.tally) >= {client.__name__ for client in [*GOOD, *BAD]}, world.tally


async def check_that_room_was_given_back(server: Server) -> None:
    async with trio.open_nursery() as nursery:

        async def enter() -> None:
            assert b"__actions_done" in await call(server, f"{PREFIX}/crowded", body=b'{"count":2,"pause_s":0.2}')

        for _ in range(ROOM):
            nursery.start_soon(enter)


# Restarts

STRICT = [chaos.watches, chaos_http2.watches_several, chaos.reads_all, chaos.keeps_alive, chaos_http2.multiplexes]


async def one_worker_and_then_the_master(cli: Cli) -> None:
    cli.signal_one_worker(signal.SIGTERM)
    await trio.sleep(1)
    cli.signal_master(signal.SIGTERM)


async def the_master(cli: Cli) -> None:
    cli.signal_master(signal.SIGTERM)


async def the_group(cli: Cli) -> None:
    cli.signal_group(signal.SIGTERM)


@pytest.mark.parametrize("stop", [one_worker_and_then_the_master, the_master, the_group])
async def test_every_client_is_told_when_the_server_is_restarted(
    stop: Callable[[Cli], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKS_DIR", str(tmp_path))
    with trio.fail_after(CHAOS_S + 60):
        async with hypercorn("tests.chaos_app:app", workers=2) as cli:
            world = World(cli.server, SEED, [*STRICT, *STRICT, *GOOD, *BAD], strict=STRICT)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.run)
                await trio.sleep(CHAOS_S / 6)
                world.is_stopping = True
                await stop(cli)
                world.enough()
                await cli.exits()
    assert not world.failures, world.verdict()
    assert sum(count for name, count in world.tally.items() if "SERVER_SHUTDOWN" in name) > 10, world.tally
    assert b"Traceback" not in cli.output, cli.output.decode()
    check_books(tmp_path)


def check_books(directory: Path) -> None:
    """Each worker that has served its last has seen every handler to its end."""
    books = [json.loads(path.read_text()) for path in directory.iterdir()]
    assert len(books) >= 2
    for book in books:
        assert (book["begun"], book["opened"]) == (book["over"], book["ended"])


# What ends a server of hypercorn's


def request_of_http2(*headers: tuple[str, str], end_stream: bool = True) -> bytes:
    """The bytes of a request, whatever a client of h2 thinks of it."""
    settings = h2.config.H2Configuration(True, validate_outbound_headers=False, normalize_outbound_headers=False)
    connection = h2.connection.H2Connection(settings)
    connection.initiate_connection()
    connection.send_headers(1, headers, end_stream=end_stream)
    return connection.data_to_send()


UPGRADE = b"GET %b HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: %b\r\n%b\r\n\r\n"
TO_WEBSOCKET = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
TEST = ((":scheme", "http"), (":authority", "test"))
ODD: dict[str, bytes] = {
    "h2c with settings that are no base64": UPGRADE % (b"/nothing", b"h2c", b"HTTP2-Settings: a"),
    "h2c with settings that are none": UPGRADE % (b"/nothing", b"h2c", b"HTTP2-Settings: AAAA"),
    "a websocket and a byte more": UPGRADE % (PREFIX.encode() + b"/idle", b"websocket", TO_WEBSOCKET) + b"x",
    "a path beyond ASCII": request_of_http2((":method", "GET"), (":path", "/é"), *TEST),
    "a method beyond ASCII": request_of_http2((":method", "É"), (":path", "/"), *TEST),
    "CONNECT": request_of_http2((":method", "CONNECT"), (":authority", "test")),
    "a thousand priorities": PREFACE
    + SettingsFrame(0).serialize()
    + b"".join(PriorityFrame(stream_id).serialize() for stream_id in range(1, 2401, 2)),
}


async def check_that_it_serves(server: Server) -> None:
    assert b"__actions_done" in await call(server, f"{PREFIX}/count", body=b'{"count":1}')


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
async def test_no_client_ends_the_server(data: bytes) -> None:
    app, _ = make_app()
    async with hosting(app) as server, http2(server) as other:
        stream_id = await other.request(f"{PREFIX}/count", body=b'{"count":100000,"pause_s":0.02}')
        async with await server.connect() as client:
            await client.stream.send_all(data)
            with trio.move_on_after(0.3), suppress(trio.BrokenResourceError):
                await client.read_all()
        await check_that_it_serves(server)
        size = len(other.bodies[stream_id])
        await other.until(lambda: len(other.bodies[stream_id]) > size)


REFUSED_EARLY = {
    "nothing there": ("/nothing", ()),
    "a charset that is none": ("/count", (("content-type", "application/json; charset=none"),)),
    "another site's page": ("/count", (("origin", "http://elsewhere"),)),
    "no room": ("/crowded", ()),
}


@pytest.mark.parametrize(("path", "headers"), REFUSED_EARLY.values(), ids=REFUSED_EARLY.keys())
async def test_a_body_that_comes_after_its_answer_ends_nothing(path: str, headers: tuple[tuple[str, str], ...]) -> None:
    """On HTTP/2, where it shares the connection with others."""
    app, books = make_app()
    async with hosting(app) as server, http2(server) as crowd:
        for _ in range(ROOM):
            await crowd.request(f"{PREFIX}/crowded", body=b'{"count":100000,"pause_s":0.02}')
        while books.begun < ROOM:  # noqa: ASYNC110 - books tell of no event
            await trio.sleep(0.01)
        async with await server.connect() as client:
            request = [(":method", "POST"), (":path", PREFIX + path), *TEST, *headers]
            await client.stream.send_all(request_of_http2(*request, end_stream=False))
            await answered_or_waiting(client)
            await client.stream.send_all(b"\x00\x00\x02\x00\x01\x00\x00\x00\x01{}")
            await trio.sleep(0.1)
            await client.stream.send_all(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00as alive")  # a PING
            await client.read_until(b"as alive")
        await check_that_it_serves(server)


async def answered_or_waiting(client: RawClient) -> None:
    """Give the server time to answer; it may also wait for the body."""
    with trio.move_on_after(0.3):
        await client.read_until(b"__actions_error")


# What the chaos has found on HTTP/2, by itself


async def test_a_reset_of_a_stream_whose_head_waits_leaves_the_others_whole() -> None:
    """The head is encoded already, against the table of headers that all streams share: so it has to be sent."""
    app, _ = make_app(attrs.evolve(LIMITS, stall_s=20.0))
    async with hosting(app) as server, await server.connect() as client:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        connection.increment_flow_control_window(2**31 - 1 - 65_535)

        async def ask(stream_id: int, path: str, body: bytes = b"") -> None:
            connection.send_headers(stream_id, [(":method", "POST"), (":path", PREFIX + path), *TEST])
            connection.send_data(stream_id, body, end_stream=True)
            await client.stream.send_all(connection.data_to_send())

        await ask(1, "/flood")
        await trio.sleep(1.1)  # the flood fills the socket, and the Date of the next head is a new entry of the table
        await ask(3, "/idle")
        await trio.sleep(0.2)
        await client.stream.send_all(b"".join(RstStreamFrame(stream_id, 8).serialize() for stream_id in (3, 1)))
        await trio.sleep(0.2)
        await ask(5, "/count", b'{"count":1}')
        events: list[h2.events.Event] = []
        with trio.fail_after(DEADLINE_S):
            while not any(isinstance(event, h2.events.StreamEnded) for event in events):
                events += connection.receive_data(await client.stream.receive_some())


async def test_every_stream_of_http2_comes_to_its_proper_end_when_the_server_stops() -> None:
    """Also the last of its connection, whose goodbye races with the connection's."""
    for _ in range(10):
        app, _ = make_app()
        async with hosting(app) as server, AsyncExitStack() as connected:
            clients = [await connected.enter_async_context(http2(server)) for _ in range(20)]
            body = b'{"count":100000,"pause_s":0.01}'
            streams = [await client.request(f"{PREFIX}/count", body=body) for client in clients for _ in range(2)]
            for client in clients:
                await client.until(lambda: len(client.bodies) == 2)  # noqa: B023 - awaited before the next one
            server.stop()
            for client in clients:
                await client.until(lambda: client.is_over)  # noqa: B023 - awaited before the next one
            ended = [stream for client in clients for stream in sorted(client.ended)]
        assert ended == streams
