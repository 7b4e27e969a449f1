"""A runner that calls an action and keeps the state of the run, for programs that display it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar, Unpack, final, overload

import trio
from typing_extensions import TypeForm

from .._codegen import StreamActionReference
from .._common.logs import client_log
from ..errors import ActionError
from .errors import invalid_input
from .options import AddressOptions, CallOptions, Prepared, prepared
from .stream import open_prepared

Input = TypeVar("Input")
Input_contra = TypeVar("Input_contra", contravariant=True)
Chunk = TypeVar("Chunk")

Status = Literal["idle", "streaming", "done", "error"]
"""The state of a ``StreamActionRunner``."""


@final
class StreamActionRunner(Generic[Input_contra, Chunk]):
    """Calls an action, any number of times but one run at a time, and keeps the state of the last run."""

    def __init__(
        self,
        action: Prepared[Chunk],
        on_chunk: Callable[[Chunk], object] | None,
        on_done: Callable[[list[Chunk]], object] | None,
        on_error: Callable[[ActionError], object] | None,
    ) -> None:
        self._action = action
        self._on_chunk, self._on_done, self._on_error = on_chunk, on_done, on_error
        self._run: trio.CancelScope | None = None
        self._receiving: set[trio.lowlevel.Task] = set()
        self._chunks: list[Chunk] = []
        self._data: Chunk | None = None
        self._status: Status = "idle"
        self._error: ActionError | None = None

    @property
    def status(self) -> Status:
        """``"idle"`` before the first run and ``"streaming"`` during a run.

        After a run, it is ``"error"`` if the run failed, else ``"done"``, also if the run was stopped.
        """
        return self._status

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The chunks received in the last run, so far."""
        return self._chunks

    @property
    def data(self) -> Chunk | None:
        """The latest chunk, or None."""
        return self._data

    @property
    def error(self) -> ActionError | None:
        """The error of the last run, or None."""
        return self._error

    @overload
    async def execute(self: StreamActionRunner[None, Any], input: None = None) -> None: ...

    @overload
    async def execute(self, input: Input_contra) -> None: ...

    async def execute(self, input: Input_contra | None = None) -> None:
        """Call the action with *input*, and return when the run has ended. ``status`` shows how it ended.

        A run that is still in progress is aborted, and its ``execute`` returns. If this call is cancelled, its run is
        stopped.

        Raises:
            RuntimeError: ``on_chunk`` of the current run awaits this. It would abort the run that it belongs to.
        """
        task = trio.lowlevel.current_task()
        if task in self._receiving:
            raise RuntimeError("on_chunk cannot await another run: start the run in a nursery, or from on_done")
        if self._run is not None:
            self._run.cancel()
        run = self._run = trio.CancelScope()
        self._chunks, self._data, self._error, self._status = [], None, None, "streaming"
        try:
            error = await self._outcome(run, input)
        except BaseException:  # this call was cancelled
            if self._run is run:
                self.stop()
            raise
        if self._run is not run:
            return  # stopped, or aborted by another run, which now owns the state
        self._run = None
        self._error, self._status = error, "done" if error is None else "error"
        if error is None:
            await self._call(self._on_done, self._chunks)
        else:
            await self._call(self._on_error, error)

    def stop(self) -> None:
        """Stop the run at once: no more chunks are delivered, ``on_done`` is not called, the handler is cancelled.

        The status becomes ``"done"``. If there is no run, do nothing.
        """
        if self._run is not None:
            self._run.cancel()
            self._run = None
            self._status = "done"

    async def _outcome(self, run: trio.CancelScope, input: object) -> ActionError | None:
        """Receive the whole stream. Return its error, or None."""
        task = trio.lowlevel.current_task()
        self._receiving.add(task)
        try:
            with run:
                await self._receive(run, input)
        except ActionError as error:
            return error
        except Exception as failure:
            # The `headers` function or an event hook of the HTTP client raised it: log it for their author.
            client_log.exception("Building the request failed: the headers function or an HTTP client hook raised")
            invalid = invalid_input("The request could not be built")
            invalid.__cause__ = failure
            return invalid
        finally:
            self._receiving.discard(task)
        return None

    async def _receive(self, run: trio.CancelScope, input: object) -> None:
        async with open_prepared(self._action, input) as stream:
            async for chunk in stream:
                # Bytes that were already received when the run was stopped still arrive here: drop them.
                if self._run is not run:
                    return
                self._chunks.append(chunk)
                self._data = chunk
                if self._on_chunk is not None:
                    await self._call(self._on_chunk, chunk)

    async def _call(self, callback: Callable[[Any], object] | None, value: object) -> None:
        if callback is None:
            return
        try:
            result = callback(value)
            if inspect.isawaitable(result):
                await result
        except Exception:
            client_log.exception("The callback %r failed", callback)


@overload
def use_stream_action(
    action: StreamActionReference[Input, Chunk],
    *,
    on_chunk: Callable[[Chunk], object] | None = None,
    on_done: Callable[[list[Chunk]], object] | None = None,
    on_error: Callable[[ActionError], object] | None = None,
    **options: Unpack[CallOptions],
) -> StreamActionRunner[Input, Chunk]: ...


@overload
def use_stream_action(
    action: str,
    *,
    chunk: TypeForm[Chunk],
    on_chunk: Callable[[Chunk], object] | None = None,
    on_done: Callable[[list[Chunk]], object] | None = None,
    on_error: Callable[[ActionError], object] | None = None,
    **options: Unpack[AddressOptions],
) -> StreamActionRunner[Any, Chunk]: ...


@overload
def use_stream_action(
    action: str,
    *,
    chunk: Any = Any,
    on_chunk: Callable[[Any], object] | None = None,
    on_done: Callable[[list[Any]], object] | None = None,
    on_error: Callable[[ActionError], object] | None = None,
    **options: Unpack[AddressOptions],
) -> StreamActionRunner[Any, Any]: ...


def use_stream_action(
    action: str | StreamActionReference[Any, Any],
    *,
    on_chunk: Callable[[Any], object] | None = None,
    on_done: Callable[[list[Any]], object] | None = None,
    on_error: Callable[[ActionError], object] | None = None,
    **options: Any,
) -> StreamActionRunner[Any, Any]:
    """Return a runner for an action. It sends nothing before its ``execute`` is called.

    The three callbacks may be async. They run one after the other; while ``on_chunk`` runs, no further chunk is read.
    An exception of a callback is logged, and the run continues.

    Args:
        action: A ``StreamActionReference``, or a URL. A ``{name}`` in the URL is filled from that member of the input.
        on_chunk: Is called with every chunk. It belongs to the run: ``stop`` cancels it.
        on_done: Is called with the list of all chunks when the stream is done, but not when the run was stopped.
        on_error: Is called with the error of a stream that failed.
        options: The options of ``open_stream_action``.

    Raises:
        TypeError: *action* is neither a URL nor a reference, or its chunk type cannot be structured from JSON.
    """
    return StreamActionRunner(prepared(action, **options), on_chunk, on_done, on_error)
