"""Clients of every kind, good and bad, by the hundred; and what a good one must have read.

A client is an async function of a `Visit`. What it does is random, but the same for the same seed. Whoever reads a
response to its end checks it by `check_stream`; whatever else goes wrong raises too, and the `World` collects it.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import h11
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart_trio import QuartTrio

from tests.chaos_app import LIMITS, PREFIX
from tests.servers import Server
from trio_streamact._common.exception_groups import sole_error

CLIENT_S = 25.0
"""How long a client may take. Far more than any does: the machine may be busy."""

DONE = "done"
ENDINGS: dict[str, set[str]] = {
    "/count": {DONE},
    "/refused": {"NOT_FOUND"},
    "/crash": {"STREAM_ERROR"},
    "/crash-in-a-task": {"STREAM_ERROR"},
    "/oversized": {"STREAM_ERROR"},
    "/endless": {"TIMEOUT_ERROR"},
    "/crowded": {DONE, "TOO_MANY_STREAMS"},
    "/closes": {DONE},
    "/tidies-up": {DONE},
}
"""The actions that end by themselves, and how."""


class GoneError(Exception):
    """The server has gone before it began to answer."""


@attrs.frozen
class Order:
    """A request that a client makes, and how its stream must end."""

    path: str
    body: bytes
    endings: set[str]
    count: int = 0

    def head(self, version: str = "1.1", *headers: str) -> bytes:
        lines = [f"POST {PREFIX}{self.path} HTTP/{version}", "Host: test", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, *headers, "", ""]).encode()


@attrs.frozen(eq=False)
class Visit:
    """One client's visit: its own dice, and where to go."""

    server: Server
    dice: random.Random
    tally: Counter[str]
    is_stopping: Callable[[], bool]

    def order(self) -> Order:
        """Think of something to ask for, that ends by itself."""
        if self.dice.random() < 0.1:
            path = self.dice.choice(list(ENDINGS))
            crowd = ENDINGS[path] & {"TOO_MANY_STREAMS"}
            if self.dice.random() < 0.5:
                return Order(path, b'{"count":', {"PARSE_ERROR"} | crowd)
            return Order(path, b'{"count":"many"}', {"VALIDATION_ERROR"} | crowd)
        path = self.dice.choice(list(ENDINGS))
        count, pause_s, size = self.dice.choice([(0, 0, 0), (1, 0, 0), (5, 0.02, 0), (20, 0.01, 10), (300, 0, 900)])
        body = json.dumps({"count": count, "pause_s": pause_s, "size": size}).encode()
        return Order(path, body, ENDINGS[path], count)

    def endless_order(self) -> Order:
        """Think of something to ask for, that has no end."""
        return Order(self.dice.choice(["/idle", "/flood", "/count"]), b'{"count":1000000,"pause_s":0.01}', set())

    def lasting_order(self) -> Order:
        """Think of something to watch, that has no end and leaves time to read it."""
        path, size = self.dice.choice([("/idle", 0), ("/count", 0), ("/count", 900)])
        return Order(path, b'{"count":1000000,"pause_s":0.05,"size":%d}' % size, set())

    async def connect(self, receive_bytes: int | None = None) -> trio.SocketStream:
        """Connect; with little room for what is received if so wished."""
        sock = trio.socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await sock.connect((self.server.host, self.server.port))
        except OSError as error:
            sock.close()
            raise GoneError from error
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def a_moment(self, most_s: float = 0.4) -> None:
        await trio.sleep(self.dice.random() * most_s)

    async def leave(self, stream: trio.SocketStream) -> None:
        """Close, or reset."""
        if self.dice.random() < 0.5:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(stream)

    def check(self, order: Order, body: bytes) -> None:
        """Check a body that was read to its end."""
        ending = check_stream(order, body, self.is_stopping())
        self.tally[f"{order.path} {ending}"] += 1


def check_stream(order: Order, body: bytes, stopping: bool) -> str:
    """Every chunk is there in its order, and then one ending, as the last frame; give it."""
    assert body.endswith(b"\n\n"), f"cut: {body[-200:]!r}"
    frames = [frame for frame in body[:-2].split(b"\n\n") if frame != b":"]
    assert all(frame.startswith(b"data: ") for frame in frames), body[-200:]
    values: list[Any] = [json.loads(frame[6:]) for frame in frames]
    assert values, "neither a chunk nor an ending"
    *chunks, last = values
    assert [chunk.get("n") for chunk in chunks] == list(range(len(chunks))), body[-200:]
    if "__actions_done" in last:
        ending = DONE
        assert len(chunks) == order.count, f"{len(chunks)} of {order.count} chunks, and done"
    else:
        assert "__actions_error" in last, f"no ending: {body[-200:]!r}"
        ending = last["__actions_error"]["code"]
    expected = order.endings | ({"SERVER_SHUTDOWN"} if stopping else set())
    assert ending in expected, f"{order.path} ended by {ending}, not {expected}"
    return ending


# Reading of HTTP/1, strictly


@attrs.define(eq=False)
class Reader:
    """Reads the responses of a connection of HTTP/1, one after the other; with pauses, *part_bytes* in *pause_s*.

    It keeps that pace on a busy machine too, where a pause takes longer than it should: its kernel opens the window
    in steps of up to 64 KiB on loopback, and a server takes a client for stalled that needs `stall_s` for a step.
    """

    visit: Visit
    stream: trio.SocketStream
    pause_s: float = 0.0
    part_bytes: int = 2**16
    _left: bytes = b""

    async def response(self, method: str = "POST") -> tuple[int, bytes]:
        """Read the next response to its proper end.

        Raises:
            GoneError: Nothing of it came, since the server is stopping.
        """
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "test")]))
        connection.send(h11.EndOfMessage())
        status, body, began = 0, bytearray(), bool(self._left)
        connection.receive_data(self._left) if self._left else None
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                part = await self._part(began)
                began = True
                connection.receive_data(part)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        self._left = connection.trailing_data[0]
        return status, bytes(body)

    async def _part(self, began: bool) -> bytes:
        size = self.part_bytes
        if self.pause_s:
            began_at = trio.current_time()
            await trio.sleep(self.pause_s)
            size = int(size * (trio.current_time() - began_at) / self.pause_s)
        try:
            part = await self.stream.receive_some(size)
        except trio.BrokenResourceError:
            if began or not self.visit.is_stopping():
                raise
            part = b""
        if not part and not began and self.visit.is_stopping():
            raise GoneError
        return part

    async def check(self, order: Order) -> None:
        """Read the response to *order*, and check it."""
        status, body = await self.response()
        assert status == 200, (status, body[:200])
        self.visit.check(order, body)


async def send_all(visit: Visit, stream: trio.SocketStream, data: bytes) -> None:
    """Send *data* to a server that may go meanwhile, but only when it is told to."""
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError as error:
        if not visit.is_stopping():
            raise
        raise GoneError from error


async def drain(stream: trio.SocketStream) -> bytes:
    """Read whatever comes, until the end, whatever that is."""
    received = bytearray()
    try:
        async for part in stream:
            received += part[-1000:]
    except trio.BrokenResourceError:
        pass
    return bytes(received)


# Good clients of HTTP/1


async def reads_all(visit: Visit) -> None:
    async with await visit.connect() as stream:
        order, version = visit.order(), visit.dice.choice(["1.0", "1.1"])
        headers = visit.dice.choice([(), ("Connection: close",), ("Accept-Encoding: gzip", "X: y")])
        await send_all(visit, stream, order.head(version, *headers) + order.body)
        await Reader(visit, stream).check(order)
        if version == "1.0" or headers[:1] == ("Connection: close",):
            assert await stream.receive_some() == b"", "the connection stays open"


async def keeps_alive(visit: Visit) -> None:
    async with await visit.connect() as stream:
        reader = Reader(visit, stream)
        for _ in range(visit.dice.randint(2, 4)):
            order = visit.order()
            await send_all(visit, stream, order.head() + order.body)
            await reader.check(order)
            await visit.a_moment(0.05)


async def pipelines(visit: Visit) -> None:
    async with await visit.connect() as stream:
        orders = [visit.order() for _ in range(visit.dice.randint(2, 4))]
        await send_all(visit, stream, b"".join(order.head() + order.body for order in orders))
        reader = Reader(visit, stream)
        for order in orders[: visit.dice.randint(1, len(orders))]:
            await reader.check(order)
        await visit.leave(stream)


async def reads_slowly(visit: Visit) -> None:
    async with await visit.connect(receive_bytes=4096) as stream:
        count = visit.dice.randint(50, 400)
        order = Order("/count", b'{"count":%d,"size":500}' % count, {DONE}, count)
        await send_all(visit, stream, order.head() + order.body)
        pause_s = visit.dice.choice([0.002, 0.01, 0.03])
        await Reader(visit, stream, pause_s, visit.dice.choice([2048, 8192])).check(order)


async def dribbles_its_request(visit: Visit) -> None:
    async with await visit.connect() as stream:
        order = visit.order()
        request = order.head() + order.body
        while request:
            size = visit.dice.randint(1, 40)
            try:
                await send_all(visit, stream, request[:size])
            except trio.BrokenResourceError:
                assert order.path == "/crowded"  # which may refuse without having read all of it
                break
            request = request[size:]
            await trio.sleep(0.002)
        await Reader(visit, stream).check(order)


async def sends_chunks_and_waits_for_100(visit: Visit) -> None:
    async with await visit.connect() as stream:
        order = visit.order()
        head = f"POST {PREFIX}{order.path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue"
        await send_all(visit, stream, head.encode() + b"\r\n\r\n")
        await visit.a_moment(0.05)
        await send_all(visit, stream, b"%x\r\n%b\r\n0\r\n\r\n" % (len(order.body), order.body))
        await Reader(visit, stream).check(order)


async def sends_stray_bytes_and_stays(visit: Visit) -> None:
    async with await visit.connect() as stream:
        order = visit.order()
        stray = visit.dice.choice([b"\r\n", b"\r\n\r\n", b"garbage\r\n\r\n", b"GET /", b"\0"])
        await send_all(visit, stream, order.head() + order.body + stray)
        await Reader(visit, stream).check(order)


async def asks_for_the_head(visit: Visit) -> None:
    async with await visit.connect() as stream:
        await send_all(visit, stream, f"HEAD {PREFIX}/count HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert await Reader(visit, stream).response("HEAD") == (200, b"")


async def asks_by_query(visit: Visit) -> None:
    async with await visit.connect() as stream:
        await send_all(visit, stream, f"GET {PREFIX}/count?count=7&size=3 HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        await Reader(visit, stream).check(Order("/count", b"", {DONE}, 7))


async def asks_for_what_is_not_there(visit: Visit) -> None:
    async with await visit.connect() as stream:
        method, path = visit.dice.choice([("PUT", "/idle"), ("POST", "/nothing"), ("DELETE", "/count")])
        await send_all(visit, stream, f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        status, _ = await Reader(visit, stream).response(method)
        assert status in (404, 405), status


async def watches(visit: Visit) -> None:
    """Read a stream without an end, until the server says that it stops."""
    async with await visit.connect() as stream:
        order = visit.lasting_order()
        await send_all(visit, stream, order.head(visit.dice.choice(["1.0", "1.1"])) + order.body)
        await Reader(visit, stream).check(order)


# Bad clients of HTTP/1


async def leaves_early(visit: Visit) -> None:
    stream = await visit.connect()
    order = visit.dice.choice([visit.order, visit.endless_order])()
    try:
        await send_all(visit, stream, order.head(visit.dice.choice(["1.0", "1.1"])) + order.body)
        if visit.dice.random() < 0.5:
            with trio.move_on_after(visit.dice.random() * 0.3):
                await drain(stream)
        else:
            await visit.a_moment()
    finally:
        await visit.leave(stream)


async def leaves_behind_stray_bytes(visit: Visit) -> None:
    stream = await visit.connect()
    order = visit.endless_order()
    try:
        await send_all(visit, stream, order.head() + order.body)
        await visit.a_moment(0.1)
        await send_all(visit, stream, visit.dice.choice([b"\r\n", b"garbage", order.head(), b"\0" * 100]))
        await visit.a_moment()
    finally:
        await visit.leave(stream)


async def half_closes(visit: Visit) -> None:
    async with await visit.connect() as stream:
        order = visit.dice.choice([visit.order, visit.endless_order])()
        await send_all(visit, stream, order.head() + order.body)
        await visit.a_moment()
        await stream.send_eof()
        await drain(stream)  # which is a disconnect: the server must end it, however


async def stalls(visit: Visit) -> None:
    async with await visit.connect(receive_bytes=4096) as stream:
        await send_all(visit, stream, Order("/flood", b"", set()).head())
        if visit.dice.random() < 0.3:
            await visit.a_moment(LIMITS.stall_s)
            await visit.leave(stream)
            return
        await trio.sleep(LIMITS.stall_s * 2.5)
        with trio.fail_after(CLIENT_S / 2):
            await drain(stream)  # a flood has no end: the server has closed the connection


async def never_finishes_its_request(visit: Visit) -> None:
    stream = await visit.connect()
    order = visit.order()
    request = order.head("1.1", "Content-Length: 9" if visit.dice.random() < 0.2 else "X: y") + order.body
    try:
        await send_all(visit, stream, request[: visit.dice.randint(0, len(request) - 1)])
        await visit.a_moment()
    finally:
        await visit.leave(stream)


async def talks_garbage(visit: Visit) -> None:
    stream = await visit.connect()
    order = visit.order()
    garbage = bytearray(order.head() + order.body)
    if visit.dice.random() < 0.5:
        garbage = bytearray(visit.dice.randbytes(visit.dice.randint(1, 300)))
    else:
        for _ in range(visit.dice.randint(1, 10)):
            garbage[visit.dice.randrange(len(garbage))] = visit.dice.randrange(256)
    try:
        await send_all(visit, stream, bytes(garbage))
        with trio.move_on_after(visit.dice.random()):
            await drain(stream)
    except trio.BrokenResourceError:
        pass
    finally:
        await visit.leave(stream)


Client = Callable[[Visit], Awaitable[None]]

GOOD: Sequence[Client] = (
    reads_all,
    keeps_alive,
    pipelines,
    reads_slowly,
    dribbles_its_request,
    sends_chunks_and_waits_for_100,
    sends_stray_bytes_and_stays,
    asks_for_the_head,
    asks_by_query,
    asks_for_what_is_not_there,
)
BAD: Sequence[Client] = (
    leaves_early,
    leaves_behind_stray_bytes,
    half_closes,
    stalls,
    never_finishes_its_request,
    talks_garbage,
)


# All of them


@attrs.define(eq=False)
class World:
    """Clients without end, so many at once, until somebody says it is enough."""

    server: Server
    seed: int
    clients: Sequence[Client]
    strict: Sequence[Client] = ()
    """Those that a server owes a proper ending also when it stops."""
    at_once: int = 80
    failures: list[str] = attrs.field(factory=list)
    tally: Counter[str] = attrs.field(factory=Counter)
    is_stopping: bool = False
    _is_enough: bool = False
    _visits: int = 0

    async def run(self, most: int | None = None) -> None:
        """Let clients come until it is enough, or so many were there; return when the last one has left."""
        slots = trio.Semaphore(self.at_once)
        last = None if most is None else self._visits + most
        async with trio.open_nursery() as nursery:
            while not self._is_enough and self._visits != last:
                await slots.acquire()
                nursery.start_soon(self._visit, self._visits, slots)
                self._visits += 1

    def enough(self) -> None:
        """Let no more clients come."""
        self._is_enough = True

    async def _visit(self, number: int, slots: trio.Semaphore) -> None:
        dice = random.Random(f"{self.seed}/{number}")
        client = dice.choice(self.clients)
        name = getattr(client, "__name__", str(client))
        try:
            with trio.fail_after(CLIENT_S):
                await client(Visit(self.server, dice, self.tally, lambda: self.is_stopping))
        except Exception as error:
            is_gone = isinstance(sole_error(error), GoneError)
            self.tally["gone"] += is_gone
            if not self.is_stopping or (client in self.strict and not is_gone):
                self.failures.append(f"client {number}, {name}: {''.join(traceback.format_exception(error)[-30:])}")
        finally:
            self.tally[name] += 1
            slots.release()

    def verdict(self) -> str:
        """Say what went wrong, and by what seed it can be had again."""
        told = "\n".join(self.failures[:5])
        return f"seed {self.seed}: {len(self.failures)} of {self._visits} clients failed\n{told}"


@asynccontextmanager
async def hosting(app: QuartTrio, **settings: Any) -> AsyncIterator[Server]:
    """Serve *app* on a free port for as long as it takes."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    for name, value in settings.items():
        setattr(config, name, value)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        binds: list[str] = await nursery.start(partial(serve, app, config, shutdown_trigger=stop.wait))
        yield Server("127.0.0.1", int(binds[0].rpartition(":")[2]), stop)
        stop.set()
