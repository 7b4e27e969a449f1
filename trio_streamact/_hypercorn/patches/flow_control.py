"""How hypercorn's buffers of HTTP/2 let writers wait.

Fault 1: ``StreamBuffer.pop`` lets a writer go on when the piece it has just popped is short, instead of when what
remains is. With the flow-control window at zero every piece is empty, so every write goes through, and a client that
opens no window fills the server's memory (hundreds of megabytes a second).

Fault 2: whoever waits for a finished stream to be flushed is woken when its last bytes are popped, before its end is
sent; or does not wait at all, if they were popped before it was finished. At shutdown the connection is then closed
under the end of a stream, and its client waits.

Fault 3: the buffer of a stream that is reset stays, and its node in the tree of priorities, unless the send task finds
that h2 has forgotten the stream, which h2 does at the next request. The tree refuses the 1001st node with an exception
that ends the connection and all streams on it.

Fault 4: of two that wait for room in one buffer, an app and the reader of its WebSocket, one may wait on an event that
the other has replaced: forever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from hypercorn.protocol import h2
from priority.priority import MissingStreamError

from .versions import can_repair


def repair() -> None:
    """Make writers wait until little remains, and until an end is sent."""
    if getattr(h2.StreamBuffer.pop, "repaired", False):
        return
    if not can_repair("backpressure on HTTP/2", h2.StreamBuffer, ("pop", "push", "drain", "set_complete")):
        return
    if not can_repair("the end of streams of HTTP/2", h2.H2Protocol, ("_send_data", "send_task")):
        return
    send_data: Callable[[Any, int], Awaitable[None]] = h2.H2Protocol._send_data

    async def send_data_and_tell(self: Any, stream_id: int) -> None:
        buffer = self.stream_buffers.get(stream_id)
        try:
            await send_data(self, stream_id)
        except KeyError:  # its buffer was freed while a piece of it was written
            await free(self, stream_id)
        if buffer is not None and stream_id not in self.stream_buffers:
            await buffer._is_empty.set()  # its end is sent

    pop.repaired = True  # type: ignore[attr-defined]
    pop.original = h2.StreamBuffer.pop  # type: ignore[attr-defined]
    push.original = h2.StreamBuffer.push  # type: ignore[attr-defined]
    h2.StreamBuffer.pop = pop  # type: ignore[method-assign]
    push.original = h2.StreamBuffer.push  # type: ignore[attr-defined]
    h2.StreamBuffer.push = push  # type: ignore[method-assign]
    h2.StreamBuffer.set_complete = set_complete  # type: ignore[method-assign]
    h2.H2Protocol._send_data = send_data_and_tell  # type: ignore[method-assign]


async def push(self: Any, data: bytes) -> None:
    if self._complete:
        raise h2.BufferCompleteError
    self.buffer.extend(data)
    await self._is_empty.clear()
    while len(self.buffer) >= h2.BUFFER_HIGH_WATER and not self._complete:
        if self._paused.is_set():  # else somebody may wait on it
            await self._paused.clear()
        await self._paused.wait()


async def pop(self: Any, max_length: int) -> bytes:
    length = min(len(self.buffer), max_length)
    data = bytes(self.buffer[:length])
    del self.buffer[:length]
    self.taken_bytes = getattr(self, "taken_bytes", 0) + length
    if len(self.buffer) < h2.BUFFER_LOW_WATER:
        await self._paused.set()
    if not self.buffer and not self._complete:
        await self._is_empty.set()
    return data


def set_complete(self: Any) -> None:
    if not self._complete:  # by a close, which has woken everyone for good
        self._complete = True
        self._is_empty = type(self._is_empty)()  # until its end is sent


async def free(protocol: Any, stream_id: int) -> None:
    """Free the buffer and the node of a stream that is over, and wake who waits for the buffer.

    What the app still sends on the stream is dropped, since hypercorn finds no buffer for it.
    """
    buffer = protocol.stream_buffers.pop(stream_id, None)
    with suppress(MissingStreamError):
        protocol.priority.remove_stream(stream_id)
    if buffer is not None:
        await buffer.close()
