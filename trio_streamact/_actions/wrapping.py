"""Run guards and middleware before a handler, or around it if they are async generators that yield once.

The code after the ``yield`` of a generator runs when the handler has finished; this is called unwinding. A generator
may have a nursery or a cancel scope open across its ``yield``. Trio allows that only if one task runs the whole
generator. So the guards, the middleware, the handler and the unwinding share a task. It starts before the stream
opens, and ends with the stream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Any, final

import attrs
import trio

from .._common.logs import log
from .._stream.contexts import Contexts
from .._stream.stream import Stream
from .signature import NamedCall, merge, name_of

UNWIND_S = 5.0
"""How long the code of a guard or middleware after its ``yield`` may run, in seconds."""

Inner = Callable[[], Awaitable[None]]


async def run_before(calls: Sequence[NamedCall], arguments: dict[str, Any], inner: Inner) -> None:
    """Run *calls* in order, then *inner*. *inner* runs at the ``yield`` of the calls that are generators.

    The mappings that calls return or yield are merged into ``arguments["ctx"]``.

    Raises:
        TypeError: A call returned or yielded something else than a mapping or None, or a generator did not yield.
    """
    for place, call in enumerate(calls, start=1):
        if call.wraps:
            await _run_within(call, arguments, partial(run_before, calls[place:], arguments, inner))
            return
        merge(arguments["ctx"], call, await call(arguments))
    await inner()


async def _run_within(call: NamedCall, arguments: dict[str, Any], inner: Inner) -> None:
    """Run *inner* at the ``yield`` of *call*, an async generator.

    An exception of *inner* is raised at the ``yield``. It is raised again here, unless the generator replaces it.
    """
    failure: BaseException | None = None
    # Entered before the scopes of the generator, since Trio's scopes must nest. It is shielded only later.
    with trio.CancelScope() as unwinding:
        generator: AsyncGenerator[Any, None] = call(arguments)
        try:
            added = await anext(generator)
        except StopAsyncIteration:
            raise TypeError(
                f"{name_of(call.function)} did not yield: a guard or middleware that is an async generator must yield "
                "exactly once"
            ) from None
        try:
            merge(arguments["ctx"], call, added)
            await inner()
        except BaseException as error:
            failure = error
            _start_unwinding(unwinding)
            await _finish(generator, call, partial(generator.athrow, error))
            raise  # even if the generator swallows the exception, because the stream failed
        _start_unwinding(unwinding)
        await _finish(generator, call, partial(anext, generator))
    if unwinding.cancelled_caught:
        log.warning(
            "The code after the yield of %s ran longer than %s seconds and was cancelled",
            name_of(call.function),
            UNWIND_S,
        )
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # avoid a reference cycle between the exception and this frame


def _start_unwinding(unwinding: trio.CancelScope) -> None:
    unwinding.shield = True
    unwinding.deadline = trio.current_time() + UNWIND_S


async def _finish(generator: AsyncGenerator[Any, None], call: NamedCall, resume: Callable[[], Awaitable[Any]]) -> None:
    try:
        await resume()
    except StopAsyncIteration:
        return
    await generator.aclose()
    raise RuntimeError(
        f"{name_of(call.function)} yielded twice: a guard or middleware that is an async generator must yield exactly "
        "once"
    )


@final
@attrs.define(eq=False)
class WrappedRun:
    """One call of an action with guards or middleware that are generators. It runs in a task of its own.

    The task shares the ``contextvars.Context`` of the request's task. Its exceptions are raised in the request's task:
    by ``prepare`` before the stream opens, and by ``run_handler`` afterwards.

    Args:
        run: Runs the guards and the middleware, and inside them the function that it is called with.
        handler: Runs the handler.
        name: The name of the task.
    """

    _run: Callable[[Inner], Awaitable[None]]
    _handler: Callable[[Stream[Any]], Awaitable[object]]
    _name: str
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _prepared: trio.Event = attrs.field(factory=trio.Event, init=False)
    _opened: trio.Event = attrs.field(factory=trio.Event, init=False)
    _finished: trio.Event = attrs.field(factory=trio.Event, init=False)
    _streams: list[Stream[Any]] = attrs.field(factory=list, init=False)
    _failure: BaseException | None = attrs.field(default=None, init=False)
    _returned: object = attrs.field(default=None, init=False)
    _variables: Context = attrs.field(init=False)

    async def prepare(self) -> None:
        """Run everything that comes before the handler.

        Raises:
            Exception: A guard or a middleware raised it, or reading the input did.
        """
        # Not in a nursery: it would have to end before the view returns.
        task = trio.lowlevel.spawn_system_task(self._main, name=self._name)
        self._variables = task.context = trio.lowlevel.current_task().context
        try:
            await self._prepared.wait()
        except trio.Cancelled:
            await self._cancelled()
            self._raise_failure()  # an exception of the unwinding; it would be lost otherwise
            raise
        self._raise_failure()

    async def run_handler(self, stream: Stream[Any]) -> object:
        """Run the handler and the unwinding; return what the handler returned.

        Raises:
            Exception: The handler or the unwinding raised it.
        """
        self._streams.append(stream)
        self._opened.set()
        try:
            await self._finished.wait()
        except trio.Cancelled as cancelled:
            await self._cancelled()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise BaseExceptionGroup("a handler failed while it was cancelled", [cancelled, failure]) from None
            if self._scope.cancelled_caught:
                raise
            # The handler swallowed its cancellation and returned.
        self._raise_failure()
        return self._returned

    def abandon(self, contexts: Contexts, report: Callable[[Exception], Awaitable[None]]) -> None:
        """Start the unwinding if the stream did not open. After this call, the stream must not open.

        Args:
            contexts: The contexts of the request. The generators are unwound in them, then they are popped.
            report: Is called with an exception of the unwinding.
        """
        if not self._opened.is_set():
            task = trio.lowlevel.spawn_system_task(self._unwind, contexts, report, name=self._name)
            task.context = self._variables

    async def _unwind(self, contexts: Contexts, report: Callable[[Exception], Awaitable[None]]) -> None:
        try:
            async with contexts:
                await self._cancelled()
                if isinstance(failure := self._failure, Exception):
                    await report(failure)
        except Exception:  # of a teardown function; an exception that leaves a system task ends the whole Trio run
            log.exception("A teardown function failed after a stream that did not open")

    async def _cancelled(self) -> None:
        self._scope.cancel()
        with trio.CancelScope(shield=True):  # wait like a nursery: until the handler has finished
            await self._finished.wait()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # avoid a reference cycle between the exception and this frame

    async def _main(self) -> None:
        try:
            with self._scope:
                await _unprotected(self._run, self._open_and_handle)
        except BaseException as error:
            self._failure = error  # an exception that leaves a system task ends the whole Trio run
        finally:
            self._prepared.set()
            self._finished.set()

    async def _open_and_handle(self) -> None:
        self._prepared.set()
        await self._opened.wait()
        self._returned = await self._handler(self._streams.pop())


@trio.lowlevel.disable_ki_protection  # Trio protects system tasks from KeyboardInterrupt, but not other handlers
async def _unprotected(run: Callable[[Inner], Awaitable[None]], inner: Inner) -> None:
    await run(inner)
