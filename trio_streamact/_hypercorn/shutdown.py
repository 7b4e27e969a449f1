"""One worker of the server: its open streams, and its shutdown.

Fault: at shutdown, hypercorn lets streams run until ``graceful_timeout``, and then cuts them without an ending. The app
receives ``lifespan.shutdown`` only after that.

Fault: a SIGTERM kills a worker at once. A worker receives one from the master when the first worker has finished, as a
member of a process group, or directly with ``-w 0``. A SIGHUP does the same; a process group receives it when its
terminal is closed. For the master, a SIGHUP means a reload.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, final
from weakref import WeakSet

import attrs
import trio

Drain = Callable[[], None]

STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that start a graceful shutdown. Windows has no SIGHUP."""


@final
@attrs.define(eq=False)
class Worker:
    """The streams of one hypercorn worker."""

    _context: Any
    _open: set[Drain] = attrs.field(factory=set, init=False)
    _run: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token, init=False)

    @property
    def is_stopping(self) -> bool:
        """Return True if the shutdown has begun."""
        return bool(self._context.terminated.is_set())

    def join(self, drain: Drain) -> None:
        """Call *drain* when the shutdown begins."""
        self._open.add(drain)

    def leave(self, drain: Drain) -> None:
        """Do not call *drain* any more."""
        self._open.discard(drain)

    async def stop(self) -> None:
        """Request a graceful shutdown."""
        await self._context.terminate.set()

    async def stop_for(self, reason: BaseException) -> None:  # noqa: ARG002 - what an unknown worker raises
        """Request a graceful shutdown, because an app has raised *reason*."""
        await self.stop()

    def stop_soon(self) -> bool:
        """Request a graceful shutdown from any thread. Return False if the worker's run of Trio has ended."""
        try:
            self._run.run_sync_soon(self._stop_here)
        except trio.RunFinishedError:
            return False
        return True

    def _stop_here(self) -> None:
        with suppress(RuntimeError):  # the run is already ending, and accepts no more tasks
            trio.lowlevel.spawn_system_task(self.stop)

    def drain(self) -> None:
        """Notify all open streams that the shutdown has begun."""
        for drain in tuple(self._open):
            drain()


@final
class UnknownWorker:
    """The worker of an exchange whose worker cannot be found: with another server, or without ``ServingMiddleware``."""

    is_stopping = False

    def join(self, drain: Drain) -> None:
        """Do nothing: the shutdown cannot be noticed here."""

    def leave(self, drain: Drain) -> None:
        """Do nothing: ``join`` did nothing."""

    async def stop_for(self, reason: BaseException) -> None:
        """Raise *reason*, so that the server can handle it."""
        raise reason


UNKNOWN_WORKER = UnknownWorker()

_serving: WeakSet[Worker] = WeakSet()
"""The workers of this process that have had a connection. Each thread of a process may have its own run of Trio."""

_serving_lock = threading.Lock()


def worker_of(context: Any) -> Worker:
    """Return the worker of hypercorn's *context*. At its first connection, arrange that it notices the shutdown.

    A task that waits for the event would be needed in each stream. Instead, the ``set`` of the event is wrapped.
    """
    worker: Worker | None = getattr(context, "_trio_streamact", None)
    if worker is None:
        worker = context._trio_streamact = Worker(context)
        with _serving_lock:
            _serving.add(worker)
        terminated, heard = context.terminated, worker

        async def set_and_drain(set_: Callable[[], Awaitable[None]] = terminated.set) -> None:
            await set_()
            heard.drain()

        terminated.set = set_and_drain
    return worker


async def stop_on_signals(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Start a graceful shutdown of all workers of this process after a SIGTERM or SIGHUP, while this runs.

    A signal is left alone if the program handles it, or if it is ignored, as under ``nohup``. In another thread than
    the main thread, Python allows no handlers, so both are left alone. Before the first connection no worker is known:
    then the signal kills the process, as without this function.
    """
    numbers = [number for number in STOPPING if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread() or not numbers:
        task_status.started()
        return
    with trio.open_signal_receiver(*numbers) as signals:
        task_status.started()
        async for number in signals:
            with _serving_lock:
                workers = list(_serving)
            # Each worker in its own run: an event of Trio wakes only tasks of the run in which it is set.
            reached = [worker.stop_soon() for worker in workers]
            if not any(reached):
                unheard = number
                break
    signal.raise_signal(unheard)
