"""Work around two faults of httpcore2 in HTTP/2 requests that are cancelled.

The faults (in httpcore2 up to at least 2.16):

- When a response is closed early, httpcore2 sends nothing to the server. The handler then runs until the connection
  ends. The data that it still sends uses up the flow-control window of the connection, and httpcore2 never returns that
  window; in the end no stream of the connection receives anything. This module sends RST_STREAM and returns the window.
- A request that is cancelled while it is being sent leaves the connection, which other requests use too, half set up,
  or in another state than the server's. This module delays the cancellation until the request is sent.

Both use httpcore2's ``trace`` extension, which is called at every step of a request. To find the connection of a
stream, private attributes of httpx2 and httpcore2 are needed. If they are not as expected, streams stay open, and one
warning is logged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import Any, final

import attrs
import httpx2
import trio

from .._common.logs import client_log

CANCEL = 8
"""RFC 9113, 7: "The endpoint uses this error code to indicate that the stream is no longer needed." """

SEND_S = 5.0
"""How long sending the head of a request may delay a cancellation, in seconds."""

RESET_S = 1.0
"""How long writing a RST_STREAM may take, in seconds."""


@final
@attrs.define(eq=False)
class Http2Request:
    """One request, which may be sent over HTTP/2.

    Attributes:
        sending: The caller sends the request in this cancel scope.
    """

    _http: httpx2.AsyncClient
    sending: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _request: Any = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle an event of the ``trace`` extension."""
        match event:
            case "http2.send_connection_init.started":
                self._delay_cancellation(True)
            case "http2.send_request_headers.started":
                self._request = info["request"]
                self._delay_cancellation(True)
            case "http2.send_request_headers.complete" | "http2.send_request_headers.failed":
                self._delay_cancellation(False)
            case "http2.response_closed.started":
                await self._reset_stream(info["stream_id"])

    def _delay_cancellation(self, delayed: bool) -> None:
        self.sending.shield = delayed
        self.sending.deadline = trio.current_time() + SEND_S if delayed else math.inf

    async def _reset_stream(self, stream_id: int) -> None:
        connection = self._connection()
        if connection is None:
            _warn_once_that_streams_stay_open()
        else:
            await _reset(connection, stream_id)

    def _connection(self) -> Any:
        """Return the connection that sent the request, or None if it cannot be found."""
        with suppress(AttributeError, KeyError):
            url = self._request.url
            url = httpx2.URL(scheme=url.scheme.decode(), host=url.host.decode(), port=url.port)
            transport: Any = self._http._transport_for_url(url)
            for pending in transport._pool._requests:
                if pending.request is self._request:
                    return _innermost(pending.connection)
        return None


def _innermost(connection: Any) -> Any:
    """Return the HTTP/2 connection inside its wrappers; with a proxy there are more of them."""
    while not hasattr(connection, "_h2_state"):
        connection = connection._connection
    return connection


async def _reset(connection: Any, stream_id: int) -> None:
    import h2.exceptions  # an optional dependency, which is installed if HTTP/2 is in use

    state = connection._h2_state
    with suppress(h2.exceptions.ProtocolError):  # the stream or the connection has ended
        for event in connection._events.get(stream_id, ()):
            if unread := getattr(event, "flow_controlled_length", 0):
                state.acknowledge_received_data(unread, stream_id)
        state.reset_stream(stream_id, CANCEL)
        # A write that is cancelled could leave half a frame on the connection, so the write has its own timeout. The
        # outer timeout limits the wait for other writes. If it ends that wait, the next write sends the frame.
        timeouts = SimpleNamespace(extensions={"timeout": {"write": RESET_S}})
        with trio.move_on_after(2 * RESET_S, shield=True), suppress(Exception):
            await connection._write_outgoing_data(timeouts)


@cache
def _warn_once_that_streams_stay_open() -> None:
    client_log.warning(
        "HTTP/2 streams that are closed early stay open on the server: cannot find the connection in this HTTP client"
    )
