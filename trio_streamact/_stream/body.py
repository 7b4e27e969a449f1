"""The body of one reply: the handler, the way of its frames to the client, and the one ending."""

from __future__ import annotations

import math
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, final

import attrs
import trio
from blinker import NamedSignal
from quart import Quart, Response, got_request_exception
from quart.wrappers.response import ResponseBody

from .._common.exception_groups import parts_of, sole_error
from .._common.logs import SafeLogger
from .._hypercorn import Exchange, Heart, Look, is_disconnect
from .._protocol.encoding import HEARTBEAT, Dialect, encode_done, encode_error
from ..errors import ActionError, expected_error, shutdown_error, stream_error, timeout_error
from .buffer import FrameChannel, StreamIsClosed
from .capacity import Place, Room
from .contexts import Contexts
from .signals import Outcome, StreamReport, run_inline, stream_ended, stream_opened
from .stream import Stream
from .writer import Outlet

Produce = Callable[[Stream[Any]], Awaitable[object]]
ErrorMapper = Callable[[BaseException], ActionError]

ERROR_BYTES = 4 * 1024
"""How large an error may be however small chunks have to be: ours are much smaller."""

LATE_S = 0.05
"""How long a handler that is cancelled may take before its stream ends without it, in seconds: work in a thread, or a
shielded cleanup, can take any time."""

REPORTING_S = 5.0
"""How long error trackers and receivers of signals may hold up the end of a stream, in seconds."""

PASSES = 4
"""How many passes of the scheduler a frame takes to the socket at most, over HTTP/2: its writer takes it, hypercorn's
buffer does, hypercorn's task for writes does, and Trio runs what is ready in any order."""


@final
@attrs.frozen
class Failed:
    """An ending other than done, as it is sent. It holds no exception: that would hold the frames it was raised in."""

    outcome: Outcome
    code: str
    frame: bytes


@final
@attrs.frozen(kw_only=True)
class BodySettings:
    """What all streams of one action have in common.

    Args:
        action: The action's name.
        room: The limits, and what is left of them.
        dialect: How endings are written.
        to_error: Converts an exception of the handler to the error that is sent to the client.
    """

    action: str
    room: Room
    dialect: Dialect
    to_error: ErrorMapper
    task_name: str = attrs.field(init=False)

    @task_name.default
    def _name_of_task(self) -> str:
        return f"action:{self.action}"

    def failed(self, outcome: Outcome, error: ActionError) -> Failed:
        """Encode *error* as the ending of a stream."""
        frame = encode_error(error, self.dialect)
        if len(frame) > max(self.room.limits.chunk_bytes, ERROR_BYTES):
            # What it is made of may be the client's own input, which would come back many times as large.
            short = ActionError(error.code[:100], "The error is too large to be sent", error.status_code)
            frame = encode_error(short, self.dialect)
        return Failed(outcome, error.code, frame)


@final
@attrs.frozen
class Running:
    """A handler that is about to run, the contexts in which it does, and its place among the open streams."""

    produce: Produce
    contexts: Contexts
    place: Place


@final
class StreamBody(ResponseBody):
    """The body of one reply; however its block is left, its handler is over by then.

    The handler runs in the task of whoever sends the response, or beside it, in a nursery that the body owns: a client
    that leaves cancels that task, and so the handler. From the first byte on the body ends by ``StopAsyncIteration``
    alone, since an exception that leaves it would leave an HTTP/2 client waiting for ever.

    Beside: frames are the body's parts, each of which passes through whatever stands between here and the server.
    Where nothing does, and the connection is one of HTTP/1.1, an ``Outlet`` writes them all: the handler runs within
    the request for the first part, and there is none.

    """

    def __init__(
        self,
        app: Quart,
        settings: BodySettings,
        exchange: Exchange | None,
        reply: Running | Failed,
    ) -> None:
        self._app = app
        self._settings = settings
        self._exchange = exchange
        self._worker = None if exchange is None else exchange.worker
        self._limits = settings.room.limits
        self._channel = FrameChannel(self._limits)
        self._refusal = reply if isinstance(reply, Failed) else None
        self._place: Place | None = None
        if isinstance(reply, Running):
            self._running, self._place = reply, reply.place
        self._handling = trio.CancelScope()
        self._is_draining = self._is_cut = False
        self._outcome: Outcome = "done"
        self._code: str | None = None
        self._exhausted = self._last_taken = False
        self._chunks = self._bytes = 0
        self._opened_at = 0.0
        self._first_chunk_s: float | None = None
        self._had_first_turn = self._is_beat_due = False
        if exchange is not None:
            exchange.expect_stream(self._limits.stall_s)
        self._response: weakref.ref[Response] | None = None
        self._outlet: Outlet | None = None
        self._late: tuple[Heart, Look] | None = None
        self._nursery: AbstractAsyncContextManager[trio.Nursery] | None = None

    def belongs_to(self, response: Response) -> None:
        """Say which response this is made for."""
        self._response = weakref.ref(response)

    def _is_sent_as_it_is(self) -> bool:
        """Whether the response still has this body; else one that wraps this wants to see each part."""
        response = None if self._response is None else self._response()
        return response is not None and response.response is self

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._opened_at = trio.current_time()
        if self._exchange is not None:
            self._exchange.carry_stream(self._limits.heartbeat_s, self._beat)
        if self._refusal is None and self._worker is not None and self._worker.is_stopping:
            self._refusal = self._settings.failed("shutdown", shutdown_error())
        if self._worker is not None:
            self._worker.join(self._drain)
        if self._exchange is not None and self._exchange.is_straight and self._is_sent_as_it_is():
            trio.lowlevel.current_task().name = self._settings.task_name
            self._outlet = Outlet(self._channel, self._exchange, self)
        else:
            self._nursery = trio.open_nursery()
            self._tasks = await self._nursery.__aenter__()
            self._tasks.start_soon(self._run_to_the_end, name=self._settings.task_name)
            # One `contextvars.Context` for the request and its handler, as in the other way: what the view has set can
            # be reset in the handler, and Quart lets a context be popped in no other. Trio runs one task at a time.
            (task,) = self._tasks.child_tasks
            task.context = trio.lowlevel.current_task().context
        # Nothing may await or raise from here on: the nursery would be left open.
        return self

    async def __aexit__(  # type: ignore[override]  # Quart's types forget that a block can be left without an error
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        try:
            if self._nursery is None:
                return False
            if not self._exhausted:
                self._tasks.cancel_scope.cancel()  # the writer has left: the handler ends too
            elif self._handling.cancel_called and self._exchange is not None and self._is_sent_as_it_is():
                await self._exchange.finish()  # the handler may be late: its client need not wait
            return await self._nursery.__aexit__(exc_type, exc, tb)
        finally:
            self._outlet = None  # which holds us
            if self._late is not None:
                heart, look = self._late
                heart.leave(look)
            if self._worker is not None:
                self._worker.leave(self._drain)
            if self._place is not None:
                self._place.give_back()
            if stream_ended.has_receivers_for(self._app):
                await self._announce(stream_ended, report=self._report())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    @trio.lowlevel.enable_ki_protection  # as in `Exchange.send`
    async def __anext__(self) -> bytes:
        """Give all the frames that wait, as one write; wait for one if there is none."""
        if self._outlet is not None and self._channel.is_open:
            self._outlet.open()
            try:
                await self._run_to_the_end()
            finally:
                self._outlet.close()
            await self._outlet.finish()
            raise StopAsyncIteration
        channel = self._channel
        channel.written()  # asked for more, so the server has taken it
        if self._last_taken:
            self.all_written()
            raise StopAsyncIteration
        if not channel.is_readable and not await self._wait_readable():
            self._bytes += len(HEARTBEAT)
            return HEARTBEAT
        frames = await channel.gather(self._limits.write_bytes)
        if not frames:
            # Closed without a last frame: the handler was cancelled, or is about to fail us, from outside.
            await trio.sleep_forever()
        self.frames_taken(frames)
        return b"".join(frames)

    def all_written(self) -> None:
        """Note whether that was the last."""
        # Not if the client had gone before: a server takes what is sent to nobody, too.
        is_over = self._is_cut or (self._exchange is not None and self._exchange.is_over)
        if self._last_taken and not is_over:
            self._exhausted = True

    def write_failed(self) -> None:
        """Cancel the handler: nothing of it can reach the client any more."""
        self._is_cut = True
        self._handling.cancel()

    async def _wait_readable(self) -> bool:
        """Wait for a frame, or until the stream has been idle for so long that its client should hear that it lives."""
        channel = self._channel
        if self._exchange is None:
            with trio.move_on_after(self._limits.heartbeat_s):
                await channel.wait()
            return channel.is_readable
        if not self._had_first_turn:
            self._had_first_turn = True
            for _ in range(2):  # trio runs what is ready in any order
                await trio.lowlevel.checkpoint()
                if channel.is_readable:
                    return True
            await self._exchange.flush()  # the head: the handler takes its time
        self._is_beat_due = False
        while not (channel.is_readable or self._is_beat_due):
            await channel.wait()
        return channel.is_readable

    def _beat(self) -> None:
        if self._outlet is None:
            self._is_beat_due = True
            self._channel.wake()
        elif self._channel.is_open:
            self._outlet.beat()
            self._bytes += len(HEARTBEAT)

    def _drain(self) -> None:
        """The server is shutting down: let the handler go on for as long as it may, and then cancel it."""
        deadline = trio.current_time() + self._limits.drain_s
        if deadline < self._handling.deadline:
            self._is_draining = True
            self._stop_at(deadline)

    def _stop_at(self, deadline: float) -> None:
        """Cancel the handler at *deadline*, and end the stream soon after that even if the handler goes on."""
        self._handling.deadline = deadline
        if self._late is None:
            heart = Heart.beating()
            self._late = heart, heart.join(self, deadline + LATE_S)
        else:
            heart, look = self._late
            heart.hurry(look, deadline + LATE_S)

    async def look(self, now: float) -> float:
        """End the stream if its handler is late; return when to look again."""
        if now < (at := self._handling.deadline + LATE_S):
            return at
        if self._outlet is not None:
            self._outlet.ends_response = True
        self._end_cut_short()
        return math.inf

    def frames_taken(self, frames: list[bytes]) -> None:
        """Count *frames*, which are about to be written."""
        self._last_taken = self._channel.ends_with(frames)
        chunks = len(frames) - self._last_taken
        if chunks and self._first_chunk_s is None:
            self._first_chunk_s = trio.current_time() - self._opened_at
        self._chunks += chunks
        self._bytes += sum(map(len, frames))

    @trio.lowlevel.disable_ki_protection  # whose task this may be, see `__anext__`
    async def _run_to_the_end(self) -> None:
        with self._channel:
            try:
                if stream_opened.has_receivers_for(self._app):
                    await self._announce(stream_opened, action=self._settings.action)
                if self._refusal is None:
                    async with self._running.contexts:
                        await self._run()
                        if self._outlet is not None:
                            await self._outlet.finish()  # the client need not wait for teardown functions
                else:
                    self._end(self._refusal)
            except Exception as error:
                # Not the handler's, which `_run` has told by now: a teardown function of the app's failed.
                await self._fail(error)

    async def _run(self) -> None:
        """Run the handler and end the stream as it ended; in the contexts of the request."""
        if self._limits.lifetime_s is not None:
            lifetime_over = trio.current_time() + self._limits.lifetime_s
            if lifetime_over < self._handling.deadline:
                self._stop_at(lifetime_over)
        try:
            with self._handling:
                if await self._handle() is not None:
                    SafeLogger(self._app.logger).warning(
                        "The handler of stream action %s returned a value, which is not sent: "
                        "send it with `await stream.send(...)`",
                        self._settings.action,
                    )
        except BaseException as error:
            if self._handling.cancel_called:
                self._end_cut_short()
            await self._end_failed(error)
        else:
            if self._handling.cancelled_caught:
                self._end_cut_short()
            else:
                self._channel.end(encode_done(self._settings.dialect))

    def _handle(self) -> Awaitable[object]:
        produce = self._running.produce
        del self._running  # with all that the handler does not want
        return produce(Stream(self._channel, encode_done(self._settings.dialect)))

    def _end_cut_short(self) -> None:
        if self._is_draining:
            self._end(self._settings.failed("shutdown", shutdown_error()))
        else:
            self._end(self._settings.failed("timeout", timeout_error()))

    async def _end_failed(self, error: BaseException) -> None:
        """End the stream with whatever left the handler: errors, someone's wish to stop the server, a cancellation."""
        parts = parts_of(error)
        if parts.cancelled is not None and trio.current_effective_deadline() != -math.inf:
            await self._fail(error)  # nobody cancels us: the handler has kept a Cancelled of its own, and raised it
            return
        if parts.failure is not None:
            # Also beside a cancellation, where nobody can be told: the log is the last to hear of it.
            await self._fail(parts.failure)
        if parts.stop is not None:
            # Raised in a request, hypercorn would log it and live on.
            self._end(self._settings.failed("shutdown", shutdown_error()))
            if self._worker is None:
                raise parts.stop
            await self._worker.stop()
        if parts.cancelled is not None:
            cancelled = parts.cancelled
            try:
                raise cancelled
            finally:
                del cancelled, parts, error  # or they and this frame would hold each other

    async def _fail(self, error: BaseException) -> None:
        """End the stream with *error*, first for the client, then for the log."""
        if self._handling.cancel_called and isinstance(sole_error(error), StreamIsClosed):
            return  # a late handler that has found its stream ended without it, as it is meant to
        if is_disconnect(error):
            self._end(self._settings.failed("error", stream_error()))  # which nobody will read
            return
        self._end(self._settings.failed("error", self._settings.to_error(error)))
        for _ in range(PASSES):  # the ending leaves first, whatever the log does
            await trio.lowlevel.cancel_shielded_checkpoint()
        await log_error(self._app, self._settings.action, error)

    def _end(self, ending: Failed) -> None:
        """Tell the client how the stream failed, unless it was told an ending before."""
        if self._channel.end(ending.frame):
            self._outcome = ending.outcome
            self._code = ending.code

    def _report(self) -> StreamReport:
        return StreamReport(
            action=self._settings.action,
            outcome=self._outcome if self._exhausted else self._lost_as(),
            code=self._code if self._exhausted else None,
            chunks=self._chunks,
            bytes=self._bytes,
            duration_s=trio.current_time() - self._opened_at,
            first_chunk_s=self._first_chunk_s,
            waited_s=self._channel.waited_s,
        )

    def _lost_as(self) -> Outcome:
        return "stalled" if self._exchange is not None and self._exchange.stalled else "disconnected"

    async def _announce(self, signal: NamedSignal, **about: object) -> None:
        """Send *signal*; a receiver that fails is logged and breaks nothing."""
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
                await signal.send_async(self._app, _sync_wrapper=run_inline, **about)
        except Exception:
            SafeLogger(self._app.logger).exception("A receiver of %s failed", signal.name)


async def log_error(app: Quart, action: str, error: BaseException) -> None:
    """Log *error* once and whole, and show it to error trackers, unless it was raised for a client to read.

    Of that, an upstream's failure is a warning: a status from 500 on, raised ``from`` what has caused it.
    """
    expected = expected_error(error)
    if expected is None:
        SafeLogger(app.logger).error("Stream action %s failed", action, exc_info=error)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
            try:
                await got_request_exception.send_async(
                    app,
                    _sync_wrapper=app.ensure_async,  # type: ignore[arg-type]  # as Quart itself does
                    exception=error,
                )
            except Exception:
                SafeLogger(app.logger).exception("A receiver of got_request_exception failed")
    elif expected.status_code >= 500 and expected.__cause__ is not None:
        SafeLogger(app.logger).warning("Stream action %s ended with %s", action, expected, exc_info=expected)
