"""Batching: which frames share one write."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs
import trio

from .buffer import FrameBuffer

BATCH_WINDOW_S = 0.001
"""The longest time that one write collects frames, if senders are faster than the writes, in seconds."""


@final
@attrs.define(eq=False)
class Batch:
    """Collects the frames of one write: those in the buffer, and for a short time those of senders that wait for room.

    Such senders are faster than the writes, and a large write costs little more than a small one. A single frame is not
    delayed.

    Args:
        buffer: The buffer of the stream.
        take: The function that takes frames from the buffer, as ``FrameBuffer.take`` does.
        most_bytes: The largest write, in bytes.
    """

    _buffer: FrameBuffer
    _take: Callable[[int, int], list[bytes]]
    _most_bytes: int
    frames: list[bytes] = attrs.field(factory=list, init=False)
    _until: float | None = attrs.field(default=None, init=False)
    _missed: int = attrs.field(default=0, init=False)

    def goes_on(self) -> bool:
        """Take the available frames. Return True if this must be called again in the next scheduler pass."""
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
        # Trio runs ready tasks in any order. So a sender that has got room may send one pass later, but not two.
        return self._missed < 2 and buffer.is_open and not len(buffer) and trio.current_time() < self._until
