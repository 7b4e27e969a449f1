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

from .._common.exception_groups import sole_error, split_exception
from .._common.logs import SafeLogger
from .._hypercorn import Deadline, Exchange, Scheduler, is_disconnect
from .._protocol.encoding import Dialect, encode_done, encode_error
from ..errors import ActionError, shutdown_error, stream_error, timeout_error
from ..limits import Limits
from .buffer import StreamIsClosed
from .contexts import Contexts
from .error_mapping import expected_error
from .lifecycle import Event, Lifecycle, State
from .signals import StreamReport, run_inline, stream_ended, stream_opened
from .stream import Stream
from .writer import PullWriter, PushWriter

RunHandler = Callable[[Stream[Any]], Awaitable[object]]
ErrorMapper = Callable[[BaseException], ActionError]

ERROR_BYTES = 4 * 1024
"""How large an error may be however small chunks have to be: ours are much smaller."""

LATE_S = 0.05
"""How long a handler that is cancelled may take before its stream ends without it, in seconds: work in a thread, or a
shielded cleanup, can take any time."""

PASSES = 4
"""How many passes of the scheduler a frame takes to the socket at most, over HTTP/2: its writer takes it, hypercorn's
buffer does, hypercorn's task for writes does, and Trio runs what is ready in any order."""

REPORTING_S = 5.0
"""How long error trackers and receivers of signals may hold up the end of a stream, in seconds."""


@final
@attrs.frozen
class ErrorEnding:
    """An ending with an error, encoded. It holds no exception, which would hold the frames in which it was raised.

    Attributes:
        event: What it is for the stream's lifecycle.
        code: The code of the error.
        frame: The last frame.
    """

    event: Event
    code: str
    frame: bytes


@final
@attrs.frozen(kw_only=True)
class BodySettings:
    """What all streams of one action have in common.

    Args:
        action: The action's name.
        limits: The limits of each stream.
        dialect: How endings are written.
        to_error: Converts an exception of the handler to the error that is sent to the client.
    """

    action: str
    limits: Limits
    dialect: Dialect
    to_error: ErrorMapper
    task_name: str = attrs.field(init=False)

    @task_name.default
    def _name_of_task(self) -> str:
        return f"action:{self.action}"

    def ending(self, event: Event, error: ActionError) -> ErrorEnding:
        """Encode *error* as the ending of a stream."""
        frame = encode_error(error, self.dialect)
        if len(frame) > max(self.limits.chunk_bytes, ERROR_BYTES):
            # It may be made of the client's own input, which would come back many times as large.
            short = ActionError(error.code[:100], "The error is too large to be sent", error.status_code)
            frame = encode_error(short, self.dialect)
        return ErrorEnding(event, error.code, frame)


@final
@attrs.frozen
class Running:
    """A handler that is about to run.

    Args:
        run_handler: Runs the handler with the stream that it is given.
        contexts: The contexts of app and request in which it runs.
        release: Gives the stream's place among the open streams back. It may be called more than once.
    """

    run_handler: RunHandler
    contexts: Contexts
    release: Callable[[], None]


@final
class StreamBody(ResponseBody):
    """The response body of one stream. When ``__aexit__`` returns, the handler has finished.

    The handler runs in the task that sends the response, or concurrently in a nursery of the body: a client that leaves
    cancels that task, and so the handler. From the first byte on the body ends by ``StopAsyncIteration`` alone, since
    an exception that leaves it would keep an HTTP/2 client waiting forever.

    The writer decides which. With a `PullWriter`, frames are the parts of the body, and the handler runs in the
    nursery. With a `PushWriter`, the handler runs within the request for the first part, and there is no part.
    """

    def __init__(
        self,
        app: Quart,
        settings: BodySettings,
        exchange: Exchange,
        reply: Running | ErrorEnding,
    ) -> None:
        self._app = app
        self._settings = settings
        self._exchange = exchange
        self._worker = exchange.worker
        self._refusal = reply if isinstance(reply, ErrorEnding) else None
        self._release: Callable[[], None] = _nothing
        if isinstance(reply, Running):
            self._running, self._release = reply, reply.release
        self._handling = trio.CancelScope()
        self._lifecycle = Lifecycle()
        self._opened_at = 0.0
        self._response: weakref.ref[Response] | None = None
        self._writer: PullWriter | PushWriter
        self._overdue: tuple[Scheduler, Deadline] | None = None
        self._nursery: AbstractAsyncContextManager[trio.Nursery] | None = None
        exchange.prepare_stream(settings.limits.stall_s)

    def belongs_to(self, response: Response) -> None:
        """Note the response whose body this is."""
        self._response = weakref.ref(response)

    def _has_own_body(self) -> bool:
        """Return True if the response still has this body; else another body wraps it, and wants to see each part."""
        response = None if self._response is None else self._response()
        return response is not None and response.response is self

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._opened_at = trio.current_time()
        exchange, limits = self._exchange, self._settings.limits
        if self._refusal is None and self._worker.is_stopping:
            self._refusal = self._settings.ending(Event.STOPPED, shutdown_error())
        self._worker.join(self._drain)
        if exchange.can_write_directly and self._has_own_body():
            trio.lowlevel.current_task().name = self._settings.task_name
            self._writer = PushWriter(limits, exchange, self._handling)
        else:
            self._writer = PullWriter(limits, exchange)
            self._nursery = trio.open_nursery()
            self._tasks = await self._nursery.__aenter__()
            self._tasks.start_soon(self._run_to_the_end, name=self._settings.task_name)
            # One `contextvars.Context` for the request and its handler, as in the other way: what the view has set can
            # be reset in the handler, and Quart lets a context be popped in no other. Trio runs one task at a time.
            (task,) = self._tasks.child_tasks
            task.context = trio.lowlevel.current_task().context
        exchange.watchdog.start_heartbeats(limits.heartbeat_s, self._writer.beat)
        # Nothing may await or raise from here on: the nursery would be left open.
        return self

    async def __aexit__(  # type: ignore[override]  # Quart's types forget that a block can be left without an error
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        try:
            if self._nursery is None:
                return False
            if not self._writer.is_delivered:
                self._tasks.cancel_scope.cancel()  # the client has left: the handler ends too
            elif self._handling.cancel_called and self._has_own_body():
                await self._exchange.finish()  # the handler may be late: its client need not wait
            return await self._nursery.__aexit__(exc_type, exc, tb)
        finally:
            if self._overdue is not None:
                scheduler, look = self._overdue
                scheduler.remove(look)
            self._worker.leave(self._drain)
            self._release()
            self._exchange.end_stream()
            if self._writer.is_delivered:
                self._lifecycle.move(Event.WRITTEN)
            else:
                self._lifecycle.move(Event.STALLED if self._exchange.watchdog.stalled else Event.DISCONNECTED)
            if stream_ended.has_receivers_for(self._app):
                await self._announce(stream_ended, report=self._report())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    @trio.lowlevel.enable_ki_protection  # as in `Exchange.send`
    async def __anext__(self) -> bytes:
        """Return the frames of one write; wait for one if there is none."""
        if isinstance(self._writer, PullWriter):
            part = await self._writer.next_part()
            if part is None:
                raise StopAsyncIteration
            return part
        self._writer.start()
        try:
            await self._run_to_the_end()
        finally:
            self._writer.stop()
        await self._writer.finish()
        raise StopAsyncIteration

    def _drain(self) -> None:
        """The server is shutting down: let the handler go on for ``drain_s``, and then cancel it."""
        deadline = trio.current_time() + self._settings.limits.drain_s
        if deadline < self._handling.deadline:
            self._lifecycle.move(Event.SHUTDOWN)
            self._stop_at(deadline)

    def _stop_at(self, deadline: float) -> None:
        """Cancel the handler at *deadline*, and end the stream soon after that even if the handler goes on."""
        self._handling.deadline = deadline
        if self._overdue is None:
            scheduler = Scheduler.current()
            self._overdue = scheduler, scheduler.add(self, deadline + LATE_S)
        else:
            scheduler, look = self._overdue
            scheduler.reschedule(look, deadline + LATE_S)

    async def check(self, now: float) -> float:
        """End the stream if its handler is late; return when to look again."""
        if now < (at := self._handling.deadline + LATE_S):
            return at
        if isinstance(self._writer, PushWriter):
            self._writer.ends_response = True
        self._end_overdue()
        return math.inf

    @trio.lowlevel.disable_ki_protection  # whose task this may be, see `__anext__`
    async def _run_to_the_end(self) -> None:
        with self._writer as writer:
            try:
                if stream_opened.has_receivers_for(self._app):
                    await self._announce(stream_opened, action=self._settings.action)
                if self._refusal is not None:
                    self._end(self._refusal)
                else:
                    async with self._running.contexts:
                        await self._run()
                        if isinstance(writer, PushWriter):
                            await writer.finish()  # the client need not wait for teardown functions
            except Exception as error:
                # Not the handler's, which `_run` has reported already: a teardown function of the app's failed.
                await self._fail(error)

    async def _run(self) -> None:
        """Run the handler in the contexts of the request, and end the stream as the handler ended."""
        lifetime_s = self._settings.limits.lifetime_s
        if lifetime_s is not None:
            lifetime_over = trio.current_time() + lifetime_s
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
                self._end_overdue()
            await self._end_failed(error)
        else:
            if self._handling.cancelled_caught:
                self._end_overdue()
            else:
                self._end_done()

    def _handle(self) -> Awaitable[object]:
        run_handler = self._running.run_handler
        del self._running  # with all that the handler does not need
        return run_handler(Stream(self._writer, self._end_done))

    def _end_done(self) -> None:
        if self._lifecycle.move(Event.RETURNED):
            self._writer.end(encode_done(self._settings.dialect))

    def _end_overdue(self) -> None:
        is_draining = self._lifecycle.state is State.DRAINING
        self._end(self._settings.ending(Event.OVERDUE, shutdown_error() if is_draining else timeout_error()))

    async def _end_failed(self, error: BaseException) -> None:
        """End the stream with whatever left the handler: errors, a request to stop the server, a cancellation."""
        parts = split_exception(error)
        if parts.cancelled is not None and trio.current_effective_deadline() != -math.inf:
            await self._fail(error)  # the task is not cancelled: the handler has kept an old Cancelled, and raised it
            return
        if parts.failure is not None:
            # Also next to a cancellation, where no client is left to read it: then the log alone has it.
            await self._fail(parts.failure)
        if parts.stop is not None:
            # Raised in a request, hypercorn would log it and go on.
            self._end(self._settings.ending(Event.STOPPED, shutdown_error()))
            await self._worker.stop_for(parts.stop)
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
            self._end(self._settings.ending(Event.FAILED, stream_error()))  # which no client will read
            return
        self._end(self._settings.ending(Event.FAILED, self._settings.to_error(error)))
        for _ in range(PASSES):  # the ending leaves first, whatever the log does
            await trio.lowlevel.cancel_shielded_checkpoint()
        await log_error(self._app, self._settings.action, error)

    def _end(self, ending: ErrorEnding) -> None:
        """Send *ending*, unless the stream has an ending already."""
        if self._lifecycle.move(ending.event, ending.code):
            self._writer.end(ending.frame)

    def _report(self) -> StreamReport:
        lifecycle, writer = self._lifecycle, self._writer
        assert lifecycle.outcome is not None  # noqa: S101 - it has ended
        return StreamReport(
            action=self._settings.action,
            outcome=lifecycle.outcome,
            code=lifecycle.code,
            chunks=writer.chunks,
            bytes=writer.written_bytes,
            duration_s=trio.current_time() - self._opened_at,
            first_chunk_s=None if writer.first_chunk_at is None else writer.first_chunk_at - self._opened_at,
            waited_s=writer.waited_s,
        )

    async def _announce(self, signal: NamedSignal, **about: object) -> None:
        """Send *signal*; a receiver that fails is logged and breaks nothing."""
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
                await signal.send_async(self._app, _sync_wrapper=run_inline, **about)
        except Exception:
            SafeLogger(self._app.logger).exception("A receiver of %s failed", signal.name)


def _nothing() -> None:
    """What a refused stream has to give back."""


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
