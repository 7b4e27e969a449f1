"""The body of one reply: the handler beside the writer, and the one ending."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, final

import attrs
import trio
from blinker import NamedSignal
from quart import Quart, copy_current_app_context, copy_current_request_context, got_request_exception
from quart.wrappers.response import ResponseBody

from .errors import ActionError, is_expected, shutdown_error, sole_error, timeout_error
from .limits import Limits
from .reports import Outcome, StreamReport, run_inline, stream_ended, stream_opened
from .serving import ask_for_shutdown
from .stream import FrameChannel, Stream
from .wire import HEARTBEAT, Dialect, encode_done, encode_error

Produce = Callable[[Stream[Any]], Awaitable[None]]
Tell = Callable[[BaseException], ActionError]

REPORTING_S = 5.0
"""How long error trackers and receivers of signals may hold up the end of a stream, in seconds."""


@final
@attrs.frozen(kw_only=True)
class BodySettings:
    """What all streams of one action have in common.

    Args:
        action: The action's name.
        limits: Sizes in bytes and chunks, durations in seconds.
        dialect: How endings are written.
        tell: Says an exception of the handler in words for the client.
    """

    action: str
    limits: Limits
    dialect: Dialect
    tell: Tell


@final
class StreamBody(ResponseBody):
    """The body of one reply; however its block is left, its handler is over by then.

    The handler runs in a nursery that the body owns, in the task group of whoever sends the response: a client that
    leaves cancels that, and so the handler. From the first byte on the body ends by ``StopAsyncIteration`` alone,
    since an exception that leaves it would leave an HTTP/2 client waiting for ever.

    Made inside the view, whose app and request contexts the handler then sees.
    """

    def __init__(self, app: Quart, settings: BodySettings, scope: dict[str, Any], produce: Produce) -> None:
        self._app = app
        self._settings = settings
        self._scope = scope
        self._produce = produce
        self._channel = FrameChannel(settings.limits)
        # The app's context outermost, or the handler would get a `g` of its own.
        self._run_in_contexts = copy_current_app_context(copy_current_request_context(self._run))
        self._outcome: Outcome = "done"
        self._code: str | None = None
        self._exhausted = self._last_taken = False
        self._chunks = self._bytes = 0
        self._opened_at = 0.0
        self._first_chunk_s: float | None = None
        self._nursery: AbstractAsyncContextManager[trio.Nursery]

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._opened_at = trio.current_time()
        self._nursery = trio.open_nursery()
        nursery = await self._nursery.__aenter__()
        # Nothing may await or raise from here on: the nursery would be left open.
        nursery.start_soon(self._run_to_the_end, name=f"action:{self._settings.action}")
        self._cancel = nursery.cancel_scope.cancel
        return self

    async def __aexit__(  # type: ignore[override]  # Quart's types forget that a block can be left without an error
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        try:
            if not self._exhausted:
                self._cancel()  # the writer has left: the handler ends too
            return await self._nursery.__aexit__(exc_type, exc, tb)
        finally:
            await self._announce(stream_ended, report=self._report())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Give all the frames that wait, as one write; wait for one if there is none."""
        if self._last_taken:
            # Asked for more, so the server has taken the last frame.
            self._exhausted = True
            raise StopAsyncIteration
        channel = self._channel
        if not channel.is_readable:
            with trio.move_on_after(self._settings.limits.heartbeat_s):
                await channel.wait_readable()
            if not channel.is_readable:
                self._bytes += len(HEARTBEAT)
                return HEARTBEAT
        frames, self._last_taken = channel.take(self._settings.limits.write_bytes)
        if not frames:
            # Closed without a last frame: the handler was cancelled, or is about to fail us, from outside.
            await trio.sleep_forever()
        self._count(frames)
        return b"".join(frames)

    def _count(self, frames: list[bytes]) -> None:
        chunks = len(frames) - self._last_taken
        if chunks and self._first_chunk_s is None:
            self._first_chunk_s = trio.current_time() - self._opened_at
        self._chunks += chunks
        self._bytes += sum(map(len, frames))

    async def _run_to_the_end(self) -> None:
        with self._channel:
            try:
                await self._announce(stream_opened, action=self._settings.action)
                await self._run_in_contexts()
            except Exception as error:
                # Not the handler's, which `_run` has told by now: a teardown function of the app's failed.
                await self._fail(error)

    async def _run(self) -> None:
        """Run the handler and end the stream as it ended; in the contexts of the request."""
        lifetime_s = self._settings.limits.lifetime_s
        lifetime = trio.move_on_after(math.inf if lifetime_s is None else lifetime_s)
        try:
            with lifetime:
                await self._produce(Stream(self._channel, encode_done(self._settings.dialect)))
        except BaseException as error:
            if lifetime.cancel_called:
                self._end("timeout", timeout_error())
            await self._end_failed(error)
        else:
            if lifetime.cancelled_caught:
                self._end("timeout", timeout_error())
            else:
                self._channel.end(encode_done(self._settings.dialect))

    async def _end_failed(self, error: BaseException) -> None:
        """End the stream with whatever left the handler: errors, someone's wish to stop the server, a cancellation."""
        group = error if isinstance(error, BaseExceptionGroup) else BaseExceptionGroup("", [error])
        cancelled, others = group.split(trio.Cancelled)
        stops, failures = others.split((KeyboardInterrupt, SystemExit)) if others is not None else (None, None)
        if failures is not None:
            # Also beside a cancellation, where nobody can be told: the log is the last to hear of it.
            await self._fail(failures if isinstance(error, BaseExceptionGroup) else error)
        if stops is not None:
            await self._stop_server(stops)
        if cancelled is not None:
            raise cancelled if isinstance(error, BaseExceptionGroup) else error

    async def _fail(self, error: BaseException) -> None:
        """End the stream with *error*, first for the client, then for the log."""
        self._end("error", self._settings.tell(error))
        if not is_expected(error):
            await report_error(self._app, self._settings.action, error)

    async def _stop_server(self, stops: BaseExceptionGroup[BaseException]) -> None:
        """Someone wants the whole server to stop; raised in a request, hypercorn would log it and live on."""
        self._end("shutdown", shutdown_error())
        if not await ask_for_shutdown(self._scope):
            raise sole_error(stops)

    def _end(self, outcome: Outcome, error: ActionError) -> None:
        if self._channel.end(encode_error(error, self._settings.dialect)):
            self._outcome = outcome
            self._code = error.code

    def _report(self) -> StreamReport:
        return StreamReport(
            action=self._settings.action,
            outcome=self._outcome if self._exhausted else "disconnected",
            code=self._code,
            chunks=self._chunks,
            bytes=self._bytes,
            duration_s=trio.current_time() - self._opened_at,
            first_chunk_s=self._first_chunk_s,
            waited_s=self._channel.waited_s,
        )

    async def _announce(self, signal: NamedSignal, **about: object) -> None:
        """Send *signal*; a receiver that fails is logged and breaks nothing."""
        if not signal.receivers:
            return
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
                await signal.send_async(self._app, _sync_wrapper=run_inline, **about)
        except Exception:
            self._app.logger.exception("A receiver of %s failed", signal.name)


async def report_error(app: Quart, action: str, error: BaseException) -> None:
    """Log *error*, which nobody raised for a client to read, once and whole, and show it to error trackers."""
    app.logger.error("Stream action %s failed", action, exc_info=error)
    with trio.CancelScope(shield=True, deadline=trio.current_time() + REPORTING_S):
        try:
            await got_request_exception.send_async(
                app,
                _sync_wrapper=app.ensure_async,  # type: ignore[arg-type]  # as Quart itself does
                exception=error,
            )
        except Exception:
            app.logger.exception("A receiver of got_request_exception failed")
