"""What a handler holds, and the bounded way from it to the writer."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from itertools import accumulate
from types import TracebackType
from typing import Generic, Self, TypeVar, final

import attrs
import trio

from .._protocol.encoding import encode_chunk
from ..limits import Limits

ChunkT = TypeVar("ChunkT")

GATHER_S = 0.001
"""For how long one write gathers what senders send who are faster than the writes, in seconds."""


@final
class StreamIsClosed(trio.ClosedResourceError):
    """A handler sends on a stream that is closed."""


@final
@attrs.define(eq=False)
class FrameChannel:
    """Encoded frames on their way from the handler to the writer, bounded in number and in bytes.

    It differs from a trio memory channel in what a stream needs: a bound in bytes, which counts what is being written
    too; all that waits taken at once; and a last frame that always has room, so that the end of a stream never waits
    and nothing can come between.

    Senders that find no room wait in a line. Where room is made, their frames are put, the first in line first, and no
    other sender is woken. So a sender never looks in vain, and none is overtaken.
    """

    limits: Limits
    waited_s: float = attrs.field(default=0.0, init=False)
    """How long senders have waited for room, in seconds."""
    is_open: bool = attrs.field(default=True, init=False)
    """Whether frames are still taken."""
    _frames: list[bytes] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=0, init=False)  # of the frames, and of what is being written
    _writing_bytes: int = attrs.field(default=0, init=False)
    _last: bytes | None = attrs.field(default=None, init=False)
    _reader: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    # An OrderedDict removes its first member, or any, in the same time however long it is. Most streams need none.
    _senders: OrderedDict[trio.lowlevel.Task, bytes] | None = attrs.field(default=None, init=False)
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
        return bool(self._senders)

    def put_nowait(self, frame: bytes) -> bool:
        """Put *frame* if there is room, as there is for any frame that is alone; return whether there was."""
        frames, limits = self._frames, self.limits
        size_bytes = self._bytes + len(frame)
        if (size_bytes > limits.buffer_bytes or len(frames) >= limits.buffer_chunks or self._senders) and self._bytes:
            return False
        is_readable = bool(frames)
        frames.append(frame)
        self._bytes = size_bytes
        if not is_readable:
            self.wake()
            if self.on_readable is not None:
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
            if not (self.put_nowait(frame) or await self._stand_in_line(frame)):
                raise StreamIsClosed("the stream is closed")
        finally:
            self.waited_s += trio.current_time() - began

    async def _stand_in_line(self, frame: bytes) -> bool:
        """Wait until *frame* was put, or the channel is closed; return whether it was put."""
        task = trio.lowlevel.current_task()
        senders = self._senders = OrderedDict() if self._senders is None else self._senders

        def give_up(_: object) -> trio.lowlevel.Abort:
            del senders[task]
            self._let_in()  # the next ones may have smaller frames
            return trio.lowlevel.Abort.SUCCEEDED

        senders[task] = frame
        await trio.lowlevel.wait_task_rescheduled(give_up)
        return task not in senders

    def _let_in(self) -> None:
        """Put the frames of the senders that stand in line, as far as there is room."""
        senders, limits = self._senders, self.limits
        while senders:
            task, frame = next(iter(senders.items()))
            size_bytes = self._bytes + len(frame)
            if (size_bytes > limits.buffer_bytes or len(self._frames) >= limits.buffer_chunks) and self._bytes:
                break
            del senders[task]
            self._frames.append(frame)
            self._bytes = size_bytes
            self._put_at = self._clock.current_time()
            trio.lowlevel.reschedule(task)

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
        refused, self._senders = self._senders, None
        for task in refused or ():
            trio.lowlevel.reschedule(task)

    def drop(self) -> None:
        """Close, and forget the frames that wait: nothing will be written any more."""
        self.close()
        self._frames, self._bytes, self._writing_bytes = [], 0, 0

    async def wait(self) -> None:
        """Wait as the reader, of which there is one, until there is something to read, or until ``wake``."""

        def give_up(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(give_up)

    def wake(self) -> None:
        """Have the reader look again."""
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

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
        self._writing_bytes -= sum(map(len, frames))

    def take(self, most_bytes: int, at_least: int = 1) -> list[bytes]:
        """Take the frames that wait, but no more than *most_bytes* of them, or *at_least* so many.

        Until they are ``written`` they count as what waits, in bytes.
        """
        frames = self._frames
        self._put_at = math.inf
        waiting_bytes = self._bytes - self._writing_bytes
        if waiting_bytes <= most_bytes:
            self._frames, self._writing_bytes = [], self._bytes
        else:
            count = max(bisect_right(list(accumulate(map(len, frames))), most_bytes), at_least)
            frames, self._frames = frames[:count], frames[count:]
            self._writing_bytes += sum(map(len, frames))
        if self._senders:
            self._let_in()
        return frames

    def written(self) -> None:
        """Give back the room of all that was taken."""
        self._bytes -= self._writing_bytes
        self._writing_bytes = 0
        if self._senders:
            self._let_in()

    def fits(self, most_bytes: int) -> bool:
        """Return True if the next frame has no more than *most_bytes*, or there is none."""
        return not self._frames or len(self._frames[0]) <= most_bytes


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
        # Trio runs what is ready in any order: a sender that got room may be a turn late, but not two.
        is_expected = self._missed < 2 and channel.is_open and channel.fits(self._most_bytes)
        return is_expected and trio.current_time() < self._until


@final
class Stream(Generic[ChunkT]):
    """A stream of chunks to one client, as its handler holds it.

    Several tasks of a handler may send; each one's chunks arrive in the order in which it sent them.
    """

    __slots__ = ("_channel", "_chunk_bytes", "_done")

    def __init__(self, channel: FrameChannel, done: bytes) -> None:
        self._channel = channel
        self._chunk_bytes = channel.limits.chunk_bytes
        self._done = done

    async def send(self, data: ChunkT) -> None:
        """Send *data* as one chunk; it leaves at once.

        Waits while the client is slow: when ``Limits.buffer_chunks`` chunks or ``Limits.buffer_bytes`` bytes wait.
        Otherwise it yields to other tasks only where they have waited for a while, so that chunks made in one go leave
        in one write.

        Raises:
            trio.ClosedResourceError: The stream is closed.
            TypeError: *data* holds something that JSON cannot say.
            ValueError: *data* is an object with a key that ends streams.
            OversizedChunkError: *data* is larger than ``Limits.chunk_bytes``, encoded.
            trio.Cancelled: The client has left, the action's lifetime is over, or the server is shutting down.
        """
        if not self._channel.is_open:  # first: a handler that is late is cancelled, too
            raise StreamIsClosed("the stream is closed")
        await trio.lowlevel.checkpoint_if_cancelled()
        frame = encode_chunk(data, self._chunk_bytes)
        if not self._channel.put_nowait(frame):
            await self._channel.put(frame)
        if self._channel.owes_turn:
            await self._channel.let_others_run()

    async def close(self) -> None:
        """Tell the client that the stream is complete. Closing it again does nothing.

        What the handler does afterwards is no longer told to anyone, and a client that has read the end may leave,
        which cancels the handler: work that matters comes before.
        """
        self._channel.end(self._done)
        await trio.lowlevel.checkpoint()

    @property
    def closed(self) -> bool:
        """Whether the stream takes no more chunks."""
        return not self._channel.is_open
