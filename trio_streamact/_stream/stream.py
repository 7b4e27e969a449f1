"""The stream that a handler holds."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar, final

import trio

from .._protocol.encoding import encode_chunk
from .buffer import StreamIsClosed
from .writer import FrameWriter

ChunkT = TypeVar("ChunkT", contravariant=True)


@final
class Stream(trio.abc.SendChannel[ChunkT]):
    """A stream of chunks to one client, as its handler holds it.

    Several tasks of a handler may send; each one's chunks arrive in the order in which it sent them.

    It is a ``trio.abc.SendChannel``, so whatever sends to one can send to a client. ``async with stream:`` closes the
    stream at the end of its block, but leaves it open when the block raises: the exception is how the stream fails,
    unless the handler catches it.
    """

    __slots__ = ("_chunk_bytes", "_close", "_writer")

    def __init__(self, writer: FrameWriter, close: Callable[[], None]) -> None:
        self._writer = writer
        self._chunk_bytes = writer.limits.chunk_bytes
        self._close = close

    async def send(self, data: ChunkT) -> None:
        """Send *data* as one chunk; it leaves at once.

        Waits while the client is slow: when ``Limits.buffer_chunks`` chunks or ``Limits.buffer_bytes`` bytes wait.
        Otherwise it yields to other tasks only if they have waited for a while, so that chunks made in one go leave in
        one write. It checks for cancellation each time.

        Raises:
            trio.ClosedResourceError: The stream is closed.
            TypeError: *data* holds a value that is not JSON serializable.
            ValueError: *data* is an object with a key that ends streams.
            OversizedChunkError: *data* is larger than ``Limits.chunk_bytes``, encoded.
            trio.Cancelled: The client has left, the action's lifetime is over, or the server is shutting down.
        """
        writer = self._writer
        if not writer.buffer.is_open:  # first: a handler that is late is cancelled, too
            raise StreamIsClosed("the stream is closed")
        await trio.lowlevel.checkpoint_if_cancelled()
        frame = encode_chunk(data, self._chunk_bytes)
        if not writer.put_nowait(frame):
            await writer.put(frame)
        if writer.must_yield:
            await writer.yield_to_others()

    async def close(self) -> None:
        """Send the done frame: the stream is complete. Closing it again does nothing.

        The report of the stream says nothing of what the handler does afterwards, and a client that has read the end
        may leave, which cancels the handler: work that matters comes before.
        """
        self._close()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the stream: the same as ``close``, under the name that Trio gives it.

        The client takes the stream for complete, so a ``finally`` is no place for it: ``async with`` is.
        """
        await self.close()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        # Trio closes every other resource in either case. Here a close means success, and the client of a handler that
        # fails would take what it has for the whole.
        if exc_type is None:
            await self.close()

    @property
    def closed(self) -> bool:
        """Return True if the stream takes no more chunks."""
        return not self._writer.buffer.is_open
