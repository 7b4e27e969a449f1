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
    """The stream is closed, and takes no more chunks."""


@final
@attrs.define(eq=False)
class FrameBuffer:
    """Encoded frames, bounded in number and in bytes, and the senders that wait for room.

    A Trio memory channel lacks three things that a stream needs: a bound in bytes, which includes the write in
    progress; taking all frames at once; and a last frame that always has room, so that an ending never waits and no
    frame can follow it.

    It has no clock and calls no other object. The writer holds it, and decides when frames are taken.

    Attributes:
        is_open: True if it takes frames.
    """

    _limits: Limits
    is_open: bool = attrs.field(default=True, init=False)
    _frames: list[bytes] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=0, init=False)  # of the frames, including those of the write in progress
    _writing_bytes: int = attrs.field(default=0, init=False)
    _last: bytes | None = attrs.field(default=None, init=False)
    # In the order of their calls, each with its frame. A dictionary, so that a cancelled one is removed in constant
    # time.
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
        """Add *frame*, and return the number of frames. If there is no room, return 0.

        An empty buffer has room for a frame of any size. If senders wait, there is no room: they are served first.
        """
        frames, limits = self._frames, self._limits
        count, size_bytes = len(frames), self._bytes + len(frame)
        if (size_bytes > limits.buffer_bytes or count >= limits.buffer_chunks or self._senders) and self._bytes:
            return 0
        frames.append(frame)
        self._bytes = size_bytes
        return count + 1

    async def put(self, frame: bytes) -> None:
        """Wait until there is room, and add *frame*. If this is cancelled, the frame was not added.

        Raises:
            StreamIsClosed: The buffer was closed before there was room.
        """
        task = trio.lowlevel.current_task()

        def leave(_: object) -> trio.lowlevel.Abort:
            del self._senders[task]
            self._admit_senders()  # the next senders may have smaller frames
            return trio.lowlevel.Abort.SUCCEEDED

        self._senders[task] = frame
        await trio.lowlevel.wait_task_rescheduled(leave)

    def take(self, most_bytes: int, at_least: int = 1) -> list[bytes]:
        """Remove and return the frames of one write.

        They are as many as fit into *most_bytes*, but *at_least* this number of frames, if there are so many. They may
        include frames of senders that wait, because these are added as soon as there is room. The bytes count as part
        of the buffer until ``written`` is called.
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
        """Release the room of all frames that were taken."""
        self._bytes -= self._writing_bytes
        self._writing_bytes = 0
        if self._senders:
            self._admit_senders()

    def put_back(self, frames: list[bytes]) -> None:
        """Insert *frames*, which were taken but not written, before all other frames."""
        self._frames[:0] = frames
        self._writing_bytes -= sum(map(len, frames))

    def end(self, last: bytes) -> bool:
        """Add the *last* frame, even if there is no room, and close. If the buffer is already closed, return False."""
        if not self.is_open:
            return False
        self._last = last
        self._frames.append(last)
        self._bytes += len(last)
        self.close()
        return True

    def ends_with(self, frames: list[bytes]) -> bool:
        """Return True if the last one of *frames* is the frame that ``end`` added."""
        return bool(frames) and frames[-1] is self._last

    def close(self) -> None:
        """Take no more frames. Those that were added can still be taken."""
        self.is_open = False
        senders, self._senders = self._senders, OrderedDict()
        for task in senders:
            trio.lowlevel.reschedule(task, outcome.Error(StreamIsClosed("the stream is closed")))

    def drop(self) -> None:
        """Close the buffer, and drop all frames."""
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
