"""A client of HTTP/3, with the windows and timers of aioquic."""

from __future__ import annotations

import math
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import trio
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, StreamReset

from tests.servers import DEADLINE_S


@attrs.define(eq=False)
class Http3Client:
    """One connection of QUIC. What arrives is kept by stream."""

    _quic: QuicConnection
    _h3: H3Connection
    _socket: trio.socket.SocketType
    headers: dict[int, dict[bytes, bytes]] = attrs.field(factory=dict)
    bodies: dict[int, bytes] = attrs.field(factory=lambda: defaultdict(bytes))
    ended: set[int] = attrs.field(factory=set)
    was_reset: set[int] = attrs.field(factory=set)
    is_ready: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event)

    async def request(self, path: str, method: str = "POST", body: bytes = b"") -> int:
        """Send a request, and give its stream."""
        stream_id = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", method.encode()),
            (b":path", path.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b"content-type", b"application/json"),
        ]
        self._h3.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self._h3.send_data(stream_id, body, end_stream=True)
        await self.flush()
        return stream_id

    async def close(self) -> None:
        self._quic.close()
        await self.flush()

    async def flush(self) -> None:
        for data, _ in self._quic.datagrams_to_send(now=trio.current_time()):
            await self._socket.send(data)

    async def read(self) -> None:
        """Read for ever, and keep QUIC's timers."""
        while True:
            timer = self._quic.get_timer()
            with trio.CancelScope(deadline=math.inf if timer is None else timer) as until_timer:
                self._quic.receive_datagram(await self._socket.recv(65536), ("server", 0), now=trio.current_time())
            if until_timer.cancelled_caught:
                self._quic.handle_timer(now=trio.current_time())
            while (event := self._quic.next_event()) is not None:
                self._take(event)
            await self.flush()
            self._changed.set()
            self._changed = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(DEADLINE_S):
            while not condition():
                await self._changed.wait()

    async def until_ended(self, stream_id: int) -> bytes:
        """Wait for the proper end of a stream, and give its body."""
        await self.until(lambda: stream_id in self.ended)
        return self.bodies[stream_id]

    def _take(self, event: object) -> None:
        if isinstance(event, HandshakeCompleted):
            self.is_ready = True
        elif isinstance(event, StreamReset):
            self.was_reset.add(event.stream_id)
        for h3_event in self._h3.handle_event(event):  # type: ignore[arg-type]  # any event of QUIC's
            if isinstance(h3_event, HeadersReceived):
                self.headers[h3_event.stream_id] = dict(h3_event.headers)
            elif isinstance(h3_event, DataReceived):
                self.bodies[h3_event.stream_id] += h3_event.data
            if isinstance(h3_event, HeadersReceived | DataReceived) and h3_event.stream_ended:
                self.ended.add(h3_event.stream_id)


@asynccontextmanager
async def http3(port: int) -> AsyncIterator[Http3Client]:
    """Connect; the client reads in the background until the block is left, which closes the connection."""
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", verify_mode=ssl.CERT_NONE
    )
    quic = QuicConnection(configuration=configuration)
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as udp:
        await udp.connect(("127.0.0.1", port))
        client = Http3Client(quic, H3Connection(quic), udp)
        quic.connect(("server", 0), now=trio.current_time())
        async with trio.open_nursery() as nursery:
            await client.flush()
            nursery.start_soon(client.read)
            await client.until(lambda: client.is_ready)
            yield client
            await client.close()
            nursery.cancel_scope.cancel()
