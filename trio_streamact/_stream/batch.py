"""Batching: which frames leave in one write."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs
import trio

from .buffer import FrameBuffer

BATCH_WINDOW_S = 0.001
"""How long one write collects the frames of senders that are faster than the writes, in seconds."""


@final
@attrs.define(eq=False)
class Batch:
    """Collects the frames of one write: those in the buffer, and for a moment more of senders that waited for room.

    Such senders are faster than the writes, and a large write costs little more than a small one. A frame that comes
    alone is not delayed.

    Args:
        buffer: The buffer of the stream.
        take: Takes frames from it, as ``FrameBuffer.take`` does.
        most_bytes: Where the write is full.
    """

    _buffer: FrameBuffer
    _take: Callable[[int, int], list[bytes]]
    _most_bytes: int
    frames: list[bytes] = attrs.field(factory=list, init=False)
    _until: float | None = attrs.field(default=None, init=False)
    _missed: int = attrs.field(default=0, init=False)

    def goes_on(self) -> bool:
        """Take the frames that are there. Return True if this is to be called again in the next scheduler pass."""
        buffer = self._buffer
        if self._until is None:
            if not buffer.has_blocked_senders:
                self.frames = self._take(self._most_bytes, 1)
                return False
            self._until = trio.current_time() + BATCH_WINDOW_S
        more = self._take(self._most_bytes, not self.frames)
        self._most_bytes -= sum(map(len, more))
        self.frames += more
        self._missed = 0 if more else self._missed + 1
        # Trio runs the tasks that are ready in any order: a sender that got room may be a pass late, but not two.
        return self._missed < 2 and buffer.is_open and not len(buffer) and trio.current_time() < self._until
