"""A server that answers with whatever bytes a test wants, when it wants, and notes when a client hangs up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial

import attrs
import trio

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
"""The head of a stream that ends when the connection is closed."""

Answer = Callable[[trio.SocketStream], Awaitable[None]]


@attrs.define(eq=False)
class RawServer:
    """Where it listens, and what it has seen."""

    url: str = ""
    requests: list[bytes] = attrs.field(factory=list)
    hung_up: trio.Event = attrs.field(factory=trio.Event)

    @property
    def last_head(self) -> dict[str, str]:
        """The header fields of the last request, their names in lower case."""
        head, _, _ = self.requests[-1].decode().partition("\r\n\r\n")
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in head.split("\r\n")[1:])}

    async def serve(self, answer: Answer, connection: trio.SocketStream) -> None:
        async with connection:
            self.requests.append(await _read_request(connection))
            with suppress(trio.BrokenResourceError):
                await answer(connection)

    async def wait_for_hang_up(self, connection: trio.SocketStream) -> None:
        """Hold the connection until the client closes it."""
        with suppress(trio.BrokenResourceError):
            async for _ in connection:
                pass
        self.hung_up.set()


async def _read_request(connection: trio.SocketStream) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        part = await connection.receive_some()
        if not part:
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields.get(b"content-length", b"0")):
        body += await connection.receive_some()
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def raw_server(answer: Callable[[RawServer, trio.SocketStream], Awaitable[None]]) -> AsyncIterator[RawServer]:
    """Serve on loopback for as long as the block lasts; *answer* is called once for each connection."""
    server = RawServer()
    async with trio.open_nursery() as nursery:
        serve = partial(server.serve, partial(answer, server))
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        server.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/stream"
        yield server
        nursery.cancel_scope.cancel()


def sending(*parts: bytes, pause_s: float = 0.0, then_hold: bool = False) -> Callable[..., Awaitable[None]]:
    """Make an answer of *parts*, each a write of its own; with *then_hold*, the connection stays open behind them."""

    async def answer(server: RawServer, connection: trio.SocketStream) -> None:
        for part in parts:
            await connection.send_all(part)
            await trio.sleep(pause_s)
        if then_hold:
            await server.wait_for_hang_up(connection)

    return answer


def chunked(parts: Iterable[bytes]) -> bytes:
    """Encode a body in parts, as servers of HTTP/1.1 do, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
