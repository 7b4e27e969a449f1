"""The bounded buffer between the senders of a stream and its writer."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import final

import attrs
import outcome
import trio

from ..limits import Limits


@final
class StreamIsClosed(trio.ClosedResourceError):
    """A handler sends on a stream that is closed."""


@final
@attrs.define(eq=False)
class FrameBuffer:
    """Encoded frames, bounded in number and in bytes, and the senders that wait for room.

    It differs from a Trio memory channel in what a stream needs: a bound in bytes, which counts what is being written
    too; all frames taken at once; and a last frame that always has room, so that the end of a stream never waits and no
    frame can follow it.

    It has no clock and calls nothing: the writer, which holds it, decides when frames are taken.

    Attributes:
        is_open: Whether it takes frames.
    """

    _limits: Limits
    is_open: bool = attrs.field(default=True, init=False)
    _frames: list[bytes] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=0, init=False)  # of the frames, and of what is being written
    _writing_bytes: int = attrs.field(default=0, init=False)
    _last: bytes | None = attrs.field(default=None, init=False)
    # In the order in which they came, each with its frame. One that is cancelled leaves from anywhere in constant time.
    _senders: OrderedDict[trio.lowlevel.Task, bytes] = attrs.field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_readable(self) -> bool:
        """Return True if there is a frame to take, or the buffer is closed."""
        return bool(self._frames) or not self.is_open

    @property
    def has_blocked_senders(self) -> bool:
        """Return True if senders wait for room."""
        return bool(self._senders)

    def put_nowait(self, frame: bytes) -> int:
        """Add *frame*, and return how many frames there are now; return 0 if there is no room.

        A frame that is alone has room however large it is. Senders that wait come first.
        """
        frames, limits = self._frames, self._limits
        count, size_bytes = len(frames), self._bytes + len(frame)
        if (size_bytes > limits.buffer_bytes or count >= limits.buffer_chunks or self._senders) and self._bytes:
            return 0
        frames.append(frame)
        self._bytes = size_bytes
        return count + 1

    async def put(self, frame: bytes) -> None:
        """Wait until there is room, and add *frame*. A sender that is cancelled has added nothing.

        Raises:
            StreamIsClosed: The buffer was closed before there was room.
        """
        task = trio.lowlevel.current_task()

        def leave(_: object) -> trio.lowlevel.Abort:
            del self._senders[task]
            self._admit_senders()  # those behind it may have smaller frames
            return trio.lowlevel.Abort.SUCCEEDED

        self._senders[task] = frame
        await trio.lowlevel.wait_task_rescheduled(leave)

    def take(self, most_bytes: int, at_least: int = 1) -> list[bytes]:
        """Remove and return the frames of one write: no more than *most_bytes* of them, or *at_least* so many.

        Each sender that waits adds its frame as soon as there is room, so those frames may be among them. Until they
        are ``written`` they count as bytes that the buffer holds.
        """
        taken: list[bytes] = []
        while self._frames:
            more, size_bytes = self._frames, self._bytes - self._writing_bytes
            if size_bytes <= most_bytes:
                self._frames = []
            else:
                sizes = list(accumulate(map(len, more)))
                count = max(bisect_right(sizes, most_bytes), at_least - len(taken))
                if not count:
                    break
                more, self._frames, size_bytes = more[:count], more[count:], sizes[count - 1]
            self._writing_bytes += size_bytes
            most_bytes -= size_bytes
            taken = taken + more if taken else more
            self._admit_senders()
        return taken

    def written(self) -> None:
        """Free the room of all frames that were taken."""
        self._bytes -= self._writing_bytes
        self._writing_bytes = 0
        if self._senders:
            self._admit_senders()

    def put_back(self, frames: list[bytes]) -> None:
        """Add *frames*, which were taken and not written, before all others."""
        self._frames[:0] = frames
        self._writing_bytes -= sum(map(len, frames))

    def end(self, last: bytes) -> bool:
        """Add the *last* frame, whether or not there is room, and close. Return False if the buffer is closed."""
        if not self.is_open:
            return False
        self._last = last
        self._frames.append(last)
        self._bytes += len(last)
        self.close()
        return True

    def ends_with(self, frames: list[bytes]) -> bool:
        """Return True if the last of *frames* is the one that ``end`` added."""
        return bool(frames) and frames[-1] is self._last

    def close(self) -> None:
        """Take no more frames. Those that were added can still be taken."""
        self.is_open = False
        senders, self._senders = self._senders, OrderedDict()
        for task in senders:
            trio.lowlevel.reschedule(task, outcome.Error(StreamIsClosed("the stream is closed")))

    def drop(self) -> None:
        """Close, and drop all frames."""
        self.close()
        self._frames, self._bytes, self._writing_bytes = [], 0, 0

    def _admit_senders(self) -> None:
        senders = self._senders
        while senders:
            task, frame = next(iter(senders.items()))
            if not self._has_room_for(frame):
                return
            del senders[task]
            self._frames.append(frame)
            self._bytes += len(frame)
            trio.lowlevel.reschedule(task)

    def _has_room_for(self, frame: bytes) -> bool:
        limits = self._limits
        return not self._bytes or (
            len(self._frames) < limits.buffer_chunks and self._bytes + len(frame) <= limits.buffer_bytes
        )
