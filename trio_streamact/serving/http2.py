"""Connections that carry several requests at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, final

from hypercorn.protocol.h2 import H2Protocol

from .asgi import Send
from .versions import can_repair


def protocol_behind(send: Send) -> Any:
    """Give hypercorn's protocol of HTTP/2 or HTTP/3 behind *send*, or None where it is another."""
    protocol = getattr(getattr(getattr(send, "__self__", None), "send", None), "__self__", None)
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
    if getattr(init, "repaired", False) or not can_repair("a late body on HTTP/2", H2Protocol, ("_handle_events",)):
        return

    def init_and_keep(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        keep_answered_streams(self)

    init_and_keep.repaired = True  # type: ignore[attr-defined]
    H2Protocol.__init__ = init_and_keep  # type: ignore[method-assign]


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
