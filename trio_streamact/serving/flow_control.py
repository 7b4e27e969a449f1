"""Backpressure on HTTP/2.

Fault: hypercorn's ``StreamBuffer.pop`` lets the writer go on when the piece it has just popped is short, instead of
when what remains is. With the flow-control window at zero every piece is empty, so every write goes through, and a
client that opens no window fills the server's memory (hundreds of megabytes a second).
"""

from __future__ import annotations

from typing import Any

from hypercorn.protocol import h2

from .versions import can_repair


def repair() -> None:
    """Make writers wait until what remains is below the low-water mark."""
    parts = ("pop", "push", "drain")
    if getattr(h2.StreamBuffer.pop, "repaired", False) or not can_repair("backpressure", h2.StreamBuffer, parts):
        return
    pop.repaired = True  # type: ignore[attr-defined]
    h2.StreamBuffer.pop = pop  # type: ignore[method-assign]


async def pop(self: Any, max_length: int) -> bytes:
    length = min(len(self.buffer), max_length)
    data = bytes(self.buffer[:length])
    del self.buffer[:length]
    if len(self.buffer) < h2.BUFFER_LOW_WATER:
        await self._paused.set()
    if not self.buffer:
        await self._is_empty.set()
    return data
