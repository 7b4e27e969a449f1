"""Connections that fail alone, and whose clients' faults are one line in the log.

Fault 1: hypercorn's trio worker lets an exception of one connection leave the server, which cuts all others and ends.
One client is enough: with a body that goes on after its response on HTTP/2 it raises a KeyError there, and there are
more such ways.

Fault 2: it closes a connection beside a write. Trio refuses one of the two with a ``BusyResourceError``, which is
logged as a failure of the app, with a traceback. It is enough that a client leaves in the middle of an upload that the
app has refused.
"""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import h2.exceptions
import h11
import trio
import wsproto.utilities
from hypercorn.events import Closed
from hypercorn.trio.tcp_server import TCPServer
from hyperframe.exceptions import HyperframeError

from ..._common.logs import log_by_hypercorn, warn_by_hypercorn
from .versions import can_repair

_FAULTS_OF_CLIENTS = (
    h11.RemoteProtocolError,
    h2.exceptions.ProtocolError,
    wsproto.utilities.RemoteProtocolError,
    HyperframeError,
    binascii.Error,  # of HTTP2-Settings
    UnicodeDecodeError,  # of Host, where server_names is set, and others
    trio.BrokenResourceError,
    trio.BusyResourceError,
    trio.ClosedResourceError,
)
"""What a connection raises outside of any app when its client breaks the protocol, or leaves."""


SAID_CHARS = 200
"""How much of an error that a client caused is logged; its text may quote the client."""


def repair() -> None:
    """Have a connection's failure logged, and end nothing but the connection."""
    _contain(TCPServer, "run")
    _contain_writes()
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
        except* Exception as group:
            errors = list(_leaves(group))
            if all(isinstance(error, _FAULTS_OF_CLIENTS) for error in errors):
                said = ", ".join(f"{type(error).__name__}: {error}" for error in errors)[:SAID_CHARS]
                await warn_by_hypercorn(self.config, "A connection was closed, since its client failed: %a", said)
            else:
                await log_by_hypercorn(self.config, "Error in a connection")

    contained.repaired = True  # type: ignore[attr-defined]
    contained.original = original  # type: ignore[attr-defined]
    setattr(owner, name, contained)


def _contain_writes() -> None:
    send: Callable[[Any, Any], Awaitable[None]] = TCPServer.protocol_send
    if hasattr(send, "original") or not can_repair("a close beside a write", TCPServer, ("protocol_send",)):
        return

    async def send_or_close(self: Any, event: Any) -> None:
        try:
            await send(self, event)
        except trio.BusyResourceError:
            await self.protocol.handle(Closed())  # as hypercorn does where the connection is closed already

    send_or_close.original = send  # type: ignore[attr-defined]
    TCPServer.protocol_send = send_or_close  # type: ignore[method-assign]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
