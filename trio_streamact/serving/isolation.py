"""Connections that fail alone.

Fault: hypercorn's trio worker lets an exception of one connection leave the server, which cuts all others and ends. One
client is enough: with a body that goes on after its response on HTTP/2 it raises a KeyError there, and there are more
such ways.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.trio.tcp_server import TCPServer

from ..logs import log_by_hypercorn
from .versions import can_repair


def repair() -> None:
    """Have a connection's failure logged, and end nothing but the connection."""
    _contain(TCPServer, "run")
    try:
        from hypercorn.protocol.quic import QuicProtocol
    except ImportError:  # without aioquic, nothing of QUIC is served
        return
    _contain(QuicProtocol, "handle")


def _contain(owner: Any, name: str) -> None:
    if getattr(getattr(owner, name, None), "repaired", False):
        return
    if not can_repair("a connection that fails", owner, (name,)):
        return
    original: Callable[..., Awaitable[None]] = getattr(owner, name)

    async def contained(self: Any, *arguments: Any) -> None:
        try:
            await original(self, *arguments)
        except* Exception:
            await log_by_hypercorn(self.config, "Error in a connection")

    contained.repaired = True  # type: ignore[attr-defined]
    contained.original = original  # type: ignore[attr-defined]
    setattr(owner, name, contained)
