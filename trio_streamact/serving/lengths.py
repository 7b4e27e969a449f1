"""Requests of HTTP/1.1 with two lengths.

Fault: hypercorn serves a request with both ``Content-Length`` and ``Transfer-Encoding``, and keeps its connection. A
proxy that believes the other of the two takes the rest of the body for the next request. RFC 9112, 6.1, has a server
close such a connection; like nginx, we do not serve the request either.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.events import Closed
from hypercorn.protocol.h11 import H11Protocol

from .versions import can_repair

_LENGTHS = {b"content-length", b"transfer-encoding"}


def repair() -> None:
    """Answer such a request 400, and close its connection."""
    create: Callable[[Any, Any], Awaitable[None]] = H11Protocol._create_stream
    parts = ("_create_stream", "_send_error_response")
    if hasattr(create, "original") or not can_repair("a request with two lengths", H11Protocol, parts):
        return

    def create_or_refuse(self: Any, request: Any) -> Awaitable[None]:
        has_two = len(_LENGTHS.intersection(name for name, _ in request.headers)) > 1  # h11 has them in lower case
        return _refuse(self) if has_two else create(self, request)

    create_or_refuse.original = create  # type: ignore[attr-defined]
    H11Protocol._create_stream = create_or_refuse  # type: ignore[method-assign, assignment]


async def _refuse(protocol: Any) -> None:
    # As hypercorn does where h11 refuses a request, and by the task that reads: what comes next is not read any more.
    await protocol._send_error_response(400)
    await protocol.send(Closed())
