"""Connections that carry several requests at once."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, final

from h2.events import StreamReset
from hypercorn.events import Closed, Updated
from hypercorn.protocol.h2 import H2Protocol

from .versions import can_repair


def protocol_behind(http: Any) -> Any:
    """Give hypercorn's protocol of HTTP/2 or HTTP/3 behind *http*, an ``HTTPStream``; None where it is another."""
    protocol = getattr(http.send, "__self__", None)
    return protocol if isinstance(getattr(protocol, "streams", None), dict) else None


def lift_request_limit(protocol: Any) -> None:
    """Let a connection carry any number of requests.

    Fault: behind ``keep_alive_max_requests`` requests (1000 by default) hypercorn closes the state machine of a
    connection of HTTP/2; the streams that are open then go silent, their handlers run on, and what they write is
    dropped without a word.
    """
    if hasattr(protocol, "keep_alive_requests"):
        protocol.keep_alive_requests = -math.inf  # hypercorn counts up from here


def repair() -> None:
    """Have every connection of HTTP/2 take what comes behind a response, and what it refuses while it shuts down."""
    init: Callable[..., None] = H2Protocol.__init__
    parts = ("_handle_events", "handle")
    if getattr(init, "repaired", False) or not can_repair("a late body on HTTP/2", H2Protocol, parts):
        return

    def init_and_keep(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        keep_answered_streams(self)

    init_and_keep.repaired = True  # type: ignore[attr-defined]
    H2Protocol.__init__ = init_and_keep  # type: ignore[method-assign]
    handle: Callable[..., Awaitable[None]] = H2Protocol._handle_events

    async def handle_and_rest(self: Any, events: list[Any]) -> None:
        await handle(self, events)
        if any(isinstance(event, StreamReset) for event in events):
            await rest_if_idle(self)

    H2Protocol._handle_events = handle_and_rest  # type: ignore[method-assign]
    take: Callable[..., Awaitable[None]] = H2Protocol.handle

    async def take_and_forget(self: Any, event: Any) -> None:
        await take(self, event)
        if isinstance(event, Closed):
            await self.send(Updated(idle=False))  # or the task with the timer stays for as long as that runs

    H2Protocol.handle = take_and_forget  # type: ignore[method-assign]


async def rest_if_idle(protocol: Any) -> None:
    """Have a connection closed in time on which nothing is open any more.

    Fault: hypercorn starts the timer of an idle connection behind a response, and not behind a reset: what a client
    leaves so stays for ever.
    """
    if protocol.idle:
        await protocol.send(Updated(idle=True))


def keep_answered_streams(protocol: Any) -> None:
    """Take what a client still sends behind its response.

    Fault: hypercorn forgets a stream with its response, and fails at the next piece of its request.
    """
    if type(protocol.streams) is dict:
        protocol.streams = _Streams(protocol.streams)


@final
class _Answered:
    """A stream that has its response: it takes the rest of its request, and does nothing with it."""

    idle = True

    async def handle(self, event: object) -> None:
        """Drop *event*."""


@final
class _Streams(dict[int, Any]):
    def __missing__(self, _: int) -> _Answered:
        return _Answered()
