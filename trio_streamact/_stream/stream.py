"""The stream that a handler holds."""

from __future__ import annotations

from typing import Generic, TypeVar, final

import trio

from .._protocol.encoding import encode_chunk
from .buffer import FrameChannel, StreamIsClosed

ChunkT = TypeVar("ChunkT")


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
