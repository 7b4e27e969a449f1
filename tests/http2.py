"""A client of HTTP/2 with prior knowledge, of which a test decides when it opens its windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import attrs
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import trio

from tests.servers import DEADLINE_S, Server


@attrs.define(eq=False)
class Http2Client:
    """One connection. What arrives is kept by stream; windows are opened at once, or not at all."""

    stream: trio.SocketStream
    opens_windows: bool = True
    bodies: dict[int, bytes] = attrs.field(factory=lambda: defaultdict(bytes))
    statuses: dict[int, str] = attrs.field(factory=dict)
    ended: set[int] = attrs.field(factory=set)
    was_reset: set[int] = attrs.field(factory=set)
    reset_codes: dict[int, int] = attrs.field(factory=dict)
    pongs: set[bytes] = attrs.field(factory=set)
    is_over: bool = False
    went_away: bool = False
    _h2: h2.connection.H2Connection = attrs.field(
        factory=lambda: h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        )
    )
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _writing: trio.Lock = attrs.field(factory=trio.Lock)

    async def start(self, initial_window: int | None) -> None:
        if initial_window is not None:
            values = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: initial_window}
            self._h2.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self._h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        async with self._writing:  # the reader flushes too
            if data := self._h2.data_to_send():
                await self.stream.send_all(data)

    async def request(self, path: str, method: str = "POST", body: bytes = b"", *, resets: bool = False) -> int:
        """Send a request, and its reset in the same packet if it *resets*; give its stream."""
        stream_id = self.prepare(
            (":method", method),
            (":path", path),
            (":scheme", "http"),
            (":authority", "test"),
            ("content-type", "application/json"),
            ends=not body,
        )
        if body:
            self._h2.send_data(stream_id, body, end_stream=True)
        if resets:
            self.prepare_reset(stream_id)
        await self.flush()
        return stream_id

    def prepare(self, *headers: tuple[str | bytes, str | bytes], ends: bool = True) -> int:
        """Begin a request of any headers, which leaves with the next flush; give its stream."""
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, headers, end_stream=ends)
        return stream_id

    async def write(self, stream_id: int, data: bytes, *, ends: bool = False) -> None:
        """Send *data* on a stream."""
        self._h2.send_data(stream_id, data, end_stream=ends)
        await self.flush()

    def window(self, stream_id: int) -> int:
        """How many bytes the server takes on a stream now."""
        return self._h2.local_flow_control_window(stream_id)

    async def upload(self, path: str, body: bytes, part_bytes: int) -> int:
        """Send a request whose body comes in parts, each for itself, and give its stream."""
        stream_id = self._h2.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "test")]
        self._h2.send_headers(stream_id, [*headers, ("content-length", str(len(body)))])
        for start in range(0, len(body), part_bytes):
            with suppress(h2.exceptions.StreamClosedError):
                self._h2.send_data(stream_id, body[start : start + part_bytes])
            await self.flush()
            await trio.sleep(0.005)
        return stream_id

    async def reset(self, *stream_ids: int) -> None:
        """Reset streams, in one packet."""
        self.prepare_reset(*stream_ids)
        await self.flush()

    def prepare_reset(self, *stream_ids: int) -> None:
        """Reset streams with the next flush."""
        for stream_id in stream_ids:
            self._h2.reset_stream(stream_id, error_code=8)

    async def send(self, data: bytes) -> None:
        """Send bytes of which our side of the protocol knows nothing."""
        async with self._writing:
            await self.stream.send_all(data)

    async def go_away(self) -> None:
        self._h2.close_connection()
        await self.flush()

    async def open_window(self, stream_id: int, size: int) -> None:
        self._h2.increment_flow_control_window(size)
        with suppress(h2.exceptions.StreamClosedError):
            self._h2.increment_flow_control_window(size, stream_id)
        await self.flush()

    async def open_connection_window(self, size: int) -> None:
        self._h2.increment_flow_control_window(size)
        await self.flush()

    async def read(self) -> None:
        """Read for as long as there is something."""
        try:
            async for data in self.stream:
                if self._h2.state_machine.state is h2.connection.ConnectionState.CLOSED:
                    continue  # we have gone away, and what was on its way to us meanwhile is nothing to h2
                for event in self._h2.receive_data(data):
                    self._take(event)
                await self.flush()
                self._tell()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.is_over = True
        self._tell()

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(DEADLINE_S):
            while not condition():
                await self._changed.wait()

    async def until_ended(self, stream_id: int) -> bytes:
        """Wait for the proper end of a stream, and give its body."""
        await self.until(lambda: stream_id in self.ended)
        return self.bodies[stream_id]

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.statuses[event.stream_id] = dict(event.headers)[":status"]  # type: ignore[index, assignment]
            case h2.events.DataReceived():
                self.bodies[event.stream_id] += event.data
                if self.opens_windows:
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.ended.add(event.stream_id)
            case h2.events.StreamReset():
                self.was_reset.add(event.stream_id)
                self.reset_codes[event.stream_id] = event.error_code or 0
            case h2.events.PingAckReceived():
                self.pongs.add(event.ping_data)
            case h2.events.ConnectionTerminated():
                self.went_away = True

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def http2(
    server: Server, *, opens_windows: bool = True, initial_window: int | None = None
) -> AsyncIterator[Http2Client]:
    """Connect; the client reads in the background until the block is left, which closes the connection."""
    client = Http2Client(await trio.open_tcp_stream(server.host, server.port), opens_windows)
    async with trio.open_nursery() as nursery:
        await client.start(initial_window)
        nursery.start_soon(client.read)
        try:
            yield client
        finally:
            await trio.aclose_forcefully(client.stream)
            nursery.cancel_scope.cancel()
