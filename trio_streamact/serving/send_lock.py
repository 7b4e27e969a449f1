"""Writes that wait for nobody, that a close does not break, and whose failure everyone hears of.

Fault 1: hypercorn takes a lock round every write, and in trio that is a pass through the scheduler even when nobody
holds it: each chunk of a paced stream leaves later by as long as everything else that is ready takes.

Fault 2: it closes a connection without that lock, and trio refuses a write beside the close; on HTTP/2, where others
share the connection, their writes fail with a ``BusyResourceError`` that nobody expects.

Fault 3: a write that fails tells all streams of the connection, one after the other, in the task of one of them; told
itself, that one is cancelled, and those behind it never hear that their client is gone: their handlers run for ever.

Fault 4: on HTTP/2 it takes the bytes from h2 before it waits for the lock. When the stream is reset meanwhile, they
are lost; if there is a head among them, the table of headers that all streams share is out of step from then on, and
the client gives up the connection at the next head.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MethodType
from typing import Any

import trio
from hypercorn.events import Closed, RawData

from .connection import Connection

TELL_S = 5.0
"""How long it may take to tell the streams of a connection that it is closed, in seconds."""


def take_free_lock_at_once(connection: Connection) -> None:
    """Let the connection's writes begin at once where its lock is free; nothing else changes."""
    protocol = connection.protocol
    protocol.send = MethodType(_protocol_send, connection.server)
    if connection.is_multiplexed:
        protocol._flush = MethodType(_flush, protocol)


async def _protocol_send(self: Any, event: Any) -> None:
    """``TCPServer.protocol_send``, but for the faults."""
    if isinstance(event, RawData):
        await _write(self, (event.data,))
    else:
        await self.protocol_send(event)


async def _flush(self: Any) -> None:
    """``H2Protocol._flush``, but for the faults: what cannot be written yet stays with h2, for whoever writes next."""
    if getattr(self.connection, "_data_to_send", True):
        await _write(self.send.__self__, iter(self.connection.data_to_send, b""))


async def _write(server: Any, pieces: Iterable[bytes]) -> None:
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        server.send_lock.acquire_nowait()
    except trio.WouldBlock:
        await server.send_lock.acquire()
    try:
        with trio.CancelScope(shield=True):
            for piece in pieces:
                await server.stream.send_all(piece)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TELL_S):
            await server.protocol.handle(Closed())
    finally:
        server.send_lock.release()
