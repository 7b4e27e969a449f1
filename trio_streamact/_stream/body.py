"""The response body of one stream: it runs the handler, passes frames to the server, and sends exactly one ending."""

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
"""The size that an error frame may always have, in bytes, even if ``Limits.chunk_bytes`` is smaller."""

LATE_S = 0.05
"""The time after which the stream of a cancelled handler ends without it, in seconds. Work in a thread and shielded
cleanups can take any time."""

PASSES = 4
"""The most scheduler passes until a frame is written, over HTTP/2: one each for the writer, hypercorn's buffer and
hypercorn's send task, and one more because Trio runs ready tasks in any order."""

REPORTING_S = 5.0
"""The longest time that error trackers and receivers of signals may delay the end of a stream, in seconds."""


@final
@attrs.frozen
class ErrorEnding:
    """An encoded ending with an error. It does not hold the exception, which would keep its traceback in memory.

    Attributes:
        event: The event for the stream's lifecycle.
        code: The code of the error.
        frame: The last frame.
    """

    event: Event
    code: str
    frame: bytes


@final
@attrs.frozen(kw_only=True)
class BodySettings:
    """The settings that all streams of one action share.

    Args:
        action: The action's name.
        limits: The limits of each stream.
        dialect: The form of the ending.
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
            # It may contain input of the client, which would be sent back many times as large.
            short = ActionError(error.code[:100], "The error is too large to be sent", error.status_code)
            frame = encode_error(short, self.dialect)
        return ErrorEnding(event, error.code, frame)


@final
@attrs.frozen
class Running:
    """A handler that can run now, and what it needs.

    Args:
        run_handler: Runs the handler with a stream.
        contexts: The contexts of app and request for the handler.
        release: Releases the slot of the stream. It may be called more than once.
    """

    run_handler: RunHandler
    contexts: Contexts
    release: Callable[[], None]


@final
class StreamBody(ResponseBody):
    """The response body of one stream. When ``__aexit__`` returns, the handler has finished.

    With a `PullWriter`, the parts of the body consist of frames, and the handler runs in a nursery of the body. With a
    `PushWriter`, the handler runs while the server asks for the first part, in the task that sends the response, and
    there is no part. If the client disconnects, the task that sends the response is cancelled, and so is the handler.

    After the first byte, the body ends only by ``StopAsyncIteration``: if an exception left it, an HTTP/2 client would
    wait forever.
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
        """Return True if no other body wraps this one in the response. A wrapping body needs to see each part."""
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
            # Share one `contextvars.Context` between the request and its handler, as with a `PushWriter`. So the
            # handler can reset what the view has set, and Quart can pop its context, which it only allows in the same
            # one. This is safe because Trio runs one task at a time.
            (task,) = self._tasks.child_tasks
            task.context = trio.lowlevel.current_task().context
        exchange.watchdog.start_heartbeats(limits.heartbeat_s, self._writer.beat)
        # Do not await or raise after this line: the nursery would stay open.
        return self

    async def __aexit__(  # type: ignore[override]  # Quart's types do not allow None
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        try:
            if self._nursery is None:
                return False
            if not self._writer.is_delivered:
                self._tasks.cancel_scope.cancel()  # the client has disconnected: end the handler
            elif self._handling.cancel_called and self._has_own_body():
                await self._exchange.finish()  # the handler may be late, and its client must not wait for it
            return await self._nursery.__aexit__(exc_type, exc, tb)
        finally:
            if self._overdue is not None:
                scheduler, late = self._overdue
                scheduler.remove(late)
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
        """Return the frames of one write. If there are none, wait."""
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
        """Schedule the cancellation of the handler in ``drain_s``, because the server is shutting down."""
        deadline = trio.current_time() + self._settings.limits.drain_s
        if deadline < self._handling.deadline:
            self._lifecycle.move(Event.SHUTDOWN)
            self._stop_at(deadline)

    def _stop_at(self, deadline: float) -> None:
        """Cancel the handler at *deadline*. If it then runs for longer than ``LATE_S``, end the stream without it."""
        self._handling.deadline = deadline
        if self._overdue is None:
            scheduler = Scheduler.current()
            self._overdue = scheduler, scheduler.add(self, deadline + LATE_S)
        else:
            scheduler, late = self._overdue
            scheduler.reschedule(late, deadline + LATE_S)

    async def check(self, now: float) -> float:
        """End the stream if its handler is late. Return the time of the next check."""
        if now < (at := self._handling.deadline + LATE_S):
            return at
        if isinstance(self._writer, PushWriter):
            self._writer.ends_response = True
        self._end_overdue()
        return math.inf

    @trio.lowlevel.disable_ki_protection  # it may run in the protected task of `__anext__`
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
                            await writer.finish()  # the client must not wait for teardown functions
            except Exception as error:
                # `_run` has handled exceptions of the handler. So a teardown function of the app has raised this one.
                await self._fail(error)

    async def _run(self) -> None:
        """Run the handler in the contexts of the request, and end the stream with the result."""
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
        del self._running  # and everything that it refers to, for memory
        return run_handler(Stream(self._writer, self._end_done))

    def _end_done(self) -> None:
        if self._lifecycle.move(Event.RETURNED):
            self._writer.end(encode_done(self._settings.dialect))

    def _end_overdue(self) -> None:
        is_draining = self._lifecycle.state is State.DRAINING
        self._end(self._settings.ending(Event.OVERDUE, shutdown_error() if is_draining else timeout_error()))

    async def _end_failed(self, error: BaseException) -> None:
        """End the stream after the handler raised *error*: a failure, a cancellation, a request to stop, or a group."""
        parts = split_exception(error)
        if parts.cancelled is not None and trio.current_effective_deadline() != -math.inf:
            await self._fail(error)  # the task is not cancelled: the handler has raised an old Cancelled again
            return
        if parts.failure is not None:
            # Also if the handler was cancelled at the same time. Then no client reads the error, but it is logged.
            await self._fail(parts.failure)
        if parts.stop is not None:
            # If it left the request, hypercorn would log it and continue.
            self._end(self._settings.ending(Event.STOPPED, shutdown_error()))
            await self._worker.stop_for(parts.stop)
        if parts.cancelled is not None:
            cancelled = parts.cancelled
            try:
                raise cancelled
            finally:
                del cancelled, parts, error  # avoid a reference cycle with this frame

    async def _fail(self, error: BaseException) -> None:
        """End the stream with *error*. Send it to the client first, and then log it."""
        if self._handling.cancel_called and isinstance(sole_error(error), StreamIsClosed):
            return  # a late handler has sent on its stream, which had ended without it: this is expected
        if is_disconnect(error):
            self._end(self._settings.ending(Event.FAILED, stream_error()))  # no client reads it
            return
        self._end(self._settings.ending(Event.FAILED, self._settings.to_error(error)))
        for _ in range(PASSES):  # write the ending first: logging may take time
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
        """Send *signal*. An exception of a receiver is logged, and has no other effect."""
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
                await signal.send_async(self._app, _sync_wrapper=run_inline, **about)
        except Exception:
            SafeLogger(self._app.logger).exception("A receiver of %s failed", signal.name)


def _nothing() -> None:
    """Do nothing: a refused stream has no slot."""


async def log_error(app: Quart, action: str, error: BaseException) -> None:
    """Log *error* with its traceback, and send it to error trackers, unless it is meant for the client.

    An error that is meant for the client is logged only if its status is 500 or more and it was raised ``from`` another
    exception. Then a service that the handler calls has failed, and the log gets a warning.
    """
    expected = expected_error(error)
    if expected is None:
        SafeLogger(app.logger).error("Stream action %s failed", action, exc_info=error)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
            try:
                await got_request_exception.send_async(
                    app,
                    _sync_wrapper=app.ensure_async,  # type: ignore[arg-type]  # as in Quart itself
                    exception=error,
                )
            except Exception:
                SafeLogger(app.logger).exception("A receiver of got_request_exception failed")
    elif expected.status_code >= 500 and expected.__cause__ is not None:
        SafeLogger(app.logger).warning("Stream action %s ended with %s", action, expected, exc_info=expected)
