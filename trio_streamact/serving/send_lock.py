"""Writes that wait for nobody.

Fault: hypercorn takes a lock round every write, and in trio that is a pass through the scheduler even when nobody holds
it: each chunk of a paced stream leaves later by as long as everything else that is ready takes.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import trio
from hypercorn.events import Closed, RawData

from .connection import Connection


def take_free_lock_at_once(connection: Connection) -> None:
    """Let the connection's writes begin at once where its lock is free; nothing else changes."""
    connection.protocol.send = MethodType(_protocol_send, connection.server)


async def _protocol_send(self: Any, event: Any) -> None:
    """``TCPServer.protocol_send``, but for the lock."""
    if not isinstance(event, RawData):
        await self.protocol_send(event)
        return
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        self.send_lock.acquire_nowait()
    except trio.WouldBlock:
        await self.protocol_send(event)
        return
    try:
        with trio.CancelScope(shield=True):
            await self.stream.send_all(event.data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await self.protocol.handle(Closed())
    finally:
        self.send_lock.release()
