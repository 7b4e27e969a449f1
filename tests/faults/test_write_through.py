"""The short way to the kernel: what is sent leaves in its sender's own step, and nothing is lost on the way."""

from __future__ import annotations

import gc
import itertools
import json
import random
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import h11
import pytest
import trio
import trio.testing
from hypercorn.logging import Logger
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

from tests.apps import Journal
from tests.quarts import TEARDOWNS
from tests.servers import DEADLINE_S, RawClient, body_of, call, is_complete, serving
from trio_streamact import Limits, Stream, StreamActions, StreamReport, stream_ended
from trio_streamact._hypercorn import http1_writer as writes
from trio_streamact._hypercorn.patches.keep_alive import IdleTimer
from trio_streamact._hypercorn.patches.pipelining import ClosedConnection
from trio_streamact._stream.batch import BATCH_WINDOW_S

DONE = b'data: {"__actions_done":true}\n\n'


@attrs.define(eq=False)
class Lab:
    """An app whose one action does what a test wants."""

    app: QuartTrio = attrs.field(factory=lambda: QuartTrio(__name__))
    limits: Limits = attrs.field(factory=Limits)
    journal: Journal = attrs.field(factory=Journal)

    def serves(self, handler: Any) -> QuartTrio:
        actions = StreamActions(self.app, url_prefix="", limits=self.limits)

        @actions.post("/it")
        async def it(stream: Stream[Any]) -> None:
            with self.journal:
                await handler(stream)

        stream_ended.connect(self.journal.receive, self.app, weak=False)
        return self.app

    async def reported(self) -> StreamReport:
        await self.journal.wait_for(reports=1)
        return self.journal.reports[0]


def events_in(written: list[bytes]) -> list[int]:
    """Count the events in each write that has some."""
    return [count for count in (piece.count(b"data: ") for piece in written) if count]


async def test_a_chunk_that_comes_alone_is_written_before_its_sender_goes_on(written: list[bytes]) -> None:
    seen = []

    async def handler(stream: Stream[Any]) -> None:
        for number in range(3):
            await trio.sleep(0.02)
            await trio.testing.wait_all_tasks_blocked()  # a busy machine may sleep while the head waits for its turn
            await stream.send(number)
            seen.append(len(events_in(written)))

    async with serving(Lab().serves(handler)) as server, await ask(server) as client:
        assert body_of(await client.read_until(b"0\r\n\r\n")).count(b"data: ") == 4
    assert seen == [1, 2, 3]


async def test_chunks_that_follow_at_once_leave_together(written: list[bytes]) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await trio.sleep(0.02)
        for number in range(10):
            await stream.send(number)
        await trio.sleep(0.02)

    async with serving(Lab().serves(handler)) as server, await ask(server) as client:
        await client.read_until(b"0\r\n\r\n")
    assert events_in(written) == [1, 9, 1]


async def test_the_last_frame_leaves_with_the_end_of_the_response(written: list[bytes]) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await stream.send(1)
        await trio.sleep(0.02)

    async with serving(Lab().serves(handler)) as server, await ask(server) as client:
        await client.read_until(b"0\r\n\r\n")
    assert written[-1] == b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE)


async def test_a_sender_that_works_between_its_chunks_and_never_waits_lets_others_run() -> None:
    turns = seen = 0

    async def handler(stream: Stream[Any]) -> None:
        nonlocal seen
        await trio.sleep(0.02)
        before = turns
        for number in range(100):
            await stream.send(number)
            time.sleep(0.0015)  # noqa: ASYNC251 - as work does; longer than a write is gathered for
        seen = turns - before

    async with serving(Lab().serves(handler)) as server, await ask(server) as client, trio.open_nursery() as nursery:

        async def other() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(other)
        await client.read_until(b"0\r\n\r\n")
        nursery.cancel_scope.cancel()
    assert seen >= 3


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_a_chunk_leaves_before_its_sender_works_on_the_next(is_wrapped: bool, written: list[bytes]) -> None:
    """Work that blocks the event loop is a fault, but it need not be ours too. Behind middleware, frames take turns."""
    left: list[int] = []

    async def handler(stream: Stream[Any]) -> None:
        for number in range(10):
            time.sleep(2 * BATCH_WINDOW_S)  # noqa: ASYNC251 - work that blocks the event loop is the subject
            await stream.send(number)
            left.append(sum(events_in(written)))

    lab = Lab()
    if is_wrapped:
        lab.app.asgi_app = partial(lab.app.asgi_app)  # type: ignore[method-assign]  # as Quart has middleware set
    async with serving(lab.serves(handler)) as server, await ask(server) as client:
        await client.read_until(b"0\r\n\r\n")
    # The first waits for what may be behind it, since a short stream is to leave in one write; then others must run,
    # who may have only begun to.
    assert left[2:] == list(range(3, 11))


@pytest.mark.parametrize("seed", range(6))
async def test_every_byte_arrives_in_order_through_the_narrowest_of_sockets(seed: int) -> None:
    dice = random.Random(seed)
    senders, each = dice.choice((1, 1, 2, 5)), 60
    limits = Limits(
        buffer_chunks=dice.choice((1, 3, 16)),
        buffer_bytes=dice.choice((1, 3000, 65536)),
        write_bytes=dice.choice((1, 5000, 65536)),
        heartbeat_s=dice.choice((0.005, 15.0)),
    )
    closes = dice.random() < 0.5

    async def handler(stream: Stream[Any]) -> None:
        async def send(sender: int) -> None:
            for number in range(each):
                await stream.send([sender, number, "x" * dice.choice((1, 10, 1000, 40_000))])
                if dice.random() < 0.2:
                    await trio.sleep(dice.choice((0.0, 0.0005, 0.004)))

        async with trio.open_nursery() as nursery:
            for sender in range(senders):
                nursery.start_soon(send, sender)
        if closes:
            await stream.close()
            await trio.sleep(0.01)

    lab = Lab(limits=limits)
    async with serving(lab.serves(handler)) as server, await ask(server, receive_buffer=4096) as client:
        with trio.fail_after(30):
            while not client.received.endswith(b"\r\n0\r\n\r\n"):
                client.received += await client.stream.receive_some(dice.choice((100, 3000, 100_000)))
                if dice.random() < 0.1:
                    await trio.sleep(0.002)
    body = body_of(client.received)
    events = [event for event in body.split(b"\n\n")[:-2] if event != b":"]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    for sender in range(senders):
        assert [number for of, number, _ in chunks if of == sender] == list(range(each))
    assert body.endswith(DONE)
    report = await lab.reported()
    assert (report.outcome, report.chunks, report.bytes) == ("done", senders * each, len(body))


async def test_a_client_that_leaves_with_the_end_has_had_it() -> None:
    async def handler(stream: Stream[Any]) -> None:
        await trio.sleep(0.02)
        await stream.send(1)
        await stream.close()
        await trio.sleep_forever()

    lab = Lab()
    async with serving(lab.serves(handler)) as server:
        async with await ask(server) as client:
            await client.read_until(b"__actions_done")
        await lab.journal.wait_for(cancelled=1)
        assert (await lab.reported()).outcome == "done"


async def test_the_end_waits_for_no_teardown_function_and_the_next_request_does() -> None:
    lab = Lab()
    begun: list[int] = []
    over: list[int] = []

    @lab.app.teardown_request
    async def teardown(_: Any) -> None:
        begun.append(len(begun))
        await trio.sleep(0.1)
        over.append(len(over))

    async with serving(lab.serves(three_chunks)) as server, await ask(server) as client:
        for round_ in range(3):  # on one connection
            await client.read_until(b"\r\n0\r\n\r\n")
            before = TEARDOWNS * (round_ + 1) - 1  # where contexts are copied, one after each view too
            assert len(begun) <= before + 1, "it may just have begun"
            assert len(over) == before, "the one after the handler is not over"
            assert body_of(client.received).endswith(DONE)
            client.received = b""
            await client.request("/it")
        await client.read_until(b"data: 0")
        assert len(over) == TEARDOWNS * 4 - 1


@pytest.mark.parametrize("where", ["close", "teardown"])
async def test_an_end_that_nobody_takes_is_not_reported_as_done(where: str) -> None:
    lab = Lab(limits=Limits(stall_s=0.5, chunk_bytes=32 * 2**20, write_bytes=32 * 2**20))  # all in one write

    async def handler(stream: Stream[Any]) -> None:
        await stream.send("x" * 12 * 2**20)
        if where == "close":
            await stream.close()
            await trio.sleep(0.1)

    if where == "teardown":

        @lab.app.teardown_request
        async def teardown(_: Any) -> None:
            await trio.sleep(0.1)

    async with serving(lab.serves(handler)) as server, await ask(server, receive_buffer=4096):
        assert (await lab.reported()).outcome == "stalled"


async def test_an_end_that_has_yet_to_be_written_is_not_reported_as_done() -> None:
    """Its client leaves behind a write that went through after the handler had closed the stream."""
    size = 8 * 2**20  # more than the kernel takes
    lab = Lab(limits=Limits(chunk_bytes=2 * size, buffer_bytes=4 * size))

    async def handler(stream: Stream[Any]) -> None:
        for _ in range(2):
            await stream.send("x" * size)
        await stream.close()
        await trio.sleep_forever()

    async with serving(lab.serves(handler)) as server:
        async with await ask(server, receive_buffer=4096) as client:
            received = 0
            while received < size * 1.1:  # the first chunk has gone through, and the end is behind the second
                received += len(await client.stream.receive_some(2**20))
            await client.reset()
        assert (await lab.reported()).outcome == "disconnected"


@pytest.mark.parametrize("where", ["the sender's step", "a turn", "the last", "flush"])
async def test_a_write_that_fails_as_none_should_ends_the_stream_and_does_not_look_whole(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab, failed = Lab(limits=Limits(write_bytes=1)), 0  # one chunk a write

    def failing(real: Any, fails: Callable[..., object]) -> Any:
        def write(self: Any, *args: Any) -> Any:
            nonlocal failed
            if fails(*args):
                failed += 1
                raise LookupError("of nobody's making")
            return real(self, *args)

        return write

    async def handler(stream: Stream[Any]) -> None:
        with trio.move_on_after(DEADLINE_S, shield=True):  # it swallows its cancellation for a while
            for number in range(4):
                with suppress(LookupError, trio.ClosedResourceError):
                    await stream.send([number, "x" * (2**20 - 100 if where == "flush" else 10)])
                if where != "a turn":
                    await trio.sleep(0.02)
        if where == "a turn":
            await trio.sleep_forever()

    if where == "flush":
        monkeypatch.setattr(writes.Http1Writer, "flush", failing(writes.Http1Writer.flush, lambda: not failed))
    else:
        mark = b"__actions_done" if where == "the last" else b"[2,"
        write_nowait = failing(writes.Http1Writer.write_nowait, lambda body, _: failed or mark in body)
        monkeypatch.setattr(writes.Http1Writer, "write_nowait", write_nowait)
    async with serving(lab.serves(handler)) as server, await ask(server, receive_buffer=4096) as client:
        with trio.fail_after(DEADLINE_S), suppress(trio.BrokenResourceError):
            while part := await client.stream.receive_some():
                client.received += part
        assert (await lab.reported()).outcome == "disconnected"
    assert failed == 1, "it was tried again, whatever had become of what was lost"
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError]
    assert not is_complete(client.received)
    whole, _, _ = body_of(client.received).rpartition(b"\n\n")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in whole.split(b"\n\n") if event]
    assert [number for number, _ in chunks] == {"the last": [0, 1, 2, 3], "flush": []}.get(where, [0, 1])


async def test_a_head_that_promises_too_little_is_logged_and_ends_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()

    @lab.app.after_request
    async def shorten(response: Any) -> Any:
        response.headers["Content-Length"] = "20"
        return response

    async def handler(stream: Stream[Any]) -> None:
        for number in itertools.count():
            await trio.sleep(0.01)
            await stream.send(number)

    async with serving(lab.serves(handler)) as server, await ask(server):
        await lab.journal.wait_for(finished=1)
    logged = [record for record in caplog.records if record.name == "trio_streamact"]
    assert [type(record.exc_info[1]) for record in logged if record.exc_info] == [h11.LocalProtocolError]


INTERRUPTED = """
import os, signal, sys
import trio
from hypercorn.logging import Logger
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection
from tests.servers import serving
from trio_streamact import StreamActions

app = QuartTrio(__name__)
actions = StreamActions(app, url_prefix="")
count = 0


def write_and_interrupt(fd, piece, write=os.write):
    global count
    taken = write(fd, piece)
    if b"data: " in piece:
        count += 1
        if count == (4 if sys.argv[1] == "in the sender's step" else 3):
            signal.raise_signal(signal.SIGINT)
    return taken


@actions.post("/it")
async def it(stream):
    for number in range(1000):
        await stream.send(number)
        if sys.argv[1] == "in the sender's step" or number % 3 == 0:
            await trio.sleep(0.01)


async def main():
    async with serving(app) as server, await server.connect() as client:
        try:
            await client.request("/it")
            await client.read_all()
        finally:
            print(client.received.decode())


os.write = write_and_interrupt
trio.run(main)
"""


@pytest.mark.parametrize("where", ["in the sender's step", "in a turn"])
async def test_a_ctrl_c_in_the_midst_of_a_write_neither_breaks_trio_nor_loses_or_repeats_a_chunk(where: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, where]
    with trio.fail_after(20):
        ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert b"KeyboardInterrupt" in ran.stderr
    assert b"TrioInternalError" not in ran.stderr
    chunks = [int(line) for line in re.findall(rb"data: (\d+)", ran.stdout)]
    assert chunks == list(range(len(chunks)))
    assert len(chunks) >= 3


class Noting:
    """Notes every byte that it passes on."""

    seen = b""

    def around(self, send: Any) -> Any:
        async def note(message: Any) -> None:
            self.seen += message.get("body", b"")
            await send(message)

        return note


@pytest.mark.parametrize("where", ["middleware", "a method of the app", "a class for connections"])
async def test_whoever_stands_between_quart_and_the_server_sees_every_byte(where: str) -> None:
    noting = Noting()

    class App(QuartTrio):
        async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
            await super().asgi_app(scope, receive, noting.around(send))

    class Connection(TrioASGIHTTPConnection):
        async def handle_request(self, nursery: Any, request: Any, send: Any) -> None:  # type: ignore[override]
            await super().handle_request(nursery, request, noting.around(send))

    lab = Lab(App(__name__) if where == "a method of the app" else QuartTrio(__name__))
    if where == "middleware":
        inner = lab.app.asgi_app

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            await inner(scope, receive, noting.around(send))

        lab.app.asgi_app = middleware  # type: ignore[method-assign]  # as Quart has middleware set
    elif where == "a class for connections":
        lab.app.asgi_http_class = Connection
    async with serving(lab.serves(three_chunks)) as server:
        assert await call(server, "/it") == noting.seen
    assert noting.seen.endswith(DONE)


@pytest.mark.parametrize("meanwhile", ["sends on", "waits", "has returned"])
async def test_a_client_that_resets_ends_the_stream_even_if_nobody_can_be_told(meanwhile: str) -> None:
    """hypercorn tells its log first, and whoever fails there ends the telling."""

    class FailingLogger(Logger):
        async def access(self, request: Any, response: Any, request_time: float) -> None:
            if response is None:
                raise LookupError("the response of a stream that was cut")

    async def handler(stream: Stream[Any]) -> None:
        await stream.send("x" * 8 * 2**20)  # more than the kernel takes
        while meanwhile == "sends on":
            await stream.send("x" * 100_000)
        if meanwhile == "waits":
            await trio.sleep_forever()

    lab = Lab(limits=Limits(chunk_bytes=16 * 2**20))
    app = lab.serves(handler)
    for round_ in range(8):  # it depends on who hears of it first
        async with serving(app, logger_class=FailingLogger) as server:
            client = await ask(server)
            await trio.sleep(0.05)
            await client.reset()
            await lab.journal.wait_for(finished=round_ + 1, reports=round_ + 1)
    assert {report.outcome for report in lab.journal.reports} == {"disconnected"}


@pytest.mark.parametrize("how", ["as it is", "copied", "in time", "by a task"])
async def test_a_body_that_is_wrapped_gives_its_wrapper_every_byte(how: str) -> None:
    lab = Lab()
    seen = b""

    async def as_it_is(inner: Any) -> AsyncIterator[bytes]:
        async with inner as body:
            async for part in body:
                yield part

    async def copied(inner: Any) -> AsyncIterator[bytes]:
        async for part in as_it_is(inner):
            yield b"" + part + b""

    async def in_time(inner: Any) -> AsyncIterator[bytes]:
        async with inner as body:
            parts = aiter(body)
            while True:
                with trio.fail_after(DEADLINE_S):
                    part = await anext(parts, None)
                if part is None:
                    return
                yield part

    async def by_a_task(inner: Any) -> AsyncIterator[bytes]:
        sender, receiver = trio.open_memory_channel[bytes](0)

        async def pump() -> None:
            async with sender, inner as body:
                async for part in body:
                    await sender.send(part)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump)
            async with receiver:
                async for part in receiver:
                    yield part

    wrapper = {"as it is": as_it_is, "copied": copied, "in time": in_time, "by a task": by_a_task}[how]

    @lab.app.after_request
    async def wrap(response: Any) -> Any:
        async def noted(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            nonlocal seen
            async for part in parts:
                seen += part
                yield part

        response.response = response.iterable_body_class(noted(wrapper(response.response)))
        return response

    async def slow(stream: Stream[Any]) -> None:
        for number in range(10):
            await trio.sleep(0.03)
            await stream.send(number)

    async with serving(lab.serves(slow)) as server:
        body = await call(server, "/it")
    assert body.count(b"data: ") == 11
    assert body == seen


async def three_chunks(stream: Stream[Any]) -> None:
    for number in range(3):
        await trio.sleep(0.01)
        await stream.send(number)


async def test_a_stream_leaves_no_garbage() -> None:
    """What circles of references hold, the collector frees: with pauses, in between which memory grows."""
    of_connections = {IdleTimer, ClosedConnection}  # which hypercorn leaves to the collector, whole
    async with serving(Lab().serves(three_chunks)) as server:
        for leave in (partial(call, server, "/it"), partial(ask_and_leave, server), partial(be_refused, server)):
            await leave()
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(3):
                    await leave()
                await trio.sleep(0.1)
                gc.collect()
                ours = {type(each) for each in gc.garbage if type(each).__module__.startswith("trio_streamact")}
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
            assert ours <= of_connections


async def be_refused(server: Any) -> None:
    assert b"CROSS_SITE_REQUEST" in await call(server, "/it", headers={"Origin": "http://elsewhere"})


async def ask(server: Any, receive_buffer: int | None = None) -> RawClient:
    """Ask for the stream, with a socket that takes little at once."""
    with socket.socket() as sock:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect((server.host, server.port))
        client = RawClient(trio.SocketStream(trio.socket.from_stdlib_socket(sock.dup())))
    await client.request("/it")
    return client


async def ask_and_leave(server: Any) -> None:
    async with await ask(server) as client:
        await client.read_until(b"data: 0\n")
