"""A call that holds its state: for whoever shows a stream rather than iterates it."""

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
"""Where a ``StreamActionRunner`` stands."""


@final
class StreamActionRunner(Generic[Input_contra, Chunk]):
    """Runs an action, as often as it is asked to but once at a time, and holds what has come of it."""

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
        """``"idle"`` before the first run, ``"streaming"`` within one; then ``"done"``, also where the run was stopped,
        or ``"error"``."""
        return self._status

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The chunks of the last run so far."""
        return self._chunks

    @property
    def data(self) -> Chunk | None:
        """The latest of the chunks, or None."""
        return self._data

    @property
    def error(self) -> ActionError | None:
        """What the last run failed with, or None."""
        return self._error

    @overload
    async def execute(self: StreamActionRunner[None, Any], input: None = None) -> None: ...

    @overload
    async def execute(self, input: Input_contra) -> None: ...

    async def execute(self, input: Input_contra | None = None) -> None:
        """Call the action with *input*, and return when the run is over, however it ended: see ``status``.

        A run in flight is aborted, and its ``execute`` returns. If this is cancelled, the run is stopped.

        Raises:
            RuntimeError: An ``on_chunk`` awaits it, and so would be aborted with the run that it is part of.
        """
        task = trio.lowlevel.current_task()
        if task in self._receiving:
            raise RuntimeError("on_chunk cannot await another run: start it in a nursery, or from on_done")
        if self._run is not None:
            self._run.cancel()
        run = self._run = trio.CancelScope()
        self._chunks, self._data, self._error, self._status = [], None, None, "streaming"
        try:
            error = await self._outcome(run, input)
        except BaseException:  # cancelled, that is
            if self._run is run:
                self.stop()
            raise
        if self._run is not run:
            return  # stopped, or aborted: another run has the say
        self._run = None
        self._error, self._status = error, "done" if error is None else "error"
        if error is None:
            await self._tell(self._on_done, self._chunks)
        else:
            await self._tell(self._on_error, error)

    def stop(self) -> None:
        """End the run at once: no chunk is delivered any more, ``on_done`` is not called, the handler is cancelled.

        The status is ``"done"`` by then. Where nothing runs, nothing happens.
        """
        if self._run is not None:
            self._run.cancel()
            self._run = None
            self._status = "done"

    async def _outcome(self, run: trio.CancelScope, input: object) -> ActionError | None:
        """Receive the whole stream, and give what it failed with."""
        task = trio.lowlevel.current_task()
        self._receiving.add(task)
        try:
            with run:
                await self._receive(run, input)
        except ActionError as error:
            return error
        except Exception as failure:
            # Out of a function that gives headers, or hooks of the HTTP client: whoever wrote them wants to know.
            client_log.exception("The run failed for a reason of its own program")
            told = invalid_input("The request could not be made")
            told.__cause__ = failure
            return told
        finally:
            self._receiving.discard(task)
        return None

    async def _receive(self, run: trio.CancelScope, input: object) -> None:
        async with open_prepared(self._action, input) as stream:
            async for chunk in stream:
                # Bytes that were on their way into this task when it was stopped arrive all the same.
                if self._run is not run:
                    return
                self._chunks.append(chunk)
                self._data = chunk
                if self._on_chunk is not None:
                    await self._tell(self._on_chunk, chunk)

    async def _tell(self, callback: Callable[[Any], object] | None, value: object) -> None:
        if callback is None:
            return
        try:
            result = callback(value)
            if inspect.isawaitable(result):
                await result
        except Exception:
            client_log.exception("%r failed", callback)


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
    """Make what runs an action and holds what comes of it; nothing is sent before its ``execute``.

    The three functions may be async; they are awaited one after the other, and by an ``on_chunk`` the stream waits.
    One that raises is logged, and the run goes on.

    Args:
        action: A URL, in which ``{name}`` stands for that member of the input, or a ``StreamActionReference``.
        on_chunk: Called with every chunk. It is part of the run: stopping that cancels it where it waits.
        on_done: Called with all chunks when the stream is done, but not when it was stopped.
        on_error: Called with what the stream failed with.
        options: Those of ``open_stream_action``.

    Raises:
        TypeError: The chunk is of a type that cannot be made of JSON.
    """
    return StreamActionRunner(prepared(action, **options), on_chunk, on_done, on_error)
