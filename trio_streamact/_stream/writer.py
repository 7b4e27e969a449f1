"""The two ways from a stream's frames to the server: pulled by the response, or pushed by the sender.

A `PullWriter` joins frames to the parts of a response body, which the server asks for one by one; whatever stands
between the app and the server sees each part. A `PushWriter` writes to the socket in the step of the sender, where
nothing stands between.
"""

from __future__ import annotations

from enum import Enum
from types import TracebackType
from typing import Self, final

import attrs
import trio

from .._common.logs import log
from .._hypercorn import Exchange, Scheduler
from .._protocol.encoding import HEARTBEAT
from ..limits import Limits
from .batch import BATCH_WINDOW_S, Batch
from .buffer import FrameBuffer
from .fairness import FairSender

HEAD_WAIT_PASSES = 2
"""For how many scheduler passes the head of a response waits for the first frame, to leave in one write with it. Two,
since Trio runs the tasks that are ready in any order."""

MAX_SYNC_WRITES = 16
"""After how many writes in its own step a sender yields to other tasks, should it never wait for anything else."""


class _Progress(Enum):
    """How far the last frame has come."""

    NOT_TAKEN = "not taken"
    TAKEN = "taken"
    DELIVERED = "delivered"


@attrs.define(eq=False)
class FrameWriter(FairSender):
    """Owns the frames of one stream from ``send`` to the server, and counts what it writes.

    Attributes:
        limits: The limits of the stream.
        exchange: Where the frames are written.
        buffer: The frames that are not yet written.
        chunks: Chunks handed to the server.
        written_bytes: Bytes handed to the server, endings and heartbeats included.
        first_chunk_at: When the first chunk was handed to the server, in Trio's time, or None.
        waited_s: How long senders have waited for room, in seconds.
    """

    limits: Limits
    exchange: Exchange
    buffer: FrameBuffer = attrs.field(init=False)
    chunks: int = attrs.field(default=0, init=False)
    written_bytes: int = attrs.field(default=0, init=False)
    first_chunk_at: float | None = attrs.field(default=None, init=False)
    waited_s: float = attrs.field(default=0.0, init=False)
    _last_frame: _Progress = attrs.field(default=_Progress.NOT_TAKEN, init=False)

    @buffer.default
    def _new_buffer(self) -> FrameBuffer:
        return FrameBuffer(self.limits)

    @property
    def is_delivered(self) -> bool:
        """Return True if the server has taken the last frame while the client was still there."""
        return self._last_frame is _Progress.DELIVERED

    # Plain `with`, never `async with`: an `aclose()` is a checkpoint, where a Cancelled replaces the error in flight.
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more frames. Those that were added are still written."""
        self.buffer.close()

    def put_nowait(self, frame: bytes) -> bool:
        """Add *frame*, and return True; return False if there is no room."""
        count = self.buffer.put_nowait(frame)
        if count <= 1:
            if not count:
                return False
            self._frame_added()
        # The rule of `FairSender`, without a call: this is done for every chunk.
        now = self._clock.current_time()
        if now - self._added_at >= BATCH_WINDOW_S:
            self.must_yield = True
        self._added_at = now
        return True

    async def put(self, frame: bytes) -> None:
        """Wait until there is room, and add *frame*.

        Raises:
            StreamIsClosed: The stream was closed before there was room.
        """
        began = trio.current_time()
        try:
            await self.buffer.put(frame)
        finally:
            self.waited_s += trio.current_time() - began
        if len(self.buffer):
            self._added_at = self._clock.current_time()

    def end(self, last: bytes) -> None:
        """Add the *last* frame, and take no more."""
        if self.buffer.end(last):
            self._frame_added()

    def _take(self, most_bytes: int, at_least: int = 1) -> list[bytes]:
        self.note_taken()
        return self.buffer.take(most_bytes, at_least)

    def _count(self, frames: list[bytes]) -> bytes:
        """Count *frames*, which are about to be written, and return them joined."""
        chunks = len(frames)
        if self.buffer.ends_with(frames):
            self._last_frame, chunks = _Progress.TAKEN, chunks - 1
        if chunks and self.first_chunk_at is None:
            self.first_chunk_at = trio.current_time()
        self.chunks += chunks
        joined = frames[0] if len(frames) == 1 else b"".join(frames)
        self.written_bytes += len(joined)
        return joined

    def _note_delivery(self) -> None:
        """Note that the server has taken what was written."""
        # A server takes what is sent to a client that has left, too.
        if self._last_frame is _Progress.TAKEN and not self.exchange.is_over:
            self._last_frame = _Progress.DELIVERED

    def _frame_added(self) -> None:
        """React to a frame in a buffer that was empty, or to the last frame."""
        raise NotImplementedError

    def beat(self) -> None:
        """Write a heartbeat. The exchange calls this when the stream has been idle for ``heartbeat_s``."""
        raise NotImplementedError


@final
@attrs.define(eq=False)
class PullWriter(FrameWriter):
    """Joins frames to the parts of a response body, which the server asks for one by one."""

    _reader: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    _had_first_pass: bool = attrs.field(default=False, init=False)
    _is_beat_due: bool = attrs.field(default=False, init=False)

    async def next_part(self) -> bytes | None:
        """Wait for the frames of the next write, or for a heartbeat; return None after the last frame."""
        self.buffer.written()  # the server asks for more, so it has taken the part before
        if self._last_frame is not _Progress.NOT_TAKEN:
            self._note_delivery()
            return None
        if not self.buffer.is_readable and not await self._wait_readable():
            self.written_bytes += len(HEARTBEAT)
            self.exchange.watchdog.note_write(trio.current_time())
            return HEARTBEAT
        batch = Batch(self.buffer, self._take, self.limits.write_bytes)
        while batch.goes_on():
            await trio.lowlevel.checkpoint()
        if not batch.frames:
            # Closed without a last frame: the handler was cancelled, or is about to fail the response, from outside.
            await trio.sleep_forever()
        self.exchange.watchdog.note_write(trio.current_time())
        return self._count(batch.frames)

    def close(self) -> None:
        """Take no more frames. Those that were added are still parts of the body."""
        self.buffer.close()
        self._wake_reader()

    def beat(self) -> None:
        """Return a heartbeat as the next part."""
        self._is_beat_due = True
        self._wake_reader()

    def _frame_added(self) -> None:
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    async def _wait_readable(self) -> bool:
        """Wait for a frame, and return True; return False when a heartbeat is due instead."""
        buffer = self.buffer
        if not self._had_first_pass:
            self._had_first_pass = True
            for _ in range(HEAD_WAIT_PASSES):
                await trio.lowlevel.checkpoint()
                if buffer.is_readable:
                    return True
            await self.exchange.flush()  # the head: the handler takes its time
        self._is_beat_due = False
        while not (buffer.is_readable or self._is_beat_due):
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        return buffer.is_readable

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED


class _Pushing(Enum):
    """What a `PushWriter` does with the next frame."""

    STOPPED = "stopped"
    """Nothing: it has not begun, or ``finish`` writes what is left."""
    IDLE = "idle"
    """It writes the frame at once."""
    SCHEDULED = "scheduled"
    """The frame leaves in the next scheduler pass."""
    FAILED = "failed"
    """Nothing: a write raised an unexpected exception."""


@final
@attrs.define(eq=False)
class PushWriter(FrameWriter):
    """Writes frames to the socket in the step of their sender; it has no task of its own.

    A frame that comes alone is written before its sender goes on. Those that follow within ``BATCH_WINDOW_S`` leave
    together, in the next scheduler pass; so does what waited for the kernel.

    Args:
        on_failure: Is cancelled when a write raises an unexpected exception: the client can be sent nothing any more.
    """

    _on_failure: trio.CancelScope
    ends_response: bool = attrs.field(default=False, init=False)
    """Whether the end of the response leaves with the last frame, although the handler is not over."""
    _scheduler: Scheduler = attrs.field(factory=Scheduler.current, init=False)
    _state: _Pushing = attrs.field(default=_Pushing.STOPPED, init=False)
    _head_passes: int | None = attrs.field(default=HEAD_WAIT_PASSES, init=False)
    _wrote_at: float = attrs.field(default=0.0, init=False)
    _in_a_row: int = attrs.field(default=0, init=False)
    _flushed: trio.Event | None = attrs.field(default=None, init=False)
    _batch: Batch | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Begin with the head, which leaves even if no frame comes."""
        self._state = _Pushing.IDLE
        self._schedule()

    def stop(self) -> None:
        """Begin no more writes."""
        if self._state is not _Pushing.FAILED:
            self._state = _Pushing.STOPPED
        if self._batch is not None:
            self.buffer.put_back(self._batch.frames)
            self._batch = None

    @trio.lowlevel.enable_ki_protection
    async def finish(self) -> None:
        """Write all frames that are left, and the end of the response with the last one."""
        self.stop()
        if self._flushed is not None:
            await self._flushed.wait()
        if self._state is _Pushing.FAILED:
            return
        try:
            while len(self.buffer):
                frames = self._take(self.limits.write_bytes)
                if not self.exchange.write_nowait(
                    self._count(frames), trio.current_time(), self.buffer.ends_with(frames)
                ):
                    await self.exchange.flush()
                self.buffer.written()
        except Exception:
            self._fail()
        else:
            self._note_delivery()

    def beat(self) -> None:
        """Write a heartbeat, if the stream is open."""
        if self.buffer.is_open:
            self.written_bytes += len(HEARTBEAT)
            self._write(HEARTBEAT, trio.current_time())

    @trio.lowlevel.enable_ki_protection  # in the middle of this a Ctrl-C would lose a frame, or write it twice
    def _frame_added(self) -> None:
        if self._state is not _Pushing.IDLE or self._flushed is not None:
            return
        now = self._clock.current_time()
        if self.buffer.is_open and now - self._wrote_at >= BATCH_WINDOW_S:
            self._in_a_row += 1
            if self._in_a_row == MAX_SYNC_WRITES:
                self._in_a_row, self.must_yield = 0, True
            self._write_frames(self._take(self.limits.write_bytes), now)
        else:
            self._schedule()

    def _schedule(self) -> None:
        if self._state is _Pushing.IDLE:
            self._state = _Pushing.SCHEDULED
            self._scheduler.run_soon(self._write_scheduled)

    def _write_scheduled(self) -> None:
        if self._state is not _Pushing.SCHEDULED:
            return
        self._state = _Pushing.IDLE
        if self._batch is None and len(self.buffer):
            self._batch = Batch(self.buffer, self._take, self.limits.write_bytes)
        if self._batch is not None:
            if self._batch.goes_on():
                self._schedule()
            else:
                frames, self._batch = self._batch.frames, None
                self._write_frames(frames, trio.current_time())
        elif self._head_passes:
            self._head_passes -= 1
            self._schedule()
        elif self._head_passes is not None:
            self._write(b"", trio.current_time())  # the head: the handler takes its time

    def _write_frames(self, frames: list[bytes], now: float) -> None:
        self._write(self._count(frames), now, self.ends_response and self.buffer.ends_with(frames))

    def _write(self, body: bytes, now: float, ends: bool = False) -> None:
        self._head_passes = None
        self._wrote_at = now
        try:
            is_written = self.exchange.write_nowait(body, now, ends)
        except Exception:
            self._fail()  # and raise nothing: in a sender's step the handler would get it, and might catch it
            return
        if is_written:
            self._on_flushed()
        else:
            self._flushed = trio.Event()
            self._scheduler.spawn(self._flush)

    async def _flush(self) -> None:
        try:
            await self.exchange.flush()
        except Exception:
            self._fail()
        else:
            self._on_flushed()

    def _on_flushed(self) -> None:
        if self._flushed is not None:
            self._flushed.set()
            self._flushed = None
        self.buffer.written()
        if not self.buffer.is_open:
            self._note_delivery()
        if len(self.buffer):
            self._schedule()

    def _fail(self) -> None:
        """Write no more: frames may be lost, and what the client has read must not look like a whole stream."""
        log.exception("Writing a stream failed")
        self._state = _Pushing.FAILED
        self.buffer.drop()
        self.exchange.connection.abort()
        if self._flushed is not None:
            self._flushed.set()
        self._on_failure.cancel()
