"""Write to a connection: in the task of the caller while the socket has room, in order, and safely during a close.

Fault 1: hypercorn acquires a lock for every write, and Trio yields in every write. Each costs a scheduler pass, even if
the lock is free and the kernel has room. So every chunk is written later, by the time that all other ready tasks take.
Also, each part of a response is a write of its own: head, first chunk, end.

Fault 2: hypercorn closes a connection without this lock, and Trio refuses a write during a close. On an HTTP/2
connection the writes of other streams then fail with a ``BusyResourceError`` that hypercorn does not expect.

Fault 3: after a write has failed, hypercorn notifies the streams of the connection one after the other, in the task
that wrote. When it notifies the stream of that task itself, the task is cancelled. So the remaining streams are never
notified, and their handlers run forever.

Fault 4: over HTTP/2, hypercorn takes the bytes from h2 before it waits for the lock. If the stream is reset meanwhile,
the bytes are lost. If they contain a head, the HPACK table that all streams share is out of step after that, and the
client closes the connection at the next head.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, final

import attrs
import h11
import trio
from hypercorn.events import Closed, RawData

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body without trailers. Source: RFC 9112, 7.1."""

COPIED_BYTES = 64 * 1024
"""Larger bodies are written without a copy, because the copy would stay in memory until the client takes it."""

Piece = bytes | memoryview

NOTIFY_S = 5.0
"""The longest time for notifying the streams of a closed connection, in seconds."""


@final
@attrs.define(eq=False)
class Http1Writer:
    """Writes to one HTTP/1.1 connection while it carries a stream.

    Attributes:
        server: hypercorn's ``TCPServer``.
        protocol: hypercorn's ``H11Protocol``.
        corked: True if bytes are kept until more bytes follow, so that both share one write.
    """

    server: Any
    protocol: Any
    _about_to_wait: Callable[[], None]
    corked: bool = attrs.field(default=True, init=False)
    _pending: list[Piece] = attrs.field(factory=list, init=False)
    _is_chunked: bool = attrs.field(default=False, init=False)
    _has_ended: bool = attrs.field(default=False, init=False)

    def attach(self) -> None:
        """Replace ``TCPServer.protocol_send``."""
        self.protocol.send = self.send

    def detach(self) -> None:
        """Restore ``TCPServer.protocol_send``, unless the writer of the next stream has already replaced it."""
        if self.protocol.send == self.send:
            self.protocol.send = self.server.protocol_send

    async def send(self, event: Any) -> None:
        """Handle *event*, as ``TCPServer.protocol_send`` does."""
        if isinstance(event, RawData):
            if self._has_ended and event.data == LAST_CHUNK:
                return
            self._pending.append(event.data)
            if not self.corked:
                await self.flush()
        else:
            await self.flush()
            await self.server.protocol_send(event)

    @property
    def can_write_nowait(self) -> bool:
        """Return True if nothing was written yet, and there is a plain socket, not TLS."""
        return self.corked and hasattr(self.server.stream, "socket")

    def write_nowait(self, body: bytes, ends: bool) -> bool:
        """Write *body*, a part of a response body, as far as the kernel takes it. If a rest is left, return False.

        `flush` then writes the rest. Nothing may be between the app and hypercorn, because it would not see *body*. If
        *ends*, the end of the response is written, too, and the end that hypercorn sends later is dropped.
        """
        self.corked = False
        try:
            self._pending += self._framed(body)
            if ends and self._is_chunked:
                self._pending.append(LAST_CHUNK)
                self._has_ended = True
        except h11.LocalProtocolError:
            if self.protocol.connection.their_state is not h11.ERROR:
                raise  # for example, the body is longer than its Content-Length
            return True  # the connection is closed: drop the bytes, as hypercorn does
        if self.server.send_lock.locked():
            return False
        self._pending = _write_at_once(self.server.stream, _joined(self._pending))
        return not self._pending

    def _framed(self, body: bytes) -> list[bytes]:
        connection = self.protocol.connection
        if self._is_chunked and connection.our_state is h11.SEND_BODY:
            return [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
        framed: list[bytes] = connection.send_with_data_passthrough(h11.Data(data=body)) or []
        self._is_chunked = len(framed) == 3  # size, data, end: all later parts have this form, too
        return framed

    async def flush(self) -> None:
        """Write all pending bytes. After this, nothing is kept."""
        self.corked = False
        if self._pending:
            pending, self._pending = self._pending, []
            await _write(self.server, _joined(pending), self._about_to_wait)


@final
class NoHttp1Writer:
    """The writer of an exchange whose bytes hypercorn writes itself: with HTTP/2, and with unknown servers."""

    corked = can_write_nowait = False

    def detach(self) -> None:
        """Do nothing: nothing was replaced."""

    def write_nowait(self, body: bytes, ends: bool) -> bool:  # noqa: ARG002
        """Raise ``RuntimeError``: `can_write_nowait` is False."""
        raise RuntimeError("there is no socket to write to")

    async def flush(self) -> None:
        """Do nothing: nothing was kept."""


NO_HTTP1_WRITER = NoHttp1Writer()


def repair_http2(protocol: Any) -> None:
    """Repair the writes of an HTTP/2 connection."""
    server = protocol.send.__self__
    if not isinstance(protocol.__dict__.get("_flush"), MethodType):
        protocol._flush = MethodType(_flush, (protocol.connection, server))


async def _flush(self: tuple[Any, Any]) -> None:
    """Write as ``H2Protocol._flush`` does, but leave in h2 the bytes that cannot be written yet."""
    connection, server = self
    if getattr(connection, "_data_to_send", True):
        await _write(server, iter(connection.data_to_send, b""))


async def _write(server: Any, pieces: Iterable[Piece], about_to_wait: Callable[[], None] | None = None) -> None:
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        server.send_lock.acquire_nowait()
    except trio.WouldBlock:
        if about_to_wait is not None:
            about_to_wait()
        await server.send_lock.acquire()
    try:
        for piece in pieces:
            for rest in _write_at_once(server.stream, [piece]):
                if about_to_wait is not None:
                    about_to_wait()
                with trio.CancelScope(shield=True):
                    await server.stream.send_all(rest)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        with trio.CancelScope(shield=True, deadline=trio.current_time() + NOTIFY_S):
            await server.protocol.handle(Closed())
    finally:
        server.send_lock.release()


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return *pieces* joined to one, or unchanged if a copy of them would be large."""
    return pieces if sum(map(len, pieces)) > COPIED_BYTES else [b"".join(pieces)]


def _write_at_once(stream: Any, pieces: list[Piece]) -> list[Piece]:
    """Write what fits in the socket buffer, and return the rest.

    After an OSError, return everything: the ``send_all`` that follows raises the right exception.
    """
    sock = getattr(stream, "socket", None)  # None for TLS, which must encrypt first
    if sock is None:
        return pieces
    try:
        sent = os.write(sock.fileno(), pieces[0]) if len(pieces) == 1 else os.writev(sock.fileno(), pieces)
    except OSError:
        return pieces
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[number + 1 :]]
        sent -= len(piece)
    return []
