"""However a stream of an HTTP/2 connection ends: nothing of it is left, and the others never notice."""

from __future__ import annotations

import gc
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter, process_time
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.protocol.events import Body
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hyperframe.frame import Frame, PingFrame, PriorityFrame, SettingsFrame, WindowUpdateFrame
from quart_trio import QuartTrio

from tests.apps import PREFIX, Journal, make_app
from tests.http2 import Http2Client, http2
from tests.logs import nothing_logged
from tests.repairs import leave_out
from tests.servers import DEADLINE_S, Server, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits, Stream, define_stream_action

Headers = tuple[tuple[str | bytes, str | bytes], ...]

TEST = ((":scheme", "http"), (":authority", "test"))

AT_ONCE = 50
"""How many streams a test opens at a time; hypercorn allows a hundred."""


@attrs.frozen
class Kept:
    """What is kept of the streams of all HTTP/2 connections of this process."""

    streams: int
    buffers: int
    nodes: int
    tasks: int

    @classmethod
    def now(cls) -> Kept:
        gc.collect()
        things = gc.get_objects()
        protocols = [thing for thing in things if isinstance(thing, H2Protocol)]
        return cls(
            sum(len(protocol.streams) for protocol in protocols),
            sum(isinstance(thing, StreamBuffer) for thing in things),
            sum(len(protocol.priority._streams) - 1 for protocol in protocols),  # one is the root
            trio.lowlevel.current_statistics().tasks_living,
        )

    def is_within(self, other: Kept) -> bool:
        return all(mine <= theirs for mine, theirs in zip(attrs.astuple(self), attrs.astuple(other), strict=True))


async def until_kept(expected: Kept) -> None:
    """Wait until no more than *expected* is kept."""
    with trio.move_on_after(DEADLINE_S):
        while not Kept.now().is_within(expected):  # noqa: ASYNC110 - nobody announces what is freed
            await trio.sleep(0.02)
    kept = Kept.now()
    assert kept.is_within(expected), (kept, expected)


@attrs.define(eq=False)
class Gate:
    """Lets through, when it is opened, those that wait there; who comes later waits again."""

    _opened: trio.Event = attrs.field(factory=trio.Event)

    async def wait(self) -> None:
        await self._opened.wait()

    def open(self) -> None:
        self._opened.set()
        self._opened = trio.Event()


@attrs.frozen(eq=False)
class Bench:
    """A server, a connection, and on it a stream that ticks on."""

    server: Server
    client: Http2Client
    journal: Journal
    gate: Gate
    other: int

    async def ask(self, path: str, count: int = AT_ONCE, method: str = "POST", **request: Any) -> list[int]:
        return [await self.client.request(path, method, **request) for _ in range(count)]

    async def until_each(self, streams: list[int], condition: Callable[[int], object]) -> None:
        """Wait until *condition* holds for each of *streams*."""
        await self.client.until(lambda: all(condition(stream) for stream in streams))


def app_of_all_kinds(limits: Limits) -> tuple[QuartTrio, Journal, Gate]:
    """Make an app whose routes end in every way; some do when the gate is opened."""
    app, journal = make_app(limits)
    gate = Gate()

    @app.post(f"{PREFIX}/at-the-gate")
    @define_stream_action
    async def at_the_gate(stream: Stream[int]) -> None:
        with journal:
            await stream.send(1)
            await gate.wait()

    @app.post(f"{PREFIX}/closes-at-the-gate")
    @define_stream_action
    async def closes_at_the_gate(stream: Stream[int]) -> None:
        with journal:
            await stream.send(1)
            await gate.wait()
            await stream.close()
            await trio.sleep_forever()

    @app.post("/plain/waits")
    async def waits() -> str:
        with journal:
            await trio.sleep_forever()

    @app.post("/plain/large")
    async def large() -> str:
        with journal:
            return "x" * 200_000

    @app.post("/plain/small")
    async def small() -> str:
        return "x" * 20_000

    @app.post("/plain/generator")
    async def generator() -> Any:
        async def body() -> AsyncIterator[bytes]:
            with journal:
                yield b"data: 1\n\n"
                await trio.sleep_forever()

        return body(), {"Content-Type": "text/event-stream"}

    @app.post("/plain/breaks")
    async def breaks() -> Any:
        async def body() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            raise RuntimeError("in the middle of a body")

        return body(), {"Content-Type": "text/event-stream"}

    return app, journal, gate


@asynccontextmanager
async def bench(
    limits: Limits | None = None, response_timeout_s: float | None = 60, **settings: Any
) -> AsyncIterator[Bench]:
    """Serve, open a stream that ticks, and check in the end that it never missed a tick and comes to its end."""
    app, journal, gate = app_of_all_kinds(limits or Limits(stall_s=60))
    app.config["RESPONSE_TIMEOUT"] = response_timeout_s
    async with serving(app, **settings) as server, http2(server, opens_windows=False) as client:
        other = await client.request(f"{PREFIX}/ticks")
        await client.until(lambda: b"data: 1" in client.bodies[other])
        yield Bench(server, client, journal, gate, other)
        size = len(client.bodies[other])
        await client.until(lambda: len(client.bodies[other]) > size)
        server.stop()
        body = await client.until_ended(other)
    ticks = [int(tick) for tick in re.findall(rb"data: (\d+)", body)]
    assert ticks == list(range(len(ticks)))
    assert b"SERVER_SHUTDOWN" in body


# What a client resets


async def idle(here: Bench, round_: int) -> None:
    streams = await here.ask(f"{PREFIX}/idle")
    await here.journal.wait_for(started=1 + AT_ONCE * (round_ + 1))
    await here.client.reset(*streams)


async def ticking(here: Bench, _: int) -> None:
    streams = await here.ask(f"{PREFIX}/ticks")
    await here.until_each(streams, lambda stream: here.client.bodies[stream])
    await here.client.reset(*streams)


async def silent_before_the_response(here: Bench, round_: int) -> None:
    streams = await here.ask(f"{PREFIX}/slow-middleware")
    await here.journal.wait_for(started=1 + AT_ONCE * (round_ + 1))
    await here.client.reset(*streams)


async def before_the_request_is_handled(here: Bench, _: int) -> None:
    for path in (f"{PREFIX}/ticks", "/plain/waits"):
        await here.ask(path, AT_ONCE // 2, resets=True)


async def before_the_request_is_whole(here: Bench, _: int) -> None:
    streams = [await here.client.upload(f"{PREFIX}/echo", b"{}"[:1], part_bytes=1) for _ in range(AT_ONCE // 10)]
    await here.client.reset(*streams)


async def without_a_window(here: Bench, _: int) -> None:
    """Each handler waits for a window that its client does not open."""
    await here.client.open_connection_window(2 * 65_535 * 5)
    streams = await here.ask(f"{PREFIX}/flood", 5)
    await here.until_each(streams, lambda stream: len(here.client.bodies[stream]) == 65_535)
    await here.client.reset(*streams)


async def while_the_handler_returns(here: Bench, _: int) -> None:
    await _reset_as_the_gate_opens(here, "/at-the-gate")


async def while_the_handler_closes(here: Bench, _: int) -> None:
    await _reset_as_the_gate_opens(here, "/closes-at-the-gate")


async def _reset_as_the_gate_opens(here: Bench, path: str) -> None:
    streams = await here.ask(PREFIX + path)
    await here.until_each(streams, lambda stream: here.client.bodies[stream])
    here.gate.open()  # the handlers go on in the pass in which the server reads the resets
    await here.client.reset(*streams)


async def a_plain_route(here: Bench, round_: int) -> None:
    streams = await here.ask("/plain/waits")
    await here.journal.wait_for(started=1 + AT_ONCE * (round_ + 1))
    await here.client.reset(*streams)


async def a_plain_generator(here: Bench, _: int) -> None:
    streams = await here.ask("/plain/generator")
    await here.until_each(streams, lambda stream: here.client.bodies[stream])
    await here.client.reset(*streams)


async def a_plain_body_without_a_window(here: Bench, _: int) -> None:
    await here.client.open_connection_window(65_535 * 5)
    streams = await here.ask("/plain/large", 5)
    await here.until_each(streams, lambda stream: len(here.client.bodies[stream]) == 65_535)
    await here.client.reset(*streams)


RESETS = [
    idle,
    ticking,
    silent_before_the_response,
    before_the_request_is_handled,
    before_the_request_is_whole,
    without_a_window,
    while_the_handler_returns,
    while_the_handler_closes,
    a_plain_route,
    a_plain_generator,
    a_plain_body_without_a_window,
]


@pytest.mark.parametrize("cancel", RESETS)
async def test_a_cancelled_stream_leaves_nothing(cancel: Callable[[Bench, int], Awaitable[None]]) -> None:
    with nothing_logged():
        async with bench() as here:
            before = Kept.now()
            for round_ in range(3):
                await cancel(here, round_)
                await until_kept(before)


async def test_1300_cancelled_streams_on_one_connection_leave_nothing() -> None:
    """hypercorn's tree of priorities takes a thousand."""
    async with bench() as here:
        before = Kept.now()
        for round_ in range(26):
            await idle(here, round_)
            await here.journal.wait_for(finished=AT_ONCE * (round_ + 1))
        await until_kept(before)


async def test_requests_and_their_resets_in_one_packet_leave_nothing() -> None:
    """More of them than hypercorn's tree of priorities takes."""
    async with bench() as here:
        before = Kept.now()
        for _ in range(1300):
            here.client.prepare_reset(here.client.prepare((":method", "POST"), (":path", "/plain/waits"), *TEST))
        await here.client.flush()
        await until_kept(before)


async def test_without_the_repair_cancelled_streams_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn frees them."""
    leave_out(monkeypatch, H2Protocol, "_close_stream")
    async with bench() as here:
        before = Kept.now()
        await idle(here, 0)
        await here.journal.wait_for(finished=AT_ONCE)
        await tasks_down_to(before.tasks)
        after = Kept.now()
    assert after.buffers - before.buffers > AT_ONCE / 2
    assert after.nodes - before.nodes > AT_ONCE / 2


# What the server ends


async def test_a_stream_that_the_server_resets_leaves_nothing() -> None:
    """Its client takes nothing of it."""
    async with bench(Limits(stall_s=0.2)) as here:
        before = Kept.now()
        await here.client.open_connection_window(10 * 65_535)
        streams = await here.ask(f"{PREFIX}/flood", 5)
        await here.until_each(streams, lambda stream: stream in here.client.was_reset)
        await until_kept(before)
        assert [report.outcome for report in here.journal.reports] == ["stalled"] * 5


async def test_streams_that_are_reset_while_their_bytes_are_written_leave_nothing_and_end_no_other() -> None:
    """The kernel takes no more: one stream's piece is on its way to it, all others wait behind that."""
    app, journal = make_app(Limits(stall_s=60))
    with nothing_logged():
        async with serving(app) as server:
            stream = await trio.open_tcp_stream(server.host, server.port)
            client = Http2Client(stream)
            await client.start(initial_window=2**31 - 1)
            await client.open_connection_window(2**31 - 1 - 65_535)
            other = await client.request(f"{PREFIX}/idle")
            await journal.wait_for(started=1)
            before = Kept.now()
            floods = [client.prepare((":method", "POST"), (":path", f"{PREFIX}/flood"), *TEST) for _ in range(5)]
            await client.flush()  # in one packet, or the server's reader may be stuck before it has read them all
            await journal.wait_for(started=2)
            await trio.testing.wait_all_tasks_blocked(cushion=0.2)  # so that all of them are stuck
            await client.reset(*floods)
            await journal.wait_for(finished=1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.read)
                await until_kept(attrs.evolve(before, tasks=before.tasks + 1))
                server.stop()
                assert b"SERVER_SHUTDOWN" in await client.until_ended(other)
                await trio.aclose_forcefully(stream)


async def test_a_stream_whose_app_fails_leaves_nothing() -> None:
    async with bench() as here:
        before = Kept.now()
        streams = await here.ask("/plain/breaks", 5)
        await here.until_each(streams, lambda stream: stream in here.client.was_reset)
        await until_kept(before)


async def test_a_stream_that_its_app_leaves_without_an_end_is_reset_and_leaves_nothing() -> None:
    """Quart gives up a response after ``RESPONSE_TIMEOUT``, without a word to the server."""
    async with bench(response_timeout_s=0.2) as here, http2(here.server) as client:
        await client.until_ended(await client.request("/plain", "GET"))
        before = Kept.now()
        stream = await client.request("/plain/generator")  # alone, so that nothing else brings its reset along
        await client.until(lambda: stream in client.was_reset)
        assert client.bodies[stream] == b"data: 1\n\n"
        await until_kept(before)


async def test_a_response_that_waits_for_its_window_is_sent_though_its_app_has_left() -> None:
    """Quart has given it up, but it is whole: nothing is to be reset."""
    app, _, _ = app_of_all_kinds(Limits())
    app.config["RESPONSE_TIMEOUT"] = 0.1
    async with serving(app) as server, http2(server, opens_windows=False, initial_window=100) as client:
        stream = await client.request("/plain/small")
        await client.until(lambda: len(client.bodies[stream]) == 100)
        await trio.sleep(0.3)
        await client.open_window(stream, 65_535)
        assert len(await client.until_ended(stream)) == 20_000


async def test_a_response_that_waits_for_its_window_leaves_nothing_when_it_is_reset_though_its_app_has_left() -> None:
    app, _, _ = app_of_all_kinds(Limits())
    app.config["RESPONSE_TIMEOUT"] = 0.1
    async with serving(app) as server, http2(server, opens_windows=False, initial_window=100) as client:
        other = await client.request(f"{PREFIX}/idle")
        await client.until(lambda: other in client.statuses)
        before = Kept.now()
        stream = await client.request("/plain/small")
        await client.until(lambda: len(client.bodies[stream]) == 100)
        await tasks_down_to(before.tasks)
        await client.reset(stream)
        await until_kept(before)


async def closed_under_an_app_that_waits_for_its_window() -> bool:
    """Close a connection under a write of an app that asks for no disconnect; return whether the write returns."""
    returned = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 200_000, "more_body": True})
        returned.set()

    async with serving(app) as server:
        async with http2(server, opens_windows=False) as client:
            stream = await client.request("/")
            await client.until(lambda: len(client.bodies[stream]) == 65_535)
        with trio.move_on_after(1):
            await returned.wait()
        return returned.is_set()


async def test_a_connection_that_is_closed_lets_go_of_an_app_that_waits_for_its_window() -> None:
    make_app()  # which repairs
    assert await closed_under_an_app_that_waits_for_its_window()


async def test_without_the_repair_such_an_app_waits_until_the_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn lets go of it."""
    leave_out(monkeypatch, H2Protocol, "handle", "_close_stream")
    assert not await closed_under_an_app_that_waits_for_its_window()


TO_WEBSOCKET = ((":method", "CONNECT"), (":protocol", "websocket"), (":path", "/"), *TEST)


REFUSED: dict[str, tuple[Headers, list[str], str]] = {
    "a request for another host": (((":method", "GET"), (":path", "/plain"), *TEST), ["elsewhere"], "404"),
    "a websocket for another host": ((*TO_WEBSOCKET, ("sec-websocket-version", "13")), ["elsewhere"], "404"),
    "a websocket of no version": (TO_WEBSOCKET, ["test"], "400"),
}


@pytest.mark.parametrize(("headers", "names", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_the_server_refuses_by_itself_leaves_nothing_and_does_not_keep_its_connection(
    headers: Headers, names: list[str], status: str
) -> None:
    app, _, _ = app_of_all_kinds(Limits())
    async with serving(app, server_names=names, keep_alive_timeout=0.3) as server, http2(server) as client:
        stream = client.prepare(*headers)
        await client.flush()
        await client.until_ended(stream)
        assert client.statuses[stream] == status
        await client.until(lambda: client.is_over)


async def test_a_websocket_that_its_client_closes_has_its_last_frame_and_its_end_and_leaves_nothing() -> None:
    app, _, _ = app_of_all_kinds(Limits())

    @app.websocket("/")
    async def websocket() -> None:
        from quart import websocket as socket

        await socket.accept()
        await socket.send("hello")
        await trio.sleep_forever()

    async with serving(app) as server, http2(server) as client:
        await client.until_ended(await client.request("/plain", "GET"))
        await tasks_at_rest()
        before = Kept.now()
        stream = client.prepare(*TO_WEBSOCKET, ("sec-websocket-version", "13"), ends=False)
        await client.flush()
        await client.until(lambda: client.bodies[stream] == b"\x81\x05hello")
        await client.write(stream, b"\x88\x80\0\0\0\0", ends=True)  # a close, masked
        assert (await client.until_ended(stream)).startswith(b"\x81\x05hello\x88")
        await until_kept(before)


async def test_a_priority_frame_leaves_nothing_whatever_stream_it_is_about() -> None:
    """One that is open, one that is over, one that never comes; and their parents."""
    async with bench() as here:
        before = Kept.now()
        over = await here.client.request("/plain", "GET")
        await here.client.until_ended(over)
        for stream in (here.other, over, over + 2, 99_999):
            await here.client.send(PriorityFrame(stream, depends_on=stream + 4, exclusive=True).serialize())
        await here.client.request("/plain", "GET")
        await until_kept(before)


async def test_without_the_repair_a_priority_frame_leaves_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn takes no notice of them."""
    leave_out(monkeypatch, H2Protocol, "_priority_updated")
    async with bench() as here:
        before = Kept.now()
        await here.client.send(PriorityFrame(99_999).serialize())
        await here.client.until_ended(await here.client.request("/plain", "GET"))
        assert Kept.now().nodes == before.nodes + 1


# What goes wrong at one stream


async def refused_and_reset_while_the_server_stops() -> tuple[bytes, bool]:
    """Reset a request in its packet while another stream drains; give that stream's body, and whether it has ended."""
    app, journal = make_app(Limits(drain_s=0.5))
    async with serving(app) as server, http2(server) as client:
        ticking = await client.request(f"{PREFIX}/ticks")
        await client.until(lambda: b"data: 1" in client.bodies[ticking])
        server.stop()
        await trio.testing.wait_all_tasks_blocked()
        await client.request(f"{PREFIX}/ticks", resets=True)
        await client.until(lambda: client.is_over)
        await journal.wait_for(finished=1)
        assert journal.started == 1
        return client.bodies[ticking], ticking in client.ended


async def test_a_request_that_is_reset_in_its_packet_while_the_server_stops_ends_no_other() -> None:
    with nothing_logged():
        body, ended = await refused_and_reset_while_the_server_stops()
    assert ended
    assert body.count(b"data: ") > 10, "it ticked on while it drained"
    assert b"SERVER_SHUTDOWN" in body


async def test_without_the_repair_such_a_request_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn resets no stream that is closed already."""
    leave_out(monkeypatch, H2Protocol, "_handle_events")
    body, ended = await refused_and_reset_while_the_server_stops()
    assert not ended
    assert b"SERVER_SHUTDOWN" not in body


class BrokenLogger(Logger):
    """Fails for a stream whose client has left."""

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        if response is None:
            raise OSError("no space left on device")


async def test_a_failure_at_one_stream_is_logged_and_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(logger_class=BrokenLogger) as here:
        before = Kept.now()
        streams = await here.ask(f"{PREFIX}/idle", 5)
        await here.journal.wait_for(started=1 + 5)
        await here.client.reset(*streams)
        await here.journal.wait_for(finished=5)
        await until_kept(before)
    failed = [record for record in caplog.records if "Error in an HTTP/2 stream" in record.getMessage()]
    assert len(failed) == 5
    assert all("no space left on device" in str(record.exc_info) for record in failed)
    assert "Error in a connection" not in caplog.text


BROKEN: dict[str, Headers] = {
    "a path beyond ASCII": ((":method", "GET"), (":path", b"/\xff"), *TEST),
    "a method beyond ASCII": ((":method", b"\xff"), (":path", "/"), *TEST),
    "CONNECT without a path": ((":method", "CONNECT"), (":authority", "test")),
}


@pytest.mark.parametrize("headers", BROKEN.values(), ids=BROKEN.keys())
async def test_a_malformed_request_is_reset_and_ends_no_other(headers: Headers) -> None:
    with nothing_logged():
        async with bench() as here:
            before = Kept.now()
            stream = here.client.prepare(*headers)
            plain = await here.client.request("/plain", "GET")
            await here.client.until(lambda: stream in here.client.was_reset)
            assert await here.client.until_ended(plain) == b"plain"
            await until_kept(before)


# One stream too many


async def open_all(client: Http2Client, path: str, count: int) -> list[int]:
    """Open *count* streams, though the server allows fewer."""
    settings = client._h2.remote_settings
    settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    settings.acknowledge()
    streams = [client.prepare((":method", "POST"), (":path", path), *TEST, ("x-of", str(n))) for n in range(count)]
    await client.flush()
    return streams


async def test_a_stream_too_many_is_refused_and_ends_no_other() -> None:
    """RFC 9113, 5.1.2. What its head adds to the table of headers counts for those that follow."""
    app, journal = make_app()
    with nothing_logged():
        async with serving(app) as server, http2(server) as client:
            await client.until_ended(await client.request(f"{PREFIX}/words", body=b'{"prompt":"a"}'))
            before = Kept.now()
            *others, refused = await open_all(client, f"{PREFIX}/idle", 101)
            await client.until(lambda: refused in client.was_reset)
            assert client.was_reset == {refused}
            assert client.reset_codes[refused] == ErrorCodes.REFUSED_STREAM
            await journal.wait_for(started=1 + len(others))
            await client.reset(others[0])
            await journal.wait_for(finished=2)
            late = client.prepare((":method", "POST"), (":path", f"{PREFIX}/idle"), *TEST, ("x-of", "100"))
            await client.flush()  # its fields are those of the refused one, and come from the table
            await client.until(lambda: late in client.statuses)
            await client.reset(*others[1:], late)
            await until_kept(before)


async def test_streams_that_wait_for_nothing_but_the_end_of_their_request_count_too() -> None:
    app, _ = make_app()
    async with serving(app) as server, http2(server) as client:
        half = [client.prepare((":method", "POST"), (":path", "/nowhere"), *TEST, ends=False) for _ in range(100)]
        await client.flush()
        await client.until(lambda: client.ended >= set(half))
        assert {client.statuses[stream] for stream in half} == {"404"}
        [refused] = await open_all(client, f"{PREFIX}/idle", 1)
        await client.until(lambda: refused in client.was_reset)
        await client.write(half[0], b"", ends=True)
        [taken] = await open_all(client, f"{PREFIX}/idle", 1)
        await client.until(lambda: taken in client.statuses)


async def test_without_the_repair_a_stream_too_many_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn refuses the stream."""
    app, _ = make_app()
    leave_out(monkeypatch, H2Protocol, "__init__")
    async with serving(app) as server, http2(server) as client:
        await open_all(client, f"{PREFIX}/idle", 101)
        await client.until(lambda: client.is_over)
        assert client.went_away


# Turns


async def longest_gap(server: Server, frames: bytes) -> float:
    """Send *frames* and a ping behind them; give the longest time without a turn, as a part of the whole."""
    gaps: list[float] = []
    async with http2(server) as client, trio.open_nursery() as nursery:
        await client.until_ended(await client.request("/plain", "GET"))

        async def look(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            last = perf_counter()
            task_status.started()
            while True:
                await trio.lowlevel.checkpoint()
                now = perf_counter()
                gaps.append(now - last)
                last = now

        await nursery.start(look)
        await client.stream.send_all(frames + PingFrame(0, opaque_data=b"12345678").serialize())
        await client.until(lambda: b"12345678" in client.pongs)
        for _ in range(2):  # so that the last gap is there, too: Trio runs the tasks that are ready in any order
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return max(gaps) / sum(gaps)


def many(frame: Frame) -> bytes:
    """Repeat *frame* for as much as hypercorn reads at a time."""
    serialized = frame.serialize()
    return serialized * (60_000 // len(serialized))


FLOODS = {
    "PING": many(PingFrame(0, opaque_data=b"pingping")),
    "SETTINGS": many(SettingsFrame(0)),
    "WINDOW_UPDATE": many(WindowUpdateFrame(0, window_increment=1)),
    "PRIORITY": many(PriorityFrame(99)),
}


@pytest.mark.parametrize("frames", FLOODS.values(), ids=FLOODS.keys())
async def test_a_read_of_many_frames_gives_others_their_turns(frames: bytes) -> None:
    app, _, _ = app_of_all_kinds(Limits())
    async with serving(app) as server:
        assert min([await longest_gap(server, frames) for _ in range(3)]) < 0.5


async def test_without_the_repair_such_a_read_is_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn gives others a turn."""
    app, _, _ = app_of_all_kinds(Limits())
    leave_out(monkeypatch, H2Protocol, "handle")
    async with serving(app) as server:
        assert max([await longest_gap(server, FLOODS["PING"]) for _ in range(3)]) > 0.5


async def cost_of(server: Server, frames: bytes) -> float:
    """Send *frames* and a ping behind them, and give the CPU time until its answer."""
    async with http2(server) as client:
        await client.until_ended(await client.request("/plain", "GET"))
        began = process_time()
        for start in range(0, len(frames), 30_000):
            await client.stream.send_all(frames[start : start + 30_000])
        await client.stream.send_all(PingFrame(0, opaque_data=b"12345678").serialize())
        await client.until(lambda: b"12345678" in client.pongs)
        return process_time() - began


async def test_priority_frames_cost_no_more_than_others_do() -> None:
    """A thousand nodes, each moved a few times; hypercorn's own takes a hundred times as long."""
    numbers = [2 * (n % 900) + 3 for n in range(4000)]
    priorities = b"".join(PriorityFrame(stream, stream_weight=15).serialize() for stream in numbers)
    updates = WindowUpdateFrame(0, window_increment=1).serialize() * len(numbers)
    app, _, _ = app_of_all_kinds(Limits())
    async with serving(app) as server:
        costs = [(await cost_of(server, priorities), await cost_of(server, updates)) for _ in range(3)]
    assert min(cost[0] for cost in costs) < 5 * min(cost[1] for cost in costs)


async def priority_in_headers(server: Server) -> bytes:
    """Send requests whose heads carry a priority that depends on a stream which never comes."""
    async with http2(server) as client:
        for _ in range(20):
            stream = client._h2.get_next_available_stream_id()
            headers = ((":method", "GET"), (":path", "/plain"), *TEST)
            client._h2.send_headers(
                stream, headers, end_stream=True, priority_weight=3, priority_depends_on=9999, priority_exclusive=True
            )
            await client.flush()
            assert await client.until_ended(stream) == b"plain"
    return b"plain"


async def test_a_priority_in_a_head_leaves_nothing() -> None:
    async with bench() as here:
        before = Kept.now()
        await priority_in_headers(here.server)
        await until_kept(before)


# What hypercorn takes over from HTTP/1.1

UPGRADE = "HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"

UPGRADES = {
    "to a websocket of no version": f"CONNECT /plain {UPGRADE}HTTP2-Settings: \r\n\r\n",
    "to a websocket": f"CONNECT /plain {UPGRADE}HTTP2-Settings: \r\nSec-WebSocket-Version: 13\r\n\r\n",
    "with settings that are no base64": f"GET /plain {UPGRADE}HTTP2-Settings: A\r\n\r\n",
    "with settings that are none": f"GET /plain {UPGRADE}HTTP2-Settings: AAAA\r\n\r\n",
    "with settings that are invalid": f"GET /plain {UPGRADE}HTTP2-Settings: AAT_____\r\n\r\n",
    "for another host": f"GET /plain {UPGRADE}HTTP2-Settings: \r\n\r\n".replace("Host: test", "Host: other"),
}


async def upgrade_leaves(upgrade: str, server_names: list[str]) -> bool:
    """Return True if a task is left of an upgrade whose client leaves."""
    app, _, _ = app_of_all_kinds(Limits())
    async with serving(app, server_names=server_names) as server:
        before = await tasks_at_rest()
        async with await server.connect() as client:
            await client.stream.send_all(upgrade.encode())
            await client.read_until(b"\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.move_on_after(1) as late:
            await tasks_down_to(before)
        return late.cancelled_caught


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES.keys())
async def test_an_upgrade_leaves_nothing_when_its_client_leaves(upgrade: str) -> None:
    with nothing_logged():
        assert not await upgrade_leaves(upgrade, ["test"])


async def test_an_upgrade_is_answered_over_http2() -> None:
    app, _, _ = app_of_all_kinds(Limits())
    async with serving(app) as server, await server.connect() as client:
        await client.stream.send_all(f"GET /plain {UPGRADE}HTTP2-Settings: \r\n\r\n".encode())
        await client.stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())
        assert await client.read_until(b"plain")


async def test_without_the_repair_an_upgrade_that_is_refused_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn sends what it answers."""
    leave_out(monkeypatch, H2Protocol, "initiate")
    assert await upgrade_leaves(UPGRADES["for another host"], ["test"])


# A body that its app does not receive


async def reader_of_an_app_that_ends() -> bool:
    """Pass more to an app than its queue holds, and let it end; return True if the task that passes it goes on."""
    queue, _receives = trio.open_memory_channel[Any](1)
    no_app: Any = None  # the app is only its queue here
    stream = HTTPStream(no_app, Config(), WorkerContext(None), TaskGroup(), False, None, None, _drop, 1)
    stream.app_put = queue.send
    with trio.move_on_after(1) as waited:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(stream.handle, Body(stream_id=1, data=b"x"))
            await trio.testing.wait_all_tasks_blocked()
            assert queue.statistics().tasks_waiting_send == 1
            stream.closed = True  # its response is complete
            await stream.app_send(None)  # as hypercorn does when an app has ended
    return not waited.cancelled_caught


async def _drop(_: object) -> None:
    """Stands for the protocol, which has nothing to do here."""


async def test_what_an_app_has_not_received_holds_up_no_reader() -> None:
    make_app()  # which repairs
    assert await reader_of_an_app_that_ends()


async def test_without_the_repair_such_a_reader_waits_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn drops what an app has not received."""
    leave_out(monkeypatch, HTTPStream, "handle", "app_send")
    assert not await reader_of_an_app_that_ends()
