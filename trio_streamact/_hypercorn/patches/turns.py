"""Turns for all others while much is handled that one client has sent.

Fault: hypercorn handles all that it has read from a connection of HTTP/2, up to 64 KiB, at once. That may be thousands
of frames, and hundreds of milliseconds in which no other connection is served.

Fault: what an app sends to a client that has left is dropped without a checkpoint. An app that sends without end, and
would be cancelled at its next checkpoint, holds the worker forever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter
from typing import Any, final

import attrs
import h11
import trio
from hypercorn.protocol.events import Body
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

from .versions import can_repair

PIECE_BYTES = 2048
"""How much is handled before the time is looked at. The smallest frames have nine bytes."""

TURN_S = 0.002
"""How long others wait for a turn, give or take what one piece costs."""


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut *data* into pieces."""
    return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))


@final
@attrs.define(eq=False)
class Turn:
    """The time in which one task runs, and no other."""

    _began_at: float = attrs.field(factory=perf_counter, init=False)

    async def give(self) -> None:
        """Give others their turn, if this one was long."""
        if perf_counter() - self._began_at > TURN_S:
            await trio.lowlevel.checkpoint()
            self._began_at = perf_counter()


def repair() -> None:
    """Give others a turn when an app sends what nobody takes any more."""
    for protocol, takes in ((H11Protocol, _http1_takes), (H2Protocol, _http2_takes)):
        send: Callable[[Any, Any], Awaitable[None]] = protocol.stream_send
        if not getattr(send, "repaired", False) and can_repair(
            "an app that sends to nobody", protocol, ("stream_send",)
        ):
            _give_turns(protocol, send, takes)


def _give_turns(protocol: Any, send: Callable[[Any, Any], Awaitable[None]], takes: Callable[[Any, Any], bool]) -> None:
    async def yield_and_send(self: Any, event: Any) -> None:
        await trio.lowlevel.checkpoint()
        await send(self, event)

    def send_or_yield(self: Any, event: Any) -> Awaitable[None]:
        is_dropped = isinstance(event, Body) and not takes(self, event)
        return yield_and_send(self, event) if is_dropped else send(self, event)

    send_or_yield.original = send  # type: ignore[attr-defined]
    send_or_yield.repaired = True  # type: ignore[attr-defined]
    protocol.stream_send = send_or_yield


def _http1_takes(protocol: Any, _: Any) -> bool:
    return protocol.connection.our_state is h11.SEND_BODY


def _http2_takes(protocol: Any, event: Any) -> bool:
    buffer = protocol.stream_buffers.get(event.stream_id)
    return buffer is not None and not buffer._complete
