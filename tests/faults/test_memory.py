"""What open streams cost a server, and that it is all given back."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import psutil
import pytest
import trio

from tests.apps import PREFIX, make_app
from tests.cli import Cli, hypercorn
from tests.http2 import http2
from tests.servers import DEADLINE_S, RawClient, call, serving
from trio_streamact import Limits

STREAM_KIB = 45
"""What one idle stream may cost, sockets in the kernel not counted."""

AT_ONCE = 40
"""How many clients come without waiting for an answer: fewer than hypercorn lets wait for their connection."""

KIB, MIB = 2**10, 2**20


@pytest.fixture(autouse=True)
def _default_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is promised is promised of the defaults."""
    monkeypatch.setenv("LIMITS", "default")


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    """Room for a thousand sockets, here and in the server, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@attrs.frozen
class Measured:
    """A server and what it uses."""

    cli: Cli
    process: psutil.Process

    async def memory(self) -> int:
        """Bytes that it holds once its garbage is collected."""
        assert await call(self.cli.server, "/collect") == b"collected"
        return int(self.process.memory_info().rss)

    @property
    def descriptors(self) -> int:
        return int(self.process.num_fds())

    @asynccontextmanager
    async def idle_streams(self, count: int) -> AsyncIterator[list[RawClient]]:
        """Open so many streams, of which each has its head; when the block is left, the server is rid of them."""
        before, clients = self.descriptors, []
        try:
            with trio.fail_after(DEADLINE_S):
                for number in range(count):
                    clients.append(await self.cli.server.connect())
                    await clients[-1].request(f"{PREFIX}/idle")
                    if number % AT_ONCE == 0:
                        await clients[-1].read_until(b"\r\n\r\n")
                for client in clients:
                    await client.read_until(b"\r\n\r\n")
            yield clients
        finally:
            for client in clients:
                client.stream.socket.close()
        with trio.fail_after(DEADLINE_S):
            while self.descriptors > before:  # noqa: ASYNC110 - another process tells of no event
                await trio.sleep(0.02)


@asynccontextmanager
async def measured_server() -> AsyncIterator[Measured]:
    """Start a server of one process and let it load what it loads with its first streams."""
    async with hypercorn("tests.chaos_app:app", workers=0) as cli:
        server = Measured(cli, psutil.Process(cli.process.pid))
        async with server.idle_streams(10):
            await server.memory()
        yield server


async def test_an_idle_stream_costs_at_most_45_kib() -> None:
    async with measured_server() as server:
        before = await server.memory()
        async with server.idle_streams(1000):
            cost = (await server.memory() - before) / 1000
            assert server.descriptors > 1000
    report(f"{cost / KIB:.1f} KiB for each of 1000 idle streams")
    assert cost <= STREAM_KIB * KIB


class Work(trio.abc.Instrument):
    """Counts the tasks that begin, and the steps of all."""

    tasks = steps = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.tasks += 1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1


async def test_an_idle_stream_has_nothing_to_do_but_its_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of one step for each, and a step of the timer for those that are due at once."""
    app, journal = make_app(Limits(heartbeat_s=0.1))
    work, beats, write = Work(), 0, os.write

    def note(fd: int, piece: bytes) -> int:
        nonlocal beats
        beats += b":\n\n" in piece
        return write(fd, piece)

    async with serving(app) as server, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await server.connect()) for _ in range(20)]
        for client in clients:
            await client.request(f"{PREFIX}/idle")
            await client.read_until(b":\n\n")
        monkeypatch.setattr(os, "write", note)
        trio.lowlevel.add_instrument(work)
        await trio.sleep(1)
        trio.lowlevel.remove_instrument(work)
        assert journal.finished == 0
    assert beats > len(clients)
    assert work.tasks <= beats + len(clients), "more looks than there was to do"
    assert work.steps <= 2 * beats + len(clients)


async def test_what_streams_took_is_given_back_when_they_close() -> None:
    memory = []
    async with measured_server() as server:
        descriptors = server.descriptors
        for _ in range(10):
            async with server.idle_streams(500):
                pass
            memory.append(await server.memory())
        with trio.move_on_after(DEADLINE_S):
            while server.descriptors > descriptors:  # noqa: ASYNC110 - another process tells of no event
                await trio.sleep(0.02)
        assert server.descriptors <= descriptors
    report(f"{[used // KIB for used in memory]} KiB after each round of 500 streams")
    # Round 3 and round 10, each the least of three: Python's allocator comes and goes by a megabyte at a time. What is
    # left of 3500 streams between them is less than 600 bytes each.
    assert min(memory[7:]) - min(memory[2:5]) < 2 * MIB


@pytest.mark.parametrize(("method", "path"), [("GET", "count"), ("GET", "idle"), ("POST", "count"), ("POST", "idle")])
async def test_an_open_stream_keeps_nothing_of_its_request_s_body(method: str, path: str) -> None:
    """Whether it is read as the input, or nobody wants it; what nobody wants stays with the client."""
    wish = b'{"count": 1000, "pause_s": 60}'
    body = wish + b" " * (900_000 if path == "count" and method == "POST" else 4_000_000)
    query = "?count=1000&pause_s=60" if method == "GET" else ""
    clients: list[RawClient] = []
    async with measured_server() as server:
        before = await server.memory()
        async with trio.open_nursery() as nursery:

            async def send(client: RawClient) -> None:
                await client.request(f"{PREFIX}/{path}{query}", method=method, body=body)

            for _ in range(20):
                clients.append(await server.cli.server.connect())
                nursery.start_soon(send, clients[-1])
                await clients[-1].read_until(b"\r\n\r\n")
            held = await server.memory() - before
            nursery.cancel_scope.cancel()
        for client in clients:  # when nobody writes to them any more
            client.stream.socket.close()
    report(f"{held / 20 / KIB:.0f} KiB for each of 20 streams of {method} /{path} with {len(body) // KIB} KiB of body")
    # Of what nobody wants, hypercorn takes ten pieces of 64 KiB into its queue before it reads no more.
    assert held < 20 * 1280 * KIB


@pytest.mark.parametrize("size", [80, 10_000, 250_000, 1_000_000])
@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
async def test_a_stalled_stream_holds_little_more_than_its_buffer(protocol: str, size: int) -> None:
    """Its buffer, or one chunk if that is larger; and of the next chunk what the handler gave, and how that is sent."""
    limits, streams = Limits(), 20
    wish = json.dumps({"count": 10**9, "size": size}).encode()
    async with measured_server() as server, AsyncExitStack() as stack:

        async def open_stream() -> None:
            if protocol == "HTTP/2":
                client = await stack.enter_async_context(http2(server.cli.server, opens_windows=False))
                await client.request(f"{PREFIX}/count", body=wish)
            else:
                raw = await stack.enter_async_context(await server.cli.server.connect())
                await raw.request(f"{PREFIX}/count", body=wish)

        async def settled_memory() -> int:
            memory, before = await server.memory(), 0
            with trio.fail_after(DEADLINE_S):
                while abs(memory - before) > 64 * KIB:
                    await trio.sleep(0.3)
                    memory, before = await server.memory(), memory
            return memory

        await open_stream()
        before = await settled_memory()
        for _ in range(streams):
            await open_stream()
        held = (await settled_memory() - before) / streams
    report(f"{held / KIB:.0f} KiB for each of {streams} stalled streams of {protocol} with chunks of {size} bytes")
    assert held < max(limits.buffer_bytes, size) + 2 * size + 320 * KIB


SHORT_STREAMS = int(os.environ.get("SHORT_STREAMS", "3000"))
"""How many short streams are counted after the tenth part of them; a long run by hand asks for 200,000."""


async def http1_streams(server: Measured, count: int) -> None:
    """Run so many streams on connections of HTTP/1.1; of every other one the client leaves."""

    async def run(share: int) -> None:
        kept = await server.cli.server.connect()
        for number in range(share):
            if number % 1000 == 999:  # as many requests as hypercorn answers on one connection of HTTP/1.1
                await trio.aclose_forcefully(kept.stream)
                kept = await server.cli.server.connect()
            wish = json.dumps({"count": number % 2 and 10**6, "pause_s": 60}).encode()
            if number % 2:
                async with await server.cli.server.connect() as client:
                    await client.request(f"{PREFIX}/own-class", body=wish)
                    await client.read_until(b"data: ")
            else:
                await kept.request(f"{PREFIX}/own-class", body=wish)
                await kept.read_until(b"\r\n0\r\n\r\n")
                kept.received = b""
        await trio.aclose_forcefully(kept.stream)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(run, count // 4)


async def http2_streams(server: Measured, count: int) -> None:
    """Run so many streams on one connection of HTTP/2; every other one is cancelled."""
    async with http2(server.cli.server) as client:
        for number in range(count):
            wish = json.dumps({"count": number % 2 and 10**6, "pause_s": 60}).encode()
            stream_id = await client.request(f"{PREFIX}/own-class", body=wish)
            if number % 2:
                await client.until(lambda: bool(client.bodies[stream_id]))  # noqa: B023 - asked at once
                await client.reset(stream_id)
            else:
                await client.until_ended(stream_id)
            client.bodies.pop(stream_id, None)
            client.ended.discard(stream_id)


@pytest.mark.parametrize("streams", [http1_streams, http2_streams])
async def test_short_streams_leave_nothing_whatever_classes_their_chunks_are_of(streams: Any) -> None:
    async with measured_server() as server:
        memory, descriptors = [], server.descriptors
        for _ in range(10):
            await streams(server, SHORT_STREAMS // 10)
            memory.append(await server.memory())
        with trio.move_on_after(DEADLINE_S):
            while server.descriptors > descriptors:  # noqa: ASYNC110 - another process tells of no event
                await trio.sleep(0.02)
        assert server.descriptors <= descriptors
    report(f"{[used // KIB for used in memory]} KiB after each tenth of {SHORT_STREAMS} short streams")
    # Against the second tenth, with what Python's allocator comes and goes by.
    assert min(memory[7:]) - min(memory[1:4]) < 2 * MIB


def report(figures: str) -> None:
    """Say what was measured, where somebody asks for it."""
    if os.environ.get("SHOW_FIGURES"):
        print(f"\n{figures}")  # noqa: T201
