"""Connections of HTTP/1.1 whose reader is parked.

Fault: bytes behind a request (a pipelined one, or a stray line end) make hypercorn park the only task that reads the
connection until the response is finished. Whoever waits there learns of no disconnect, and when the connection is
closed nobody wakes it: the task and the descriptor stay until the server stops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, final

import h11
from hypercorn.events import Closed
from hypercorn.protocol.h11 import H11Protocol

from .versions import can_repair


def repair() -> None:
    """Wake the reader when its connection is closed, and show it a connection with nothing more to read."""
    handle: Callable[[Any, Any], Awaitable[None]] = H11Protocol.handle
    if getattr(handle, "repaired", False) or not can_repair("a parked reader", H11Protocol, ("handle", "stream_send")):
        return

    async def close_and_wake(self: Any, event: Any) -> None:
        await handle(self, event)
        self.connection = ClosedConnection()
        await self.can_read.set()

    def handle_and_wake(self: Any, event: Any) -> Awaitable[None]:
        return close_and_wake(self, event) if isinstance(event, Closed) else handle(self, event)

    handle_and_wake.repaired = True  # type: ignore[attr-defined]
    handle_and_wake.original = handle  # type: ignore[attr-defined]
    H11Protocol.handle = handle_and_wake  # type: ignore[method-assign, assignment]


@final
class ClosedConnection:
    """Stands in for the h11 connection once it is gone: nothing comes, and what is sent is dropped."""

    their_state = h11.ERROR  # hypercorn drops what h11 refuses in this state
    our_state = None
    trailing_data = (b"", False)
    they_are_waiting_for_100_continue = False

    def receive_data(self, data: bytes) -> None:
        """Drop *data*."""

    def next_event(self) -> Any:
        return h11.NEED_DATA

    def send(self, _: object) -> NoReturn:
        raise h11.LocalProtocolError("the connection is closed")

    send_with_data_passthrough = send

    def start_next_cycle(self) -> NoReturn:
        raise h11.LocalProtocolError("the connection is closed")
