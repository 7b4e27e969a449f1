"""The stream that a handler sends to."""

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
    """A stream of chunks to one client.

    Several tasks of a handler may send. The chunks of each task arrive in the order in which the task sent them.

    It is a ``trio.abc.SendChannel``, so code for such a channel can send to a client. ``async with stream:`` closes the
    stream at the end of its block. If the block raises, the stream stays open: unless the handler catches the
    exception, it becomes the ending.
    """

    __slots__ = ("_chunk_bytes", "_close", "_writer")

    def __init__(self, writer: FrameWriter, close: Callable[[], None]) -> None:
        self._writer = writer
        self._chunk_bytes = writer.limits.chunk_bytes
        self._close = close

    async def send(self, data: ChunkT) -> None:
        """Send *data* as one chunk. It is written at once if the client's connection has room.

        If ``Limits.buffer_chunks`` chunks or ``Limits.buffer_bytes`` bytes wait for the client, this waits, too.
        Otherwise it yields to other tasks only now and then, so that chunks that follow each other directly share one
        write. It always checks for cancellation.

        Raises:
            trio.ClosedResourceError: The stream is closed.
            TypeError: *data* contains a value that is not JSON serializable.
            ValueError: *data* has the key ``__actions_done`` or ``__actions_error``, which would end the stream.
            OversizedChunkError: The encoded *data* is larger than ``Limits.chunk_bytes``.
            trio.Cancelled: The client has disconnected, ``lifetime_s`` has passed, or the server is shutting down.
        """
        writer = self._writer
        if not writer.buffer.is_open:  # before the check for cancellation: a late handler is cancelled, too
            raise StreamIsClosed("the stream is closed")
        await trio.lowlevel.checkpoint_if_cancelled()
        frame = encode_chunk(data, self._chunk_bytes)
        if not writer.put_nowait(frame):
            await writer.put(frame)
        if writer.must_yield:
            await writer.yield_to_others()

    async def close(self) -> None:
        """Send the done frame: the stream is complete. If the stream is already closed, do nothing.

        Do important work before this call. A client that has received the done frame may disconnect, which cancels the
        handler. The report of the stream does not contain what the handler does after this call.
        """
        self._close()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the stream. This is ``close``, under the name of ``trio.abc.AsyncResource``.

        Do not call it in a ``finally``: the client of a failed handler would receive the done frame. Use
        ``async with``.
        """
        await self.close()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        # Other Trio resources are closed in both cases. But closing a stream means success: the client of a failed
        # handler would treat the stream as complete.
        if exc_type is None:
            await self.close()

    @property
    def closed(self) -> bool:
        """Return True if the stream accepts no more chunks."""
        return not self._writer.buffer.is_open
