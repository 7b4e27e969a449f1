"""The two writers that move frames to the server: one is pulled by the server, one is pushed by the sender.

A `PullWriter` joins frames to the parts of a response body. The server asks for the parts one by one, so everything
between the app and the server sees each part. A `PushWriter` writes to the socket inside ``send``. It is used if
nothing is between the app and the server.
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
"""The number of scheduler passes that the head of a response waits for the first frame, so that both share one write.
It is two because Trio runs ready tasks in any order."""

MAX_SYNC_WRITES = 16
"""The number of writes inside ``send`` after which a sender yields to other tasks, even if it never waits."""


class _Progress(Enum):
    """The progress of the last frame."""

    NOT_TAKEN = "not taken"
    TAKEN = "taken"
    DELIVERED = "delivered"


@attrs.define(eq=False)
class FrameWriter(FairSender):
    """Moves the frames of one stream from ``send`` to the server, and counts them.

    Attributes:
        limits: The limits of the stream.
        exchange: The exchange to which the frames are written.
        buffer: The frames that were not written yet.
        chunks: The number of chunks passed to the server.
        written_bytes: The number of bytes passed to the server, including ending and heartbeats.
        first_chunk_at: The time when the first chunk was passed to the server, on Trio's clock, or None.
        waited_s: The time that senders have waited for room, in seconds.
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
        """Return True if the server has taken the last frame while the client was still connected."""
        return self._last_frame is _Progress.DELIVERED

    # For a plain `with`, not `async with`: `aclose()` is a checkpoint, where Cancelled replaces the error being raised.
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Accept no more frames. Those that were added are still written."""
        self.buffer.close()

    def put_nowait(self, frame: bytes) -> bool:
        """Add *frame*, and return True. If there is no room, return False."""
        count = self.buffer.put_nowait(frame)
        if count <= 1:
            if not count:
                return False
            self._frame_added()
        # The rule of `FairSender`, without a function call: this runs for every chunk.
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
        """Add the *last* frame, and accept no more."""
        if self.buffer.end(last):
            self._frame_added()

    def _take(self, most_bytes: int, at_least: int = 1) -> list[bytes]:
        self.note_taken()
        return self.buffer.take(most_bytes, at_least)

    def _count(self, frames: list[bytes]) -> bytes:
        """Count *frames*, which will be written next, and return them joined."""
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
        """Note that the server has taken everything that was written."""
        # The server also takes what is sent to a client that has disconnected.
        if self._last_frame is _Progress.TAKEN and not self.exchange.is_over:
            self._last_frame = _Progress.DELIVERED

    def _frame_added(self) -> None:
        """Handle a new frame in an empty buffer, or the last frame."""
        raise NotImplementedError

    def beat(self) -> None:
        """Write a heartbeat. The watchdog calls this when the stream was idle for ``heartbeat_s``."""
        raise NotImplementedError


@final
@attrs.define(eq=False)
class PullWriter(FrameWriter):
    """Joins frames to the parts of a response body. The server asks for the parts one by one."""

    _reader: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    _had_first_pass: bool = attrs.field(default=False, init=False)
    _is_beat_due: bool = attrs.field(default=False, init=False)

    async def next_part(self) -> bytes | None:
        """Return the frames of the next write, or a heartbeat. Wait for either. After the last frame, return None."""
        self.buffer.written()  # the server asks for a part, so it has taken the previous one
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
            # Closed without a last frame: this task is about to be cancelled from outside.
            await trio.sleep_forever()
        self.exchange.watchdog.note_write(trio.current_time())
        return self._count(batch.frames)

    def close(self) -> None:
        """Accept no more frames. Those that were added are still returned as parts."""
        self.buffer.close()
        self._wake_reader()

    def beat(self) -> None:
        """Let ``next_part`` return a heartbeat, unless a frame comes first."""
        self._is_beat_due = True
        self._wake_reader()

    def _frame_added(self) -> None:
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    async def _wait_readable(self) -> bool:
        """Wait for a frame, and return True. If a heartbeat is due first, return False."""
        buffer = self.buffer
        if not self._had_first_pass:
            self._had_first_pass = True
            for _ in range(HEAD_WAIT_PASSES):
                await trio.lowlevel.checkpoint()
                if buffer.is_readable:
                    return True
            await self.exchange.flush()  # write the head now: the handler has not sent a frame yet
        self._is_beat_due = False
        while not (buffer.is_readable or self._is_beat_due):
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        return buffer.is_readable

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED


class _Pushing(Enum):
    """The state of a `PushWriter`: when it writes the next frame."""

    STOPPED = "stopped"
    """It does not write: it was not started, or ``finish`` writes the remaining frames."""
    IDLE = "idle"
    """It writes the frame at once, unless the previous write was less than ``BATCH_WINDOW_S`` ago."""
    SCHEDULED = "scheduled"
    """It writes the frame in the next scheduler pass."""
    FAILED = "failed"
    """It does not write, because a write raised an unexpected exception."""


@final
@attrs.define(eq=False)
class PushWriter(FrameWriter):
    """Writes frames to the socket inside ``send``. It has no task of its own.

    A single frame is written before ``send`` returns. Frames that follow within ``BATCH_WINDOW_S`` are written
    together, in the next scheduler pass. So are frames that had to wait for room in the socket buffer.

    Args:
        on_failure: This scope is cancelled if a write raises an unexpected exception: nothing more can be sent.
    """

    _on_failure: trio.CancelScope
    ends_response: bool = attrs.field(default=False, init=False)
    """True if the end of the response is written with the last frame, although the handler still runs."""
    _scheduler: Scheduler = attrs.field(factory=Scheduler.current, init=False)
    _state: _Pushing = attrs.field(default=_Pushing.STOPPED, init=False)
    _head_passes: int | None = attrs.field(default=HEAD_WAIT_PASSES, init=False)
    _wrote_at: float = attrs.field(default=0.0, init=False)
    _in_a_row: int = attrs.field(default=0, init=False)
    _flushed: trio.Event | None = attrs.field(default=None, init=False)
    _batch: Batch | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Start to write. The head is written soon, even if there is no frame."""
        self._state = _Pushing.IDLE
        self._schedule()

    def stop(self) -> None:
        """Start no more writes."""
        if self._state is not _Pushing.FAILED:
            self._state = _Pushing.STOPPED
        if self._batch is not None:
            self.buffer.put_back(self._batch.frames)
            self._batch = None

    @trio.lowlevel.enable_ki_protection
    async def finish(self) -> None:
        """Write all remaining frames, and the end of the response with the last one."""
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

    @trio.lowlevel.enable_ki_protection  # else a Ctrl-C in the middle could lose a frame, or write it twice
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
            self._write(b"", trio.current_time())  # write the head now: the handler has not sent a frame yet

    def _write_frames(self, frames: list[bytes], now: float) -> None:
        self._write(self._count(frames), now, self.ends_response and self.buffer.ends_with(frames))

    def _write(self, body: bytes, now: float, ends: bool = False) -> None:
        self._head_passes = None
        self._wrote_at = now
        try:
            is_written = self.exchange.write_nowait(body, now, ends)
        except Exception:
            self._fail()  # do not raise: inside `send`, the handler would receive the exception, and might catch it
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
        """Stop writing, and close the connection. Frames may be lost, so the response must not look complete."""
        log.exception("Writing a stream failed")
        self._state = _Pushing.FAILED
        self.buffer.drop()
        self.exchange.connection.abort()
        if self._flushed is not None:
            self._flushed.set()
        self._on_failure.cancel()
