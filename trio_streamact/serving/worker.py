"""One worker of the server: which streams are open in it, and its wish to stop.

Fault: at shutdown hypercorn lets streams run until ``graceful_timeout`` and then cuts them without a word; what an app
is told (``lifespan.shutdown``) it is told afterwards. And a SIGTERM to a worker kills it at once: the master sends one
to all workers when the first has finished, a process group gets one, and so does ``-w 0``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, final
from weakref import WeakSet

import attrs
import trio

Drain = Callable[[], None]


@final
@attrs.define(eq=False)
class Worker:
    """The streams of one hypercorn worker."""

    _context: Any
    _open: set[Drain] = attrs.field(factory=set, init=False)

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

    def drain(self) -> None:
        """Tell all open streams that the shutdown has begun."""
        for drain in tuple(self._open):
            drain()


_serving: WeakSet[Worker] = WeakSet()
"""The workers of this process that have had a request."""


def worker_of(context: Any) -> Worker:
    """Give the worker of hypercorn's *context*, and from its first request on hear of the shutdown.

    Not by a task that waits for it, of which each stream would need one: the event's own ``set`` is heard.
    """
    worker: Worker | None = getattr(context, "_trio_streamact", None)
    if worker is None:
        worker = context._trio_streamact = Worker(context)
        _serving.add(worker)
        terminated, heard = context.terminated, worker

        async def set_and_drain(set_: Callable[[], Awaitable[None]] = terminated.set) -> None:
            await set_()
            heard.drain()

        terminated.set = set_and_drain
    return worker


async def stop_on_sigterm(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Make a SIGTERM to this process a graceful shutdown of all its workers, for as long as this runs.

    Not where somebody else listens for it already, nor where Python does not allow to. Where no worker is known, so
    before the first request, the process dies of it as it would have.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        task_status.started()
        return
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            workers = list(_serving)
            if not workers:
                break
            for worker in workers:
                await worker.stop()
    signal.raise_signal(signal.SIGTERM)
