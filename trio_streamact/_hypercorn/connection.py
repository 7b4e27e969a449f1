"""The connection that carries a request: how much its client takes, and how to close it.

Only this module knows how hypercorn's objects refer to each other. The way from an ``HTTPStream`` to Trio's stream has
three steps: its ``send`` is a method of a protocol; the ``send`` of the protocol is a method of a TCP server; and the
TCP server holds Trio's stream.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, final

import attrs
import trio
from h2.errors import ErrorCodes
from hypercorn.protocol.http_stream import ASGIHTTPState

from .asgi import Send
from .http1_writer import Http1Writer
from .patches.http2 import reset_stream
from .patches.http_streams import is_own_send
from .patches.pipelining import ClosedConnection
from .shutdown import UNKNOWN_WORKER, UnknownWorker, Worker, worker_of

_TCP_INFO_BYTES_ACKED = struct.Struct("=120xQ")  # `tcpi_bytes_acked`, Linux 4.1 and later
_SILENCE = "_trio_streamact_silence_s"
_TIOCOUTQ = 0x5411  # bytes of a socket that are not sent or not acknowledged; the value for Linux on x86 and ARM


@final
@attrs.frozen
class Connection:
    """The parts of hypercorn that serve one exchange.

    Attributes:
        protocol: hypercorn's ``H11Protocol`` or ``H2Protocol``.
        server: hypercorn's ``TCPServer``.
    """

    is_known: ClassVar[bool] = True
    _context: Any
    protocol: Any
    server: Any
    _http: Any

    @classmethod
    def of(cls, http: Any) -> Connection | NoConnection:
        """Return the connection of *http*, which is an ``HTTPStream`` or None. HTTP/3 has no TCP connection."""
        protocol = getattr(getattr(http, "send", None), "__self__", None)
        server = getattr(getattr(protocol, "send", None), "__self__", None)
        server = server.server if isinstance(server, Http1Writer) else server  # of the previous stream
        worker = getattr(http, "context", None)
        if not (hasattr(worker, "terminated") and hasattr(server, "stream") and hasattr(server, "send_lock")):
            return NO_CONNECTION
        return cls(worker, protocol, server, http)

    @property
    def worker(self) -> Worker:
        """The worker that serves the exchange."""
        return worker_of(self._context)

    @property
    def is_multiplexed(self) -> bool:
        """Return True if other exchanges may share the connection, as on HTTP/2."""
        return hasattr(self.protocol, "stream_buffers")

    @property
    def is_stuck(self) -> bool:
        """Return True if a write of the connection is in progress. It cannot be cancelled."""
        return bool(self.server.send_lock.locked())

    @property
    def is_over(self) -> bool:
        """Return True if hypercorn has closed the exchange. It silently drops everything that is sent after that."""
        return bool(self._http.closed)

    @property
    def is_closed(self) -> bool:
        """Return True if the client has closed the connection, or its sending half."""
        if self.is_multiplexed:
            return bool(self.protocol.closed)
        return isinstance(self.protocol.connection, ClosedConnection)

    @property
    def has_head(self) -> bool:
        """Return True if hypercorn has written the head of the response."""
        return self._http.state is not ASGIHTTPState.REQUEST

    def is_fed_by(self, send: Send) -> bool:
        """Return True if *send* is hypercorn's own. Then hypercorn has taken a message when *send* returns."""
        return is_own_send(send, self._http)

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run *work* in a task that hypercorn cancels when it closes the connection."""
        self._http.task_group.spawn(work)

    @property
    def waiting_bytes(self) -> int:
        """The number of bytes of this exchange that wait in hypercorn's HTTP/2 buffer."""
        return 0 if (buffer := self._buffer()) is None else len(buffer.buffer)

    def _buffer(self) -> Any:
        return getattr(self.protocol, "stream_buffers", {}).get(self._http.stream_id)

    def taken(self, acknowledged: int | None) -> tuple[int | None, ...]:
        """Return how many bytes of this exchange the client has taken, once for each way of counting.

        Args:
            acknowledged: The result of ``acknowledged``. It does not count for an HTTP/2 stream without a window,
                because then the peer took bytes of other streams.
        """
        if not self.is_multiplexed:
            return (acknowledged,)
        return getattr(self._buffer(), "taken_bytes", 0), acknowledged if self._has_window() else None

    def _has_window(self) -> bool:
        try:
            return bool(self.protocol.connection.local_flow_control_window(self._http.stream_id) > 0)
        except Exception:  # an exception of h2: the stream or the connection is already closed
            return False

    async def drop(self, moves: bool) -> None:
        """End this exchange. Close the connection, too, if it cannot be shared, or is stuck and not *moves*."""
        if not self.is_multiplexed or (self.is_stuck and not moves):
            self.abort()
        else:
            await self.reset()

    def abort(self) -> None:
        """Close the connection at once, even during a write that hypercorn shields from cancellation."""
        stream = self.server.stream
        transport = getattr(stream, "transport_stream", stream)
        # Send a TCP reset. Otherwise the kernel would still try to deliver what the client did not take.
        with suppress(OSError, trio.ClosedResourceError):
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.socket.close()

    async def reset(self) -> None:
        """Reset the HTTP/2 stream of this exchange. Other streams continue."""
        await reset_stream(self.protocol, self._http.stream_id, ErrorCodes.CANCEL)

    def allow_silence(self, for_s: float) -> None:
        """Set how long the peer may acknowledge nothing. If streams share a connection, the longest time applies."""
        others_s: float = getattr(self.server, _SILENCE, 0.0) if self.is_multiplexed else 0.0
        setattr(self.server, _SILENCE, max(for_s, others_s))

    @property
    def silence_s(self) -> float:
        """The time without an acknowledgement after which the peer counts as vanished, in seconds; inf until set."""
        return float(getattr(self.server, _SILENCE, math.inf))

    @property
    def unacknowledged_bytes(self) -> int:
        """The number of bytes that the peer has not acknowledged. It is 0 if unknown: Linux and TCP only.

        A peer that has vanished acknowledges nothing. But small writes fit into the kernel's buffer for a long time, so
        no write waits. ``TCP_USER_TIMEOUT`` is made for this case, but it also ends clients that read steadily: while
        the peer's window is smaller than the next segment, its timer keeps running, however much the peer acknowledges.
        """
        sock = self._socket()
        if sock is None or sys.platform != "linux" or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return 0
        return _unsent(sock) or 0

    def acknowledged(self) -> int | None:
        """Return a number that changes by the number of bytes that the peer's kernel takes from the connection.

        It is None if unknown. For a UNIX socket, it is the memory of the bytes that the peer has not read.
        """
        sock = self._socket()
        if sock is None or sys.platform != "linux":
            return None
        if sock.family == socket.AF_UNIX:
            return _unsent(sock)
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES_ACKED.size)
            return int(_TCP_INFO_BYTES_ACKED.unpack(info)[0])
        except (OSError, struct.error):
            return None

    def _socket(self) -> Any:
        stream = self.server.stream
        return getattr(getattr(stream, "transport_stream", stream), "socket", None)


@final
class NoConnection:
    """The connection of an exchange that is in memory, or whose connection cannot be found."""

    is_known: ClassVar[bool] = False
    is_multiplexed: ClassVar[bool] = False
    is_stuck: ClassVar[bool] = False
    is_over: ClassVar[bool] = False
    is_closed: ClassVar[bool] = False
    has_head: ClassVar[bool] = True
    unacknowledged_bytes: ClassVar[int] = 0
    waiting_bytes: ClassVar[int] = 0
    silence_s: ClassVar[float] = math.inf

    @property
    def worker(self) -> UnknownWorker:
        """The worker, which is unknown, too."""
        return UNKNOWN_WORKER

    def is_fed_by(self, send: Send) -> bool:  # noqa: ARG002
        """Return False: *send* is not hypercorn's."""
        return False

    def taken(self, acknowledged: int | None) -> tuple[int | None, ...]:
        """Return *acknowledged*: there is no other way of counting."""
        return (acknowledged,)

    def acknowledged(self) -> None:
        """Return None: it is unknown."""

    def allow_silence(self, for_s: float) -> None:
        """Do nothing: a vanished peer cannot be found here."""

    async def drop(self, moves: bool) -> None:
        """Do nothing: there is nothing to close."""

    async def reset(self) -> None:
        """Do nothing: there is nothing to reset."""

    def abort(self) -> None:
        """Do nothing: there is nothing to close."""


NO_CONNECTION = NoConnection()


def _unsent(sock: Any) -> int | None:
    """Return how many written bytes the kernel holds, or None if the socket is closed."""
    import fcntl

    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), _TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # the file descriptor of a closed socket is -1
        return None
