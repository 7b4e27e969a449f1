"""The queue between the reader of a connection and an app that has ended.

Fault: hypercorn passes the parts of a request body to the app through a queue of ten. When the app ends and has not
received them, nothing empties the queue, so the task that reads the connection waits there forever. Over HTTP/2 eleven
parts of a body in one packet are enough, if the app answers without its body: the other streams of the connection stop,
and the task stays until the server stops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from hypercorn.protocol.events import Request
from hypercorn.protocol.http_stream import HTTPStream

from .versions import can_repair

_MARK = "drops_what_an_app_has_left"


def repair() -> None:
    """Close the queue when the app has ended, and drop what is still sent to it."""
    handle: Callable[[Any, Any], Awaitable[None]] = HTTPStream.handle
    app_send: Callable[[Any, Any], Awaitable[None]] = HTTPStream.app_send
    if hasattr(handle, _MARK) or not can_repair("a queue of an app that has ended", HTTPStream, ("handle", "app_send")):
        return

    async def drop_if_closed(self: Any, event: Any) -> None:
        with suppress(trio.ClosedResourceError):
            await handle(self, event)

    def handle_or_drop(self: Any, event: Any) -> Awaitable[None]:
        return handle(self, event) if isinstance(event, Request) else drop_if_closed(self, event)

    async def close_and_send(self: Any, message: Any) -> None:
        if message is None and isinstance(queue := getattr(self.app_put, "__self__", None), trio.MemorySendChannel):
            queue.close()
        await app_send(self, message)

    for name, repaired in {"handle": handle_or_drop, "app_send": close_and_send}.items():
        repaired.original = getattr(HTTPStream, name)  # type: ignore[attr-defined]
        setattr(repaired, _MARK, True)
        setattr(HTTPStream, name, repaired)
