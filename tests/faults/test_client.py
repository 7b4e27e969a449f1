"""The Trio client when things go wrong around it: servers that die, bytes without end, and what must not pile up."""

from __future__ import annotations

import gc
import gzip
import os
import random
import signal
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import psutil
import pytest
import trio

from tests.apps import PREFIX, Token, make_app
from tests.cli import hypercorn
from tests.raw_servers import STREAM_HEAD, RawServer, chunked, raw_server, sending
from tests.servers import DEADLINE_S, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits
from trio_streamact._protocol.encoding import encode_chunk, encode_done
from trio_streamact.client import ActionError, open_stream_action, use_stream_action

KIB, MIB = 2**10, 2**20
DONE = encode_done("marked")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """A connection or a generator that somebody forgot to close is found here, in the test that did."""
    yield
    gc.collect()


# Servers that die


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("path", ["/count", "/idle"])
async def test_a_server_that_is_killed_is_an_error(http2: bool, path: str) -> None:
    async with (
        hypercorn("tests.chaos_app:app", workers=0) as cli,
        httpx2.AsyncClient(http1=not http2, http2=http2, base_url=cli.server.url + PREFIX) as http,
    ):
        runner = use_stream_action(path, http=http)
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.execute, {"count": 10**6, "pause_s": 0.01})
                await trio.sleep(0.3)
                assert runner.status == "streaming"
                os.kill(cli.process.pid, signal.SIGKILL)
        assert runner.error is not None
        assert (runner.error.code, runner.error.status_code) == ("STREAM_INCOMPLETE", 502)
        assert len(runner.chunks) > 5 or path == "/idle"
        await runner.execute()
        assert (runner.error.code, runner.chunks) == ("NETWORK_ERROR", [])


async def test_a_server_that_shuts_down_says_so() -> None:
    app, _ = make_app()
    async with serving(app) as server:
        runner = use_stream_action(f"{server.url}{PREFIX}/ticks")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.execute)
            await trio.sleep(0.1)
            server.stop()
        assert runner.error is not None
        assert runner.error.code == "SERVER_SHUTDOWN"
        assert runner.chunks


@pytest.mark.parametrize("sent", [b"", STREAM_HEAD, STREAM_HEAD + encode_chunk(1)])
async def test_a_connection_that_is_reset_is_an_error(sent: bytes) -> None:
    async def answer(_: RawServer, connection: trio.SocketStream) -> None:
        await connection.send_all(sent)
        await trio.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with raw_server(answer) as server:
        runner = use_stream_action(server.url)
        await runner.execute()
    assert runner.error is not None
    assert runner.error.code == ("STREAM_INCOMPLETE" if sent else "NETWORK_ERROR")
    assert runner.chunks == ([1] if sent.endswith(b"\n\n") else [])


async def test_any_bytes_at_all_end_a_run_with_an_error_or_a_done() -> None:
    """And nothing else: no exception, no hang, nothing that is left open."""
    draw = random.Random(0)
    pieces = [STREAM_HEAD, encode_chunk(1), DONE, b"\r\n", b"\n\n", b"data: ", b"HTTP/1.1 ", b"200 OK", b"5\r\n", b":"]
    pieces += [
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 9\r\n",
        b"\x1f\x8b",
        b"Content-Encoding: gzip\r\n\r\n",
    ]
    for _ in range(300):
        drawn = [draw.choice([*pieces, draw.randbytes(5)]) for _ in range(draw.randrange(8))]
        answer = draw.choice([b"", STREAM_HEAD, STREAM_HEAD.removesuffix(b"\r\n")]) + b"".join(drawn)
        async with raw_server(sending(answer)) as server:
            runner = use_stream_action(server.url)
            with trio.fail_after(DEADLINE_S):
                await runner.execute()
        assert (runner.status, runner.error is None) in {("done", True), ("error", False)}
        if runner.error is not None:
            assert runner.error.code in {
                "NETWORK_ERROR",
                "HTTP_ERROR",
                "NOT_A_STREAM",
                "STREAM_INCOMPLETE",
                "MALFORMED_EVENT",
            }


async def test_what_speaks_no_http2_is_a_network_error() -> None:
    async with (
        raw_server(sending(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        httpx2.AsyncClient(http1=False, http2=True) as http,
    ):
        runner = use_stream_action(server.url, http=http)
        await runner.execute()
    assert runner.error is not None
    assert runner.error.code == "NETWORK_ERROR"


async def test_a_head_without_end_is_a_network_error() -> None:
    async with raw_server(sending(*[b"HTTP/1.1 200 OK\r\n"], *[b"a: " + b"x" * 5000 + b"\r\n"] * 100)) as server:
        runner = use_stream_action(server.url)
        await runner.execute()
    assert runner.error is not None
    assert runner.error.code == "NETWORK_ERROR"


GZIP_HEAD = STREAM_HEAD.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
CHUNKED_HEAD = STREAM_HEAD.removesuffix(b"\r\n") + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "compressed": GZIP_HEAD + gzip.compress(b":\n" * 2_000_000 + DONE),
    "compressed, all lines empty": GZIP_HEAD + gzip.compress(b"\n" * 8_000_000 + DONE),
    "in tiny parts": CHUNKED_HEAD + chunked([*[b"\n"] * 30_000, DONE]),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_other_tasks_get_their_turns_however_much_one_read_holds(flood: str) -> None:
    longest_s = 0.0  # of CPU: a busy machine counts for nothing

    async def neighbour() -> None:
        nonlocal longest_s
        while True:
            began = time.process_time()
            await trio.lowlevel.checkpoint()
            longest_s = max(longest_s, time.process_time() - began)

    async with raw_server(sending(FLOODS[flood])) as server, trio.open_nursery() as nursery:
        nursery.start_soon(neighbour)
        began = time.process_time()
        runner = use_stream_action(server.url)
        await runner.execute()
        took_s = time.process_time() - began
        nursery.cancel_scope.cancel()
    assert runner.status == "done"
    assert longest_s < took_s / 4


# What must not pile up


async def endless(_: RawServer, connection: trio.SocketStream) -> None:
    """Send a line that never ends."""
    await connection.send_all(STREAM_HEAD + b"data: ")
    while True:
        await connection.send_all(b"x" * 65_536)


async def test_an_event_without_end_is_refused_before_it_costs_memory() -> None:
    async with raw_server(endless) as server:
        tracemalloc.start()
        try:
            runner = use_stream_action(server.url)
            await runner.execute()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert runner.error is not None
    assert (runner.error.code, runner.error.status_code) == ("EVENT_TOO_LARGE", 502)
    assert peak < 10 * MIB  # of which the largest event that would be read is two


@pytest.fixture(scope="module")
def million() -> bytes:
    """The body of a response of a million chunks."""
    return chunked([encode_chunk(Token("hello world")) * 1000] * 1000 + [DONE])


async def test_a_million_chunks_are_iterated_in_the_memory_of_a_few(million: bytes) -> None:
    head = STREAM_HEAD.removesuffix(b"\r\n") + b"Transfer-Encoding: chunked\r\n\r\n"
    process, memory, count = psutil.Process(), [0], 0
    async with raw_server(sending(head, million)) as server, open_stream_action(server.url, chunk=Token) as stream:
        async for _ in stream:
            count += 1
            if count % 100_000 == 0:
                memory.append(process.memory_info().rss)
    assert count == 1_000_000
    assert max(memory[2:]) - memory[1] < 4 * MIB


async def test_streams_that_are_left_leave_no_task_no_socket_and_no_memory() -> None:
    app, journal = make_app(Limits(stall_s=60))
    process = psutil.Process()
    async with serving(app, keep_alive_timeout=0.2) as server:
        before, open_files, memory = 0, 0, []
        for number in range(300):
            with trio.move_on_after(0.003 * (number % 5)):
                async with open_stream_action(
                    f"{server.url}{PREFIX}/{('ticks', 'idle', 'flood')[number % 3]}"
                ) as stream:
                    async for _ in stream:
                        if number % 7 == 0:
                            break
            if number == 20:
                await journal.wait_for(finished=journal.started)
                before, open_files = await tasks_at_rest(), process.num_fds()
                tracemalloc.start()
            if number in (150, 299):
                gc.collect()
                memory.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        await journal.wait_for(finished=journal.started)
        await tasks_down_to(before)
        assert process.num_fds() <= open_files
    assert memory[1] - memory[0] < 500 * KIB


async def test_many_streams_at_once_are_each_read_to_their_own_end() -> None:
    app, _ = make_app()
    chunks: list[list[Any]] = [[] for _ in range(100)]

    async def read(number: int, http: httpx2.AsyncClient | None) -> None:
        async with open_stream_action(url, {"prompt": f"{number} " * 20}, http=http) as stream:
            chunks[number] += [chunk["text"] async for chunk in stream]

    async with serving(app) as server:
        url = f"{server.url}{PREFIX}/words"
        async with http_clients() as clients, trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(read, number, clients[number % 3])
    assert chunks == [[str(number)] * 20 for number in range(100)]


@asynccontextmanager
async def http_clients() -> AsyncIterator[list[httpx2.AsyncClient | None]]:
    async with httpx2.AsyncClient() as http1, httpx2.AsyncClient(http1=False, http2=True) as http2:
        yield [None, http1, http2]


async def test_an_error_of_a_stream_leaves_nothing_open() -> None:
    async with raw_server(sending(STREAM_HEAD + b"data: nonsense\n\n", then_hold=True)) as server:
        for _ in range(20):
            with pytest.raises(ActionError, match="MALFORMED_EVENT"):
                async with open_stream_action(server.url) as stream:
                    await anext(stream)
            with trio.fail_after(DEADLINE_S):
                await server.hung_up.wait()
            server.hung_up = trio.Event()
