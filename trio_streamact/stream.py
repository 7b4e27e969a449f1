"""What a handler holds, and the bounded way from it to the writer."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Generic, Self, TypeVar, final

import attrs
import trio

from .limits import Limits
from .wire import encode_chunk

ChunkT = TypeVar("ChunkT")


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
    _frames: deque[bytes] = attrs.field(factory=deque, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _open: bool = attrs.field(default=True, init=False)
    _last: bytes | None = attrs.field(default=None, init=False)
    # For both sides: senders wait while it is full, the reader while it is empty, so they never wait at once.
    _waiting: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)

    def __enter__(self) -> Self:
        return self

    # Plain `with`, never `async with`: an `aclose()` is a checkpoint, where a Cancelled replaces the error in flight.
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether frames are still taken."""
        return self._open

    @property
    def is_readable(self) -> bool:
        """Whether a reader would find a frame, or the end."""
        return bool(self._frames) or not self._open

    def put_nowait(self, frame: bytes) -> bool:
        """Put *frame* if there is room; say whether there was."""
        if not self._has_room(len(frame)):
            return False
        self._append(frame)
        return True

    async def put(self, frame: bytes) -> None:
        """Put *frame*, and wait for room first.

        Raises:
            trio.ClosedResourceError: The channel was closed meanwhile.
        """
        began = trio.current_time()
        try:
            while not self._has_room(len(frame)):
                await self._waiting.park()
                if not self._open:
                    raise trio.ClosedResourceError("the stream is closed")
        finally:
            self.waited_s += trio.current_time() - began
        self._append(frame)

    def end(self, last: bytes) -> bool:
        """Put the *last* frame, for which there is always room, and close; say whether this was the end."""
        if not self._open:
            return False
        self._last = last
        self._append(last)
        self.close()
        return True

    def close(self) -> None:
        """Take no more frames; those that wait can still be read."""
        self._open = False
        self._waiting.unpark_all()

    async def wait_readable(self) -> None:
        """Wait until there is a frame, or the end."""
        if not self.is_readable:
            await self._waiting.park()

    def take(self, most_bytes: int) -> tuple[list[bytes], bool]:
        """Take the frames that wait, but no more than *most_bytes* of them, or one; and say if that was the last.

        No frames and not the last: the channel was closed without a last one.
        """
        if self._bytes <= most_bytes:
            frames = list(self._frames)
            self._frames.clear()
            self._bytes = 0
        else:
            frames = [self._frames.popleft()]
            taken = len(frames[0])
            while self._frames and taken + len(self._frames[0]) <= most_bytes:
                frames.append(self._frames.popleft())
                taken += len(frames[-1])
            self._bytes -= taken
        if self._waiting:
            self._waiting.unpark_all()
        return frames, bool(frames) and frames[-1] is self._last

    def _has_room(self, size_bytes: int) -> bool:
        count = len(self._frames)
        return not count or (count < self.limits.buffer_chunks and self._bytes + size_bytes <= self.limits.buffer_bytes)

    def _append(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._bytes += len(frame)
        if self._waiting:
            self._waiting.unpark_all()


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
        Otherwise it does not yield to other tasks, so that chunks made in one go leave in one write.

        Raises:
            trio.ClosedResourceError: The stream is closed.
            TypeError: *data* holds something that JSON cannot say.
            ValueError: *data* is an object with a key that ends streams.
            OversizedChunkError: *data* is larger than ``Limits.chunk_bytes``, encoded.
            trio.Cancelled: The client has left, the action's lifetime is over, or the server is shutting down.
        """
        if not self._channel.is_open:
            raise trio.ClosedResourceError("the stream is closed")
        await trio.lowlevel.checkpoint_if_cancelled()
        frame = encode_chunk(data, self._chunk_bytes)
        if not self._channel.put_nowait(frame):
            await self._channel.put(frame)

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
