"""Requests of HTTP/1.1 that are refused before any app is asked.

Fault 1: hypercorn serves a request with both ``Content-Length`` and ``Transfer-Encoding``, and keeps its connection. A
proxy that believes the other of the two takes the rest of the body for the next request. RFC 9112, 6.1, has a server
close such a connection; like nginx, we do not serve the request either.

Fault 2: hypercorn answers a request for a host that it does not serve, and an invalid handshake of a WebSocket, by
itself, with ``Connection: close``; and neither closes the connection nor starts its timer. It stays for as long as the
client likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.events import Closed
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol

from .versions import can_repair

_LENGTHS = {b"content-length", b"transfer-encoding"}


def repair() -> None:
    """Answer a request with two lengths 400, and close the connection of each request that is refused."""
    create: Callable[[Any, Any], Awaitable[None]] = H11Protocol._create_stream
    parts = ("_create_stream", "_send_error_response", "stream_send")
    if hasattr(create, "original") or not can_repair("a request that is refused", H11Protocol, parts):
        return

    async def create_or_close(self: Any, request: Any) -> None:
        if len(_LENGTHS.intersection(name for name, _ in request.headers)) > 1:  # h11 has them in lower case
            # As where h11 refuses a request, and by the task that reads: what comes next is not read any more.
            await self._send_error_response(400)
            await self.send(Closed())
            return
        await create(self, request)
        if self.stream is not None and self.stream.closed:
            await self.stream_send(StreamClosed(stream_id=STREAM_ID))

    create_or_close.original = create  # type: ignore[attr-defined]
    H11Protocol._create_stream = create_or_close  # type: ignore[method-assign]
