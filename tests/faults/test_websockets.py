"""WebSockets: whatever a client does to one, over HTTP/1.1 or HTTP/2, nothing of it is left, and nothing is logged."""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import pytest
import quart.wrappers.base
import trio
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.worker_context import EventWrapper
from quart import Quart, websocket
from quart_trio import QuartTrio
from trio.testing import wait_all_tasks_blocked

from tests.http2 import Http2Client, http2
from tests.logs import nothing_logged
from tests.repairs import leave_out
from tests.servers import DEADLINE_S, Server, serving, tasks_at_rest, tasks_down_to
from trio_streamact import StreamActions
from trio_streamact._hypercorn.patches import websockets

TEST = ((":scheme", "http"), (":authority", "test"))
VERSION = ("sec-websocket-version", "13")


def prepare(client: Http2Client, path: str) -> int:
    """Begin a handshake of HTTP/2, which leaves with the next flush; give its stream."""
    headers = ((":method", "CONNECT"), (":protocol", "websocket"), (":path", path), *TEST, VERSION)
    return client.prepare(*headers, ends=False)


TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
NORMAL = struct.pack(">H", 1000)


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """Write a frame of a client's, masked with zeros. Source: RFC 6455, 5.2."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([0x80 | opcode]) + size + b"\0\0\0\0" + payload


def handshake(path: str, **fields: str | None) -> bytes:
    """Write a handshake of HTTP/1.1; a field that is None is left out."""
    values = {"connection": "upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    lines = [f"GET {path} HTTP/1.1", "host: test"]
    for name, value in {**values, "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==", **fields}.items():
        if value is not None:
            lines.append(f"{name.replace('_', '-')}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def make_app() -> QuartTrio:
    """Make an app whose WebSockets do each thing that an app can do."""
    app = QuartTrio(__name__)
    StreamActions(app)

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    @app.websocket("/echo")
    async def echo() -> None:
        await websocket.accept()
        while True:
            await websocket.send(await websocket.receive())

    @app.websocket("/accepts-late")
    async def accepts_late() -> None:
        await trio.sleep(0.05)
        await websocket.accept()
        await trio.sleep_forever()

    @app.websocket("/never-accepts")
    async def never_accepts() -> None:
        await trio.sleep_forever()

    @app.websocket("/rejects")
    async def rejects() -> tuple[str, int]:
        return "no " * 30_000, 403

    @app.websocket("/closes")
    async def closes() -> None:
        await websocket.close(1000)

    @app.websocket("/returns")
    async def returns() -> None:
        await websocket.accept()
        await trio.sleep(0.01)

    @app.websocket("/takes-nothing")
    async def takes_nothing() -> None:
        await websocket.accept()
        await trio.sleep_forever()

    @app.websocket("/floods")
    async def floods() -> None:
        await websocket.accept()
        while True:
            await websocket.send("x" * 1000)

    return app


PATHS = ["/echo", "/accepts-late", "/never-accepts", "/rejects", "/closes", "/returns", "/takes-nothing", "/floods"]
PATHS += ["/not-found"]

SENT: dict[str, list[bytes]] = {
    "nothing": [b""],
    "a byte": [b"x"],
    "many bytes": [b"x" * 16_000] * 4,
    "many messages": [frame(TEXT, b"hello") * 1000] * 2,
    "pings that nobody reads": [frame(PING, b"p" * 120) * 100] * 5,
    "a pong": [frame(PONG, b"p")],
    "a close": [frame(CLOSE, NORMAL)],
    "a close, and more": [frame(CLOSE, NORMAL) + frame(TEXT, b"late"), frame(TEXT, b"later")],
    "no frames": [b"\xff" * 100, b"\xff" * 100],
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have little patience: until quart-trio 0.12 an app that receives nothing takes no disconnect either."""
    monkeypatch.setattr(websockets, "PING_S", 0.1)
    monkeypatch.setattr(websockets, "LEAVE_S", 0.1)


@contextmanager
def nothing_open() -> Iterator[None]:
    """Fail when more files are open at the end than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


async def settle() -> None:
    """Wait until nothing happens any more, or something happens without end."""
    with trio.move_on_after(0.1):
        await wait_all_tasks_blocked(0.01)


async def visit(server: Server, path: str, pieces: list[bytes], leave: str, early: bool) -> None:
    """Shake hands over HTTP/1.1, send *pieces*, read nothing, and leave."""
    async with await server.connect() as client:
        with trio.move_on_after(0.2), suppress(trio.BrokenResourceError):  # an app that takes nothing, or has closed
            if early:
                await client.stream.send_all(handshake(path) + b"".join(pieces))
            else:
                await client.stream.send_all(handshake(path))
                await settle()
                for piece in pieces:
                    await client.stream.send_all(piece)
            await settle()
        if leave == "half close":
            with suppress(trio.BrokenResourceError):
                await client.stream.send_eof()
            await settle()
        elif leave == "reset":
            await client.reset()


async def visit2(server: Server, path: str, pieces: list[bytes], leave: str, early: bool) -> None:
    """The same over HTTP/2, with a window of nothing if the client is to leave with a reset."""
    stream = await trio.open_tcp_stream(server.host, server.port)
    client = Http2Client(stream, opens_windows=False)
    await client.start(0 if leave == "reset" else None)
    socket = prepare(client, path)
    if not early:
        await client.flush()
        await settle()
    for piece in pieces:
        client._h2.send_data(socket, piece)
    if leave == "half close":
        client._h2.end_stream(socket)
    await client.flush()
    await settle()
    if leave == "reset":
        await client.reset(socket)
        await settle()
    await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("leave", ["close", "half close", "reset"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("carry", [visit, visit2], ids=["http/1.1", "http/2"])
async def test_whatever_a_client_sends_nothing_is_left(
    carry: Callable[..., Awaitable[None]], path: str, leave: str
) -> None:
    with nothing_logged():
        async with serving(make_app()) as server:
            await visit(server, "/echo", [], "close", False)
            before = await tasks_at_rest()
            with nothing_open():
                for pieces in SENT.values():
                    for early in (False, True):
                        await carry(server, path, pieces, leave, early)
                        await tasks_down_to(before)


MALFORMED: dict[str, bytes] = {
    "of no version": handshake("/echo", sec_websocket_version=None),
    "of another version": handshake("/echo", sec_websocket_version="8"),
    "without a key": handshake("/echo", sec_websocket_key=None),
    "with a protocol beyond ASCII": handshake("/echo", sec_websocket_protocol="\xff"),
    "with an extension beyond ASCII": handshake("/echo", sec_websocket_extensions="\xff"),
    "with a parameter that is no number": handshake(
        "/echo", sec_websocket_extensions="permessage-deflate; client_max_window_bits=x"
    ),
    "whose target is no path": handshake("?"),
    "whose target is no URL": handshake("http://["),
    "with a byte behind it": handshake("/never-accepts") + b"x",
    "with a body": handshake("/never-accepts", content_length="5") + b"hello",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_handshake_is_answered_400_and_its_connection_closed(request_: bytes) -> None:
    with nothing_logged():
        async with serving(make_app()) as server:
            before = await tasks_at_rest()
            async with await server.connect() as client:
                await client.stream.send_all(request_)
                assert (await client.read_all()).startswith(b"HTTP/1.1 400 ")
            await tasks_down_to(before)


async def test_data_before_the_accept_is_answered_400_on_http2_though_no_window_is_open() -> None:
    async with serving(make_app()) as server, http2(server, opens_windows=False, initial_window=0) as client:
        stream = prepare(client, "/never-accepts")
        await client.write(stream, b"x")
        await client.until_ended(stream)
        assert client.statuses[stream] == "400"


async def test_a_rejection_arrives_whole_whatever_its_client_sends_meanwhile() -> None:
    async with serving(make_app()) as server, http2(server, initial_window=100) as client:
        stream = await connect2(client, "/rejects")
        await client.until(lambda: len(client.bodies[stream]) == 100)
        for part in (b"x", frame(CLOSE, NORMAL)):
            await client.write(stream, part)
        await client.write(stream, b"", ends=True)
        await client.open_window(stream, 100_000)
        assert len(await client.until_ended(stream)) == 90_000
        assert client.statuses[stream] == "403"


# Ordinary use


async def connect2(client: Http2Client, path: str) -> int:
    stream = prepare(client, path)
    await client.flush()
    await client.until(lambda: stream in client.statuses)
    return stream


async def test_messages_are_echoed_and_closed_over_http1() -> None:
    with nothing_logged():
        async with serving(make_app()) as server:
            before = await tasks_at_rest()
            async with await server.connect() as client:
                await client.stream.send_all(handshake("/echo"))
                await client.read_until(b"\r\n\r\n")
                for number in range(100):
                    await client.stream.send_all(frame(TEXT, b"message %d." % number) + frame(PING, b"p"))
                    await client.read_until(b"message %d." % number)
                await client.stream.send_all(frame(CLOSE, NORMAL))
                assert b"\x88\x02" + NORMAL in await client.read_all()
            await tasks_down_to(before)


async def test_more_than_a_window_is_echoed_over_http2_and_closed_by_either_side() -> None:
    with nothing_logged():
        async with serving(make_app()) as server:
            before = await tasks_at_rest()
            async with http2(server) as client:
                stream = await connect2(client, "/echo")
                message = frame(TEXT, b"x" * 8000)
                for number in range(1, 41):
                    await client.until(lambda: client.window(stream) >= len(message))
                    await client.write(stream, message)
                    expected = number * 8000
                    # Both are awaited in their round.
                    await client.until(lambda: client.bodies[stream].count(b"x") == expected)  # noqa: B023
                await client.write(stream, frame(CLOSE, NORMAL))
                assert (await client.until_ended(stream)).endswith(b"\x88\x02" + NORMAL)
                stream = await connect2(client, "/returns")
                assert (await client.until_ended(stream)).endswith(b"\x88\x02" + NORMAL)
            await tasks_down_to(before)


async def test_the_end_of_what_a_client_sends_on_http2_is_a_disconnect() -> None:
    """RFC 8441, 5: it is what the close of the connection is on HTTP/1.1."""
    async with serving(make_app()) as server, http2(server) as client:
        await client.until_ended(await client.request("/plain", "GET"))
        before = await tasks_at_rest()
        for path, ends in (("/takes-nothing", True), ("/never-accepts", False)):
            stream = prepare(client, path)
            await client.flush()
            await settle()
            await client.write(stream, b"", ends=True)
            # It is awaited in its round.
            await client.until(lambda: stream in client.ended | client.was_reset)  # noqa: B023
            assert (stream in client.ended) is ends, "a stream without a response is reset"
            await tasks_down_to(before)


async def test_a_websocket_that_takes_nothing_holds_up_no_other_stream() -> None:
    """Until quart-trio 0.12 its messages wait for it, and what waits counts for its window."""
    async with serving(make_app()) as server, http2(server, opens_windows=False) as client:
        deaf = await connect2(client, "/takes-nothing")
        await client.write(deaf, frame(TEXT, b"hello") * 1000)
        full = await connect2(client, "/echo")
        for _ in range(4):
            await client.write(full, frame(PING, b"p" * 120) * 100)
        assert await client.until_ended(await client.request("/plain", "GET")) == b"plain"


# Apps of another making: nothing reads for them in the background, as Quart does


async def app_that_takes_nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await trio.sleep_forever()


async def app_that_returns(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await trio.sleep(0.1)


@pytest.mark.parametrize("app", [app_that_takes_nothing, app_that_returns])
@pytest.mark.parametrize("carry", [visit, visit2], ids=["http/1.1", "http/2"])
async def test_messages_that_no_app_takes_keep_nothing(app: Any, carry: Callable[..., Awaitable[None]]) -> None:
    make_app()  # which repairs
    async with serving(app) as server:
        before = await tasks_at_rest()
        with nothing_open():
            await carry(server, "/", [frame(TEXT, b"hello") * 1000], "close", False)
            await tasks_down_to(before)


async def test_an_app_that_has_taken_the_disconnect_is_left_alone() -> None:
    make_app()
    cleaned_up = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        await trio.sleep(websockets.LEAVE_S * 3)
        cleaned_up.set()

    async with serving(app) as server:
        await visit(server, "/", [], "close", False)
        with trio.fail_after(DEADLINE_S):
            await cleaned_up.wait()


async def sends_to_nobody(carry: Callable[..., Awaitable[None]], pieces: list[bytes]) -> int:
    """Count what an app sends that sends without end, and would end at once if others had a turn to cancel it."""
    sent = count()
    over = trio.Event()
    app = QuartTrio(__name__)
    StreamActions(app)

    @app.websocket("/floods")
    async def floods() -> None:
        await websocket.accept()
        try:
            while next(sent) < 50_000:  # or nobody would ever learn that it fails
                await websocket.send("x" * 1000)
        finally:
            over.set()

    async with serving(app) as server:
        await carry(server, "/floods", pieces, "close", False)
        await over.wait()
    return next(sent)


@pytest.mark.parametrize("pieces", [[b""], [frame(CLOSE, NORMAL)]], ids=["leaves", "closes"])
@pytest.mark.parametrize("carry", [visit, visit2], ids=["http/1.1", "http/2"])
async def test_an_app_that_sends_without_end_is_cancelled_when_its_client(
    carry: Callable[..., Awaitable[None]], pieces: list[bytes]
) -> None:
    assert await sends_to_nobody(carry, pieces) < 50_000


async def test_a_message_that_is_too_large_is_not_collected_further() -> None:
    with nothing_logged():
        async with (
            serving(make_app(), websocket_max_message_size=1000) as server,
            await server.connect() as client,
        ):
            await client.stream.send_all(handshake("/takes-nothing"))
            await client.read_until(b"\r\n\r\n")
            begun = frame(TEXT, b"x" * 1001)
            await client.stream.send_all(bytes([TEXT]) + begun[1:])
            await client.read_until(struct.pack(">H", 1009))
            for _ in range(100):
                await client.stream.send_all(b"\0" + begun[1:])
            await settle()
            gc.collect()
            streams = [thing for thing in gc.get_objects() if isinstance(thing, WSStream)]
            assert [stream.buffer.length for stream in streams if stream.buffer.max_length < 2000] == [0]
            await client.stream.send_all(frame(CLOSE, NORMAL))
            await client.read_all()


async def two_go_on() -> bool:
    """Have two write to one buffer, beyond what it has room for; return True if both come to their end."""
    buffer = StreamBuffer(EventWrapper)

    async def write() -> None:
        for _ in range(3):
            await buffer.push(b"x" * 40_000)

    with trio.move_on_after(0.5) as late:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(write)
            while nursery.child_tasks:
                await wait_all_tasks_blocked()
                await buffer.pop(len(buffer.buffer))
    return not late.cancelled_caught


async def test_two_that_wait_for_room_in_one_buffer_both_go_on() -> None:
    make_app()  # which repairs
    assert await two_go_on()


# Without the repairs


async def left_over(
    pieces: list[bytes], path: str, carry: Callable[..., Awaitable[None]], leave: str = "close"
) -> bool:
    """Return True if something is left of a visit."""
    async with serving(make_app()) as server:
        before = await tasks_at_rest()
        await carry(server, path, pieces, leave, False)
        with trio.move_on_after(1) as late:
            await tasks_down_to(before)
        return late.cancelled_caught


async def test_without_the_repair_a_byte_before_the_accept_leaves_its_app_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails once hypercorn tells the app."""
    assert not await left_over([b"x"], "/never-accepts", visit)
    leave_out(monkeypatch, WSStream, "handle", "app_send")
    assert await left_over([b"x"], "/never-accepts", visit)


async def test_without_the_repair_pings_that_nobody_reads_leave_the_reader_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails once the reader of HTTP/2 waits for nobody."""
    assert not await left_over(SENT["pings that nobody reads"], "/echo", visit2, "reset")
    leave_out(monkeypatch, H2Protocol, "_handle_events")
    assert await left_over(SENT["pings that nobody reads"], "/echo", visit2, "reset")


async def test_without_the_repair_an_app_that_sends_without_end_is_not_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails once hypercorn gives others a turn."""
    leave_out(monkeypatch, WSStream, "handle", "app_send")
    for _ in range(10):  # who runs first is left to chance
        if await sends_to_nobody(visit, [b""]) > 50_000:
            return
    raise AssertionError("it was cancelled each time")


@pytest.mark.skipif(not hasattr(quart.wrappers.base, "ClientDisconnectedError"), reason="Quart 0.23 and later")
async def test_without_the_repair_quart_logs_a_client_that_leaves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails once Quart does not."""
    leave_out(monkeypatch, Quart, "handle_websocket_exception")
    assert not await left_over([], "/echo", visit)
    assert "Exception on websocket /echo" in caplog.text


async def test_without_the_repair_one_of_two_waits_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn replaces no event on which somebody waits."""
    leave_out(monkeypatch, StreamBuffer, "push")
    assert not await two_go_on()
