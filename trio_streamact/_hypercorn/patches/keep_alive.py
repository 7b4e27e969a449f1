"""Connections that wait for a request, their first or their next one, and their time.

Fault 1: hypercorn spawns a task behind each response that waits for the next request, and cancels it when that comes: a
tenth of what a short request costs, and a pass or two through the scheduler before it is answered. When the client
closes, also before its first request, the task keeps the connection until its time is over.

Fault 2: the time of a handshake of TLS is another one, a minute, in which a client can hold a connection for nothing.

Fault 3: without TLS, the first line of HTTP/2 counts as a request. A client that sends no other one is waited for
without an end.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, final

import attrs
import trio
from hypercorn.events import Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import TCPServer

from ..scheduler import Deadline, Scheduler
from ..shutdown import worker_of
from .versions import can_repair

CLOSE_S = 1.0
"""How long the close of a connection may take, in seconds: that of TLS writes, and its client may read nothing."""


@final
@attrs.define(eq=False)
class IdleTimer:
    """Stands in for hypercorn's ``TrioSingleTask`` of one connection."""

    _server: Any
    _deadline: Deadline | None = attrs.field(default=None, init=False)

    async def restart(self, _group: object, _action: Callable[[], object]) -> None:
        """Stand in for ``TrioSingleTask.restart``."""
        self.start()

    async def stop(self) -> None:
        """Stand in for ``TrioSingleTask.stop``."""
        self.cancel()

    def start(self) -> None:
        """Close the connection when it has been idle for so long, or the server stops."""
        self.cancel()
        worker = worker_of(self._server.context)
        wait_s = 0.0 if worker.is_stopping else self._server.config.keep_alive_timeout
        self._deadline = Scheduler.current().add(self, trio.current_time() + wait_s)
        worker.join(self._hurry)

    def cancel(self) -> None:
        """Let the connection be."""
        if self._deadline is not None:
            Scheduler.current().remove(self._deadline)
            worker_of(self._server.context).leave(self._hurry)
            self._deadline = None

    async def check(self, _now: float) -> float:
        """Close it: its time is over."""
        if hasattr(self._server, "protocol"):
            with trio.move_on_after(CLOSE_S):
                await self._server._initiate_server_close()
        else:  # it is within its handshake, which then fails
            with suppress(OSError):
                self._server.stream.transport_stream.socket.shutdown(socket.SHUT_RDWR)
        self.cancel()
        return math.inf

    def _hurry(self) -> None:
        if self._deadline is not None:
            Scheduler.current().reschedule(self._deadline, trio.current_time())


def repair() -> None:
    """Close connections in time on which nobody asks, and leave nothing of those whose client has left."""
    _begin_at_the_preface()
    _end_with_the_connection()


def _begin_at_the_preface() -> None:
    initiate: Callable[..., Awaitable[None]] = H2Protocol.initiate
    if hasattr(initiate, "original") or not can_repair(
        "a connection that never asks", H2Protocol, ("initiate", "idle")
    ):
        return

    async def initiate_and_rest(self: Any, *arguments: Any) -> None:
        await initiate(self, *arguments)
        if self.idle:  # else it was upgraded by a request
            await self.send(Updated(idle=True))

    initiate_and_rest.original = initiate  # type: ignore[attr-defined]
    H2Protocol.initiate = initiate_and_rest  # type: ignore[method-assign, assignment]


def _end_with_the_connection() -> None:
    run: Callable[[Any], Generator[Any, Any, None]] = TCPServer.__await__
    parts = ("run", "_initiate_server_close")
    if hasattr(run, "original") or not can_repair("a timer", TCPServer, parts):
        return

    def run_and_stop(self: Any) -> Generator[Any, Any, None]:
        self.idle_task = timer = IdleTimer(self)
        if hasattr(self.stream, "do_handshake"):  # of TLS; else hypercorn starts it at once
            timer.start()
        try:
            yield from run(self)
        finally:
            timer.cancel()

    run_and_stop.original = run  # type: ignore[attr-defined]
    TCPServer.__await__ = run_and_stop  # type: ignore[method-assign]
