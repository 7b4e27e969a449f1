"""The connection that carries a request: what its client takes, and how to close it.

This module alone knows where hypercorn keeps what. From its ``HTTPStream`` it is three steps: its ``send`` is a method
of a protocol, whose ``send`` is a method of a TCP server, which has Trio's stream.
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
_TIOCOUTQ = 0x5411  # what a socket has not sent, or is not acknowledged; the value of Linux on x86 and ARM


@final
@attrs.frozen
class Connection:
    """The parts of hypercorn that serve one exchange.

    Attributes:
        protocol: hypercorn's ``H11Protocol`` or ``H2Protocol``.
        server: Its ``TCPServer``.
    """

    is_known: ClassVar[bool] = True
    _context: Any
    protocol: Any
    server: Any
    _http: Any

    @classmethod
    def of(cls, http: Any) -> Connection | NoConnection:
        """Return the connection of *http*, an ``HTTPStream`` or None; over HTTP/3 there is no TCP connection."""
        protocol = getattr(getattr(http, "send", None), "__self__", None)
        server = getattr(getattr(protocol, "send", None), "__self__", None)
        server = server.server if isinstance(server, Http1Writer) else server  # of a stream that is just over
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
        """Whether other exchanges share the connection, as on HTTP/2."""
        return hasattr(self.protocol, "stream_buffers")

    @property
    def is_stuck(self) -> bool:
        """Whether a write of the connection, which nothing can cancel, is under way."""
        return bool(self.server.send_lock.locked())

    @property
    def is_over(self) -> bool:
        """Whether hypercorn has closed the exchange; it drops what is still sent, without a word."""
        return bool(self._http.closed)

    @property
    def is_closed(self) -> bool:
        """Return True if the client has closed the connection, or its half of it."""
        if self.is_multiplexed:
            return bool(self.protocol.closed)
        return isinstance(self.protocol.connection, ClosedConnection)

    @property
    def has_head(self) -> bool:
        """Return True if hypercorn has written the head of the response."""
        return self._http.state is not ASGIHTTPState.REQUEST

    def is_fed_by(self, send: Send) -> bool:
        """Return True if *send* is hypercorn's own, so that what is given to it is hypercorn's when it returns."""
        return is_own_send(send, self._http)

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run *work* in a task that hypercorn cancels when it closes the connection."""
        self._http.task_group.spawn(work)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of this exchange that wait in hypercorn's buffer of HTTP/2."""
        return 0 if (buffer := self._buffer()) is None else len(buffer.buffer)

    def _buffer(self) -> Any:
        return getattr(self.protocol, "stream_buffers", {}).get(self._http.stream_id)

    def taken(self, acknowledged: int | None) -> tuple[int | None, ...]:
        """Return how much the client has taken of this exchange, in bytes, by each way of counting.

        Args:
            acknowledged: What the peer has ``acknowledged``; of a stream of HTTP/2 that has no window, it was others'.
        """
        if not self.is_multiplexed:
            return (acknowledged,)
        return getattr(self._buffer(), "taken_bytes", 0), acknowledged if self._has_window() else None

    def _has_window(self) -> bool:
        try:
            return bool(self.protocol.connection.local_flow_control_window(self._http.stream_id) > 0)
        except Exception:  # of h2: the stream, or all of the connection, is closed already
            return False

    async def drop(self, moves: bool) -> None:
        """End this exchange, whose client takes nothing; its connection too, unless that still *moves*."""
        if not self.is_multiplexed or (self.is_stuck and not moves):
            self.abort()
        else:
            await self.reset()

    def abort(self) -> None:
        """Close the connection at once, even under a write that hypercorn shields from cancellation."""
        stream = self.server.stream
        transport = getattr(stream, "transport_stream", stream)
        # A reset, so that the kernel does not go on offering what the client did not take.
        with suppress(OSError, trio.ClosedResourceError):
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.socket.close()

    async def reset(self) -> None:
        """Reset this exchange's stream of HTTP/2, and leave the others alone."""
        await reset_stream(self.protocol, self._http.stream_id, ErrorCodes.CANCEL)

    def allow_silence(self, for_s: float) -> None:
        """Note how long the peer of a stream may take nothing; the longest counts of those that share a connection."""
        setattr(self.server, _SILENCE, max(for_s, self.silence_s) if self.is_multiplexed else for_s)

    @property
    def silence_s(self) -> float:
        """How long the peer may acknowledge nothing before it is taken for vanished, in seconds."""
        return float(getattr(self.server, _SILENCE, 0.0))

    @property
    def unacknowledged_bytes(self) -> int:
        """How much the kernel holds that the peer has not acknowledged; 0 where it is not known: Linux and TCP only.

        A peer that has vanished without a word acknowledges nothing, but small writes go on filling the kernel's
        buffer, so no write ever waits. ``TCP_USER_TIMEOUT`` is for that, but it also ends a client that reads
        steadily: as long as the peer's window is smaller than what the kernel would send next, its time runs on,
        however much the peer acknowledges.
        """
        sock = self._socket()
        if sock is None or sys.platform != "linux" or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return 0
        return _unsent(sock) or 0

    def acknowledged(self) -> int | None:
        """Return a number that changes by as many bytes as the peer's kernel takes of all that the connection carries.

        None where it is not known. On a UNIX socket it is what the peer has not read, and what that costs the kernel.
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
    """Stands for the connection of an exchange where it cannot be found, and of one in memory."""

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
        """The worker is not known either."""
        return UNKNOWN_WORKER

    def is_fed_by(self, send: Send) -> bool:  # noqa: ARG002
        """Return False: *send* leads somewhere else."""
        return False

    def taken(self, acknowledged: int | None) -> tuple[int | None, ...]:
        """Return *acknowledged*: there is no other way of counting."""
        return (acknowledged,)

    def acknowledged(self) -> None:
        """Return None: it is not known."""

    def allow_silence(self, for_s: float) -> None:
        """Do nothing: a peer that has vanished is not found here."""

    async def drop(self, moves: bool) -> None:
        """Do nothing: there is nothing to close."""

    async def reset(self) -> None:
        """Do nothing: there is nothing to reset."""

    def abort(self) -> None:
        """Do nothing: there is nothing to close."""


NO_CONNECTION = NoConnection()


def _unsent(sock: Any) -> int | None:
    """Return how many bytes the kernel holds of what was written; None if the socket is closed."""
    import fcntl

    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), _TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # of a closed socket the number is -1
        return None
