"""The bounded buffer between the senders of a stream and its writer."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from types import TracebackType
from typing import Self, final

import attrs
import trio

from ..limits import Limits

GATHER_S = 0.001
"""For how long one write gathers what senders send who are faster than the writes, in seconds."""


@final
class StreamIsClosed(trio.ClosedResourceError):
    """A handler sends on a stream that is closed."""


@final
@attrs.define(eq=False)
class FrameChannel:
    """Encoded frames on their way from the handler to the writer, bounded in number and in bytes.

    It differs from a trio memory channel in what a stream needs: a bound in bytes, all that waits taken at once, and
    a last frame that always has room, so that the end of a stream never waits and nothing can come between.
    """

    limits: Limits
    waited_s: float = attrs.field(default=0.0, init=False)
    """How long senders have waited for room, in seconds."""
    is_open: bool = attrs.field(default=True, init=False)
    """Whether frames are still taken."""
    _frames: list[bytes] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _last: bytes | None = attrs.field(default=None, init=False)
    # For both sides: senders wait while it is full, the reader while it is empty, so they never wait at once.
    # Plain tasks and no `ParkingLot`, which is ten times as large.
    _waiting: list[trio.lowlevel.Task] = attrs.field(factory=list, init=False)
    on_readable: Callable[[], None] | None = attrs.field(default=None, init=False)
    """Called when there is something to read again, for a reader that does not wait."""
    owes_turn: bool = attrs.field(default=False, init=False)
    """Whether the sender is to let others run: the reader, above all, if it has worked since its last frame."""
    _put_at: float = attrs.field(default=math.inf, init=False)  # the last frame, or never if it was read since
    # The clock behind trio.current_time(), which asks it through two more calls: a tenth of what a chunk costs.
    _clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock, init=False)

    def __enter__(self) -> Self:
        return self

    # Plain `with`, never `async with`: an `aclose()` is a checkpoint, where a Cancelled replaces the error in flight.
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def has_frames(self) -> bool:
        """Whether frames wait."""
        return bool(self._frames)

    @property
    def is_readable(self) -> bool:
        """Whether a reader would find a frame, or the end."""
        return bool(self._frames) or not self.is_open

    @property
    def is_pressed(self) -> bool:
        """Whether senders wait for room."""
        return bool(self._waiting and self._frames)

    def put_nowait(self, frame: bytes) -> bool:
        """Put *frame* if there is room, of which one frame always finds enough; say whether there was."""
        frames, size_bytes = self._frames, self._bytes + len(frame)
        if not frames:
            if self._waiting:
                self.wake()  # nobody but the reader
        elif len(frames) >= self.limits.buffer_chunks or size_bytes > self.limits.buffer_bytes:
            return False
        frames.append(frame)
        self._bytes = size_bytes
        if self.on_readable is not None and len(frames) == 1:
            self.on_readable()
        now = self._clock.current_time()
        if now - self._put_at >= GATHER_S:
            self.owes_turn = True
        self._put_at = now
        return True

    async def put(self, frame: bytes) -> None:
        """Put *frame*, and wait for room first.

        Raises:
            trio.ClosedResourceError: The channel was closed meanwhile.
        """
        began = trio.current_time()
        try:
            while not self.put_nowait(frame):
                await self.wait()
                if not self.is_open:
                    raise StreamIsClosed("the stream is closed")
        finally:
            self.waited_s += trio.current_time() - began

    async def let_others_run(self) -> None:
        """Do what is owed. It cannot be cancelled, since what was put is put."""
        self.owes_turn, put_at = False, self._put_at
        for _ in range(2):  # trio runs what is ready in any order
            await trio.lowlevel.cancel_shielded_checkpoint()
        if self._put_at == math.inf:
            self._put_at = put_at  # without this it would not have been read

    def end(self, last: bytes) -> bool:
        """Put the *last* frame, for which there is always room, and close; say whether this was the end."""
        if not self.is_open:
            return False
        self._last = last
        self._frames.append(last)
        self._bytes += len(last)
        self.close()
        if self.on_readable is not None:
            self.on_readable()
        return True

    def close(self) -> None:
        """Take no more frames; those that wait can still be read."""
        self.is_open = False
        self.wake()

    def drop(self) -> None:
        """Close, and forget the frames that wait: nothing will be written any more."""
        self.close()
        self._frames, self._bytes = [], 0

    async def wait(self) -> None:
        """Wait until the other side has done something, or until ``wake``."""
        task = trio.lowlevel.current_task()

        def give_up(_: object) -> trio.lowlevel.Abort:
            self._waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiting.append(task)
        await trio.lowlevel.wait_task_rescheduled(give_up)

    def ends_with(self, frames: list[bytes]) -> bool:
        """Whether the last of *frames* is the last of all. If there are none, it was closed without a last one."""
        return bool(frames) and frames[-1] is self._last

    async def gather(self, most_bytes: int) -> list[bytes]:
        """Take what one write takes; see ``Gathering``."""
        gathering = Gathering(self, most_bytes)
        while gathering.goes_on():
            await trio.lowlevel.checkpoint()
        return gathering.frames

    def put_back(self, frames: list[bytes]) -> None:
        """Put *frames*, which were taken and not written, in front of the others."""
        self._frames[:0] = frames
        self._bytes += sum(map(len, frames))

    def take(self, most_bytes: int, at_least: int = 1) -> list[bytes]:
        """Take the frames that wait, but no more than *most_bytes* of them, or *at_least* so many."""
        frames = self._frames
        self._put_at = math.inf
        if self._bytes <= most_bytes:
            self._frames, self._bytes = [], 0
        else:
            count = max(bisect_right(list(accumulate(map(len, frames))), most_bytes), at_least)
            frames, self._frames = frames[:count], frames[count:]
            self._bytes -= sum(map(len, frames))
        if self._waiting:
            self.wake()
        return frames

    def wake(self) -> None:
        """Have whoever waits look again."""
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            trio.lowlevel.reschedule(task)


@final
@attrs.define(eq=False)
class Gathering:
    """What one write takes: the frames that wait, and for a moment more of senders that had to wait for room.

    Those are faster than the writes, of which a large one costs hardly more than a small one. Nobody else is waited
    for, so a frame that comes alone leaves at once.
    """

    _channel: FrameChannel
    _most_bytes: int
    frames: list[bytes] = attrs.field(factory=list, init=False)
    _until: float | None = attrs.field(default=None, init=False)
    _missed: int = attrs.field(default=0, init=False)

    def goes_on(self) -> bool:
        """Take what is there, and say whether to come again when all others have had their turn."""
        channel = self._channel
        if self._until is None:
            if not channel.is_pressed:
                self.frames = channel.take(self._most_bytes)
                return False
            self._until = trio.current_time() + GATHER_S
        more = channel.take(self._most_bytes, at_least=not self.frames)
        self._most_bytes -= sum(map(len, more))
        self.frames += more
        self._missed = 0 if more else self._missed + 1
        # Trio runs what is ready in any order: whoever got room may be a turn late, but not two.
        return self._missed < 2 and channel.is_open and not channel.has_frames and trio.current_time() < self._until
