"""Guards and middleware before a handler, and those that wrap it: async generators that yield once.

The part of a generator after its ``yield`` runs when the handler is over. It may have a nursery or a cancel scope open
across the ``yield``, which Trio allows only where one task runs all of it: so the guards, the middleware, the handler
and the way back share a task, which begins before the stream is opened and ends with it.
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
"""How long the part of a guard or middleware after its ``yield`` may take, in seconds."""

Inner = Callable[[], Awaitable[None]]


async def run_before(calls: Sequence[NamedCall], arguments: dict[str, Any], inner: Inner) -> None:
    """Run *calls* in order, each of which may add to ``arguments["ctx"]``, and then *inner*, within those that wrap.

    Raises:
        TypeError: One of them returned or yielded no mapping, or did not yield.
    """
    for place, call in enumerate(calls, start=1):
        if call.wraps:
            await _run_within(call, arguments, partial(run_before, calls[place:], arguments, inner))
            return
        merge(arguments["ctx"], call, await call(arguments))
    await inner()


async def _run_within(call: NamedCall, arguments: dict[str, Any], inner: Inner) -> None:
    """Run *inner* at the ``yield`` of *call*. What it raises is raised there, and again if nothing takes its place."""
    failure: BaseException | None = None
    # Around the generator, whose own scopes have to be left before it, and so before there is a need to shield.
    with trio.CancelScope() as unwinding:
        generator: AsyncGenerator[Any, None] = call(arguments)
        try:
            added = await anext(generator)
        except StopAsyncIteration:
            raise TypeError(f"{name_of(call.function)} is an async generator, and has to yield once") from None
        try:
            merge(arguments["ctx"], call, added)
            await inner()
        except BaseException as error:
            failure = error
            _begin(unwinding)
            await _leave(generator, call, partial(generator.athrow, error))
            raise  # one that is swallowed there was no success all the same
        _begin(unwinding)
        await _leave(generator, call, partial(anext, generator))
    if unwinding.cancelled_caught:
        log.warning("The end of %s took longer than %s seconds, and was cancelled", name_of(call.function), UNWIND_S)
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # or it and this frame would hold each other


def _begin(unwinding: trio.CancelScope) -> None:
    unwinding.shield = True
    unwinding.deadline = trio.current_time() + UNWIND_S


async def _leave(generator: AsyncGenerator[Any, None], call: NamedCall, resume: Callable[[], Awaitable[Any]]) -> None:
    try:
        await resume()
    except StopAsyncIteration:
        return
    await generator.aclose()
    raise RuntimeError(f"{name_of(call.function)} has to yield once, and did so twice")


@final
@attrs.define(eq=False)
class WrappedRun:
    """One run of an action with guards or middleware that wrap, in a task of its own.

    It shares the ``contextvars.Context`` of the request's task. What it raises is raised there, by ``prepare`` as long
    as there is no stream, and by ``run_handler``.

    Args:
        run: Runs all of it: the guards, the middleware, and within them what it is called with.
        handler: Runs the handler.
        name: The name of the task.
    """

    _run: Callable[[Inner], Awaitable[None]]
    _handler: Callable[[Stream[Any]], Awaitable[object]]
    _name: str
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _prepared: trio.Event = attrs.field(factory=trio.Event, init=False)
    _opened: trio.Event = attrs.field(factory=trio.Event, init=False)
    _over: trio.Event = attrs.field(factory=trio.Event, init=False)
    _streams: list[Stream[Any]] = attrs.field(factory=list, init=False)
    _failure: BaseException | None = attrs.field(default=None, init=False)
    _returned: object = attrs.field(default=None, init=False)
    _variables: Context = attrs.field(init=False)

    async def prepare(self) -> None:
        """Run all that comes before the handler.

        Raises:
            Exception: What one of these raised.
        """
        # A nursery would have to be left before the view returns.
        task = trio.lowlevel.spawn_system_task(self._main, name=self._name)
        self._variables = task.context = trio.lowlevel.current_task().context
        try:
            await self._prepared.wait()
        except trio.Cancelled:
            await self._cancelled()
            self._raise_failure()  # of the way back, of which nobody would hear
            raise
        self._raise_failure()

    async def run_handler(self, stream: Stream[Any]) -> object:
        """Run the handler, and the way back out of what wraps it; return what the handler returned.

        Raises:
            Exception: What was raised there at last.
        """
        self._streams.append(stream)
        self._opened.set()
        try:
            await self._over.wait()
        except trio.Cancelled as cancelled:
            await self._cancelled()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise BaseExceptionGroup("a handler failed while it was cancelled", [cancelled, failure]) from None
            if self._scope.cancelled_caught:
                raise
            # The handler has swallowed its cancellation, and returned.
        self._raise_failure()
        return self._returned

    def abandon(self, contexts: Contexts, tell: Callable[[Exception], Awaitable[None]]) -> None:
        """Have its generators unwound within *contexts* if no stream was opened: none will be any more.

        Args:
            contexts: Those of the request, which are left then.
            tell: Takes what was raised on the way back.
        """
        if not self._opened.is_set():
            task = trio.lowlevel.spawn_system_task(self._unwind, contexts, tell, name=self._name)
            task.context = self._variables

    async def _unwind(self, contexts: Contexts, tell: Callable[[Exception], Awaitable[None]]) -> None:
        try:
            async with contexts:
                await self._cancelled()
                if isinstance(failure := self._failure, Exception):
                    await tell(failure)
        except Exception:  # of a teardown function: a system task that fails would end everything
            log.exception("The end of a request failed")

    async def _cancelled(self) -> None:
        self._scope.cancel()
        with trio.CancelScope(shield=True):  # as long as a nursery would: until the handler is over
            await self._over.wait()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # or it and this frame would hold each other

    async def _main(self) -> None:
        try:
            with self._scope:
                await _unprotected(self._run, self._open_and_handle)
        except BaseException as error:
            self._failure = error  # a system task that fails would end everything
        finally:
            self._prepared.set()
            self._over.set()

    async def _open_and_handle(self) -> None:
        self._prepared.set()
        await self._opened.wait()
        self._returned = await self._handler(self._streams.pop())


@trio.lowlevel.disable_ki_protection  # which system tasks have, and handlers elsewhere do not
async def _unprotected(run: Callable[[Inner], Awaitable[None]], inner: Inner) -> None:
    await run(inner)
