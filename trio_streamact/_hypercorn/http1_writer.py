"""Writes that wait for nobody, that a close does not break, and whose failure everyone hears of.

Fault 1: hypercorn takes a lock round every write, and trio yields in every write. Both are passes through the scheduler
even when nobody holds the lock and the kernel has room: each chunk of a paced stream leaves later by as long as
everything else that is ready takes. And each part of a response leaves by itself: head, first chunk, end.

Fault 2: it closes a connection without that lock, and trio refuses a write beside the close; on HTTP/2, where others
share the connection, their writes fail with a ``BusyResourceError`` that nobody expects.

Fault 3: a write that fails tells all streams of the connection, one after the other, in the task of one of them; told
itself, that one is cancelled, and those behind it never hear that their client is gone: their handlers run for ever.

Fault 4: on HTTP/2 it takes the bytes from h2 before it waits for the lock. When the stream is reset meanwhile, they
are lost; if there is a head among them, the table of headers that all streams share is out of step from then on, and
the client gives up the connection at the next head.
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

PLAIN = os.environ.get("TRIO_STREAMACT_PLAIN_WRITES", "0") != "0"
"""The switch that leaves fault 1 as it is: every write waits its turn, as hypercorn's own do."""

LAST_CHUNK = b"0\r\n\r\n"
"""What ends a chunked body without trailers. Source: RFC 9112, 7.1."""

COPIED_BYTES = 64 * 1024
"""What is larger is written from where it is: a copy would stay for as long as the client does not take it."""

Piece = bytes | memoryview

TELL_S = 5.0
"""How long it may take to tell the streams of a connection that it is closed, in seconds."""


@final
@attrs.define(eq=False)
class Writes:
    """The writes of one connection of HTTP/1.1, while it carries a stream.

    Attributes:
        server: hypercorn's ``TCPServer``.
        protocol: Its ``H11Protocol``.
        holds: Whether what is written waits for what comes next, to leave with it.
    """

    server: Any
    protocol: Any
    _about_to_wait: Callable[[], None]
    holds: bool = attrs.field(default=not PLAIN, init=False)
    _held: list[Piece] = attrs.field(factory=list, init=False)
    _is_chunked: bool = attrs.field(default=False, init=False)
    _has_ended: bool = attrs.field(default=False, init=False)

    async def send(self, event: Any) -> None:
        """Stand in for ``TCPServer.protocol_send``."""
        if isinstance(event, RawData):
            if self._has_ended and event.data == LAST_CHUNK:
                return
            self._held.append(event.data)
            if not self.holds:
                await self.flush()
        else:
            await self.flush()
            await self.server.protocol_send(event)

    @property
    def can_write_nowait(self) -> bool:
        """Whether there is a socket to write to, which is not that of TLS, and nothing is written yet."""
        return self.holds and hasattr(self.server.stream, "socket")

    def write_nowait(self, body: bytes, ends: bool) -> bool:
        """Write *body*, a part of a response's, as far as the kernel takes it; say whether nothing is left to `flush`.

        Nothing else may be between the app and hypercorn, which are passed by here. If it *ends* the body, so it does
        the response, and what hypercorn sends of that later is dropped.
        """
        self.holds = False
        try:
            self._held += self._framed(body)
            if ends and self._is_chunked:
                self._held.append(LAST_CHUNK)
                self._has_ended = True
        except h11.LocalProtocolError:
            if self.protocol.connection.their_state is not h11.ERROR:
                raise  # a head that promised less, say
            return True  # the connection is closed: it goes where all goes that hypercorn is sent now
        if self.server.send_lock.locked():
            return False
        self._held = _write_at_once(self.server.stream, _joined(self._held))
        return not self._held

    def _framed(self, body: bytes) -> list[bytes]:
        connection = self.protocol.connection
        if self._is_chunked and connection.our_state is h11.SEND_BODY:
            return [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
        framed: list[bytes] = connection.send_with_data_passthrough(h11.Data(data=body)) or []
        self._is_chunked = len(framed) == 3  # size, data and end; and so will all be that follow
        return framed

    async def flush(self) -> None:
        """Write what is held, and hold nothing more."""
        self.holds = False
        if self._held:
            held, self._held = self._held, []
            await _write(self.server, _joined(held), self._about_to_wait)


def repair_http2(protocol: Any) -> None:
    """Repair the writes of a connection of HTTP/2; nothing else changes."""
    server = protocol.send.__self__
    if not isinstance(protocol.__dict__.get("_flush"), MethodType):
        protocol._flush = MethodType(_flush, (protocol.connection, server))


async def _flush(self: tuple[Any, Any]) -> None:
    """``H2Protocol._flush``, but for the faults: what cannot be written yet stays with h2, for whoever writes next."""
    connection, server = self
    if getattr(connection, "_data_to_send", True):
        await _write(server, iter(connection.data_to_send, b""))


async def _write(server: Any, pieces: Iterable[Piece], about_to_wait: Callable[[], None] | None = None) -> None:
    await _checkpoint()
    try:
        server.send_lock.acquire_nowait()
    except trio.WouldBlock:
        if about_to_wait is not None:
            about_to_wait()
        await server.send_lock.acquire()
    try:
        for piece in pieces:
            for rest in [piece] if PLAIN else _write_at_once(server.stream, [piece]):
                if about_to_wait is not None:
                    about_to_wait()
                with trio.CancelScope(shield=True):
                    await server.stream.send_all(rest)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TELL_S):
            await server.protocol.handle(Closed())
    finally:
        server.send_lock.release()


_checkpoint = trio.lowlevel.checkpoint if PLAIN else trio.lowlevel.checkpoint_if_cancelled


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return *pieces* as one, or as they are if a copy of them would be large."""
    return pieces if sum(map(len, pieces)) > COPIED_BYTES else [b"".join(pieces)]


def _write_at_once(stream: Any, pieces: list[Piece]) -> list[Piece]:
    """Write what the kernel takes of *pieces*, and return what is left; of what is wrong, trio knows the words."""
    sock = getattr(stream, "socket", None)  # not that of TLS, which has to encrypt first
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
