"""One worker of the server: which streams are open in it, and its wish to stop.

Fault: at shutdown hypercorn lets streams run until ``graceful_timeout`` and then cuts them without a word; what an app
is told (``lifespan.shutdown``) it is told afterwards. And a SIGTERM to a worker kills it at once: the master sends one
to all workers when the first has finished, a process group gets one, and so does ``-w 0``. A SIGHUP, which a process
group gets when its terminal is closed, does the same; to the master it is a reload.
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
"""The signals that are to be a graceful shutdown; Windows has no SIGHUP."""


@final
@attrs.define(eq=False)
class Worker:
    """The streams of one hypercorn worker."""

    _context: Any
    _open: set[Drain] = attrs.field(factory=set, init=False)
    _run: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token, init=False)

    @property
    def is_stopping(self) -> bool:
        """Whether the shutdown has begun."""
        return bool(self._context.terminated.is_set())

    def join(self, drain: Drain) -> None:
        """Have *drain* called when the shutdown begins."""
        self._open.add(drain)

    def leave(self, drain: Drain) -> None:
        """Forget *drain*."""
        self._open.discard(drain)

    async def stop(self) -> None:
        """Ask for a graceful shutdown."""
        await self._context.terminate.set()

    async def stop_for(self, reason: BaseException) -> None:  # noqa: ARG002 - what an unknown worker raises
        """Ask for a graceful shutdown, since an app has raised *reason*."""
        await self.stop()

    def stop_soon(self) -> bool:
        """Ask for a graceful shutdown from any thread; return False if the worker's run of Trio is over."""
        try:
            self._run.run_sync_soon(self._stop_here)
        except trio.RunFinishedError:
            return False
        return True

    def _stop_here(self) -> None:
        with suppress(RuntimeError):  # the run is ending already, and takes no more tasks
            trio.lowlevel.spawn_system_task(self.stop)

    def drain(self) -> None:
        """Tell all open streams that the shutdown has begun."""
        for drain in tuple(self._open):
            drain()


@final
class UnknownWorker:
    """Stands for a worker that cannot be found: under another server, and where no middleware of ours is."""

    is_stopping = False

    def join(self, drain: Drain) -> None:
        """Never call *drain*: the shutdown is not known here."""

    def leave(self, drain: Drain) -> None:
        """There is nothing to forget."""

    async def stop_for(self, reason: BaseException) -> None:
        """Raise *reason*: the server may know what to do with it."""
        raise reason


UNKNOWN_WORKER = UnknownWorker()

_serving: WeakSet[Worker] = WeakSet()
"""The workers of this process that have had a connection; a process may have a run of Trio in each of its threads."""

_serving_lock = threading.Lock()


def worker_of(context: Any) -> Worker:
    """Give the worker of hypercorn's *context*, and from its first connection on hear of the shutdown.

    Not by a task that waits for it, of which each stream would need one: the event's own ``set`` is heard.
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
    """Make a SIGTERM or SIGHUP to this process a graceful shutdown of all its workers, for as long as this runs.

    Not where somebody else listens for it already, nor where it is ignored, as under ``nohup``, nor where Python does
    not allow to. Where no worker is known, so before the first connection, the process dies of it as it would have.
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
            # Each in its own run: an event of Trio's wakes the tasks of the run in which it is set, and no others.
            reached = [worker.stop_soon() for worker in workers]
            if not any(reached):
                unheard = number
                break
    signal.raise_signal(unheard)
