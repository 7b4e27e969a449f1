"""Writes that wait for nobody, that a close does not break, and whose failure everyone hears of.

Fault 1: hypercorn takes a lock round every write, and in trio that is a pass through the scheduler even when nobody
holds it: each chunk of a paced stream leaves later by as long as everything else that is ready takes.

Fault 2: it closes a connection without that lock, and trio refuses a write beside the close; on HTTP/2, where others
share the connection, their writes fail with a ``BusyResourceError`` that nobody expects.

Fault 3: a write that fails tells all streams of the connection, one after the other, in the task of one of them; told
itself, that one is cancelled, and those behind it never hear that their client is gone: their handlers run for ever.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import trio
from hypercorn.events import Closed, RawData

from .connection import Connection

TELL_S = 5.0
"""How long it may take to tell the streams of a connection that it is closed, in seconds."""


def take_free_lock_at_once(connection: Connection) -> None:
    """Let the connection's writes begin at once where its lock is free; nothing else changes."""
    connection.protocol.send = MethodType(_protocol_send, connection.server)


async def _protocol_send(self: Any, event: Any) -> None:
    """``TCPServer.protocol_send``, but for the faults."""
    if not isinstance(event, RawData):
        await self.protocol_send(event)
        return
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        self.send_lock.acquire_nowait()
    except trio.WouldBlock:
        await self.send_lock.acquire()
    try:
        with trio.CancelScope(shield=True):
            await self.stream.send_all(event.data)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TELL_S):
            await self.protocol.handle(Closed())
    finally:
        self.send_lock.release()
