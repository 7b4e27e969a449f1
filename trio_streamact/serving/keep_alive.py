"""Connections that are kept alive, and their time.

Fault: hypercorn spawns a task behind each response that waits for the next request, and cancels it when that comes: a
tenth of what a short request costs, and a pass or two through the scheduler before it is answered. When the client
closes, the task keeps the connection until its time is over.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, final

import attrs
import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import TrioSingleTask

from .heart import Heart, Look
from .versions import can_repair
from .worker import worker_of
from .writes import PLAIN


@final
@attrs.define(eq=False)
class IdleTimer:
    """Stands in for hypercorn's ``TrioSingleTask`` of one connection."""

    _server: Any
    _look: Look | None = attrs.field(default=None, init=False)

    async def restart(self, _group: object, _action: Callable[[], object]) -> None:
        """Close the connection when it has been idle for so long, or the server stops."""
        await self.stop()
        worker = worker_of(self._server.context)
        wait_s = 0.0 if worker.is_stopping else self._server.config.keep_alive_timeout
        self._look = Heart.beating().join(self, trio.current_time() + wait_s)
        worker.join(self._hurry)

    async def stop(self) -> None:
        """Do not."""
        if self._look is not None:
            Heart.beating().leave(self._look)
            worker_of(self._server.context).leave(self._hurry)
            self._look = None

    async def look(self, _now: float) -> float:
        """Close it: its time is over."""
        await self._server._initiate_server_close()
        await self.stop()
        return math.inf

    def _hurry(self) -> None:
        if self._look is not None:
            Heart.beating().hurry(self._look, trio.current_time())


def repair() -> None:
    """Have the timers of connections end with them."""
    close: Callable[[Any], Awaitable[None]] = TCPServer._close
    if (
        PLAIN
        or hasattr(close, "original")
        or not can_repair("a timer", TCPServer, ("_close", "_initiate_server_close"))
    ):
        return

    async def close_and_stop(self: Any) -> None:
        await close(self)
        if isinstance(self.idle_task, IdleTimer):
            await self.idle_task.stop()

    close_and_stop.original = close  # type: ignore[attr-defined]
    TCPServer._close = close_and_stop  # type: ignore[method-assign]


def repair_connection(server: Any) -> None:
    """Have the time of this connection looked at by the one timer of its worker, from its first request on."""
    task = getattr(server, "idle_task", None)
    if hasattr(TCPServer._close, "original") and isinstance(task, TrioSingleTask) and task._handle is None:
        server.idle_task = IdleTimer(server)  # one that runs is left alone
