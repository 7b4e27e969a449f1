"""What httpcore2 does wrong with requests of HTTP/2 that are cancelled, mended for our own.

The faults (in httpcore2 up to 2.16 at least):

- A stream that is closed early is let go without a word to the server. Its handler runs for as long as the connection
  lasts, and what it still sends is taken off the connection's window and never given back, until nothing moves on that
  connection at all. We send the RST_STREAM, and give the window back.
- A request that is cancelled in the middle of sending leaves the connection, which others use too, half set up or out
  of step with the server. We do not let it be cancelled there.

Both is done through httpcore2's ``trace`` extension, which is called at every step of a request. But a stream's
connection can be had only out of insides of httpx2 and httpcore2: where they are not as we know them, the streams stay
open, and the log says so, once.
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
"""How long the sending of a request's head may hold a cancellation up, in seconds."""

RESET_S = 1.0
"""How long a connection may take to send a few bytes, in seconds."""


@final
@attrs.define(eq=False)
class Http2Request:
    """One request, which may turn out to be one of HTTP/2.

    Attributes:
        sending: The scope round its sending.
    """

    _http: httpx2.AsyncClient
    sending: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _request: Any = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take the ``trace`` extension's call."""
        match event:
            case "http2.send_connection_init.started":
                self._hold_cancellation(True)
            case "http2.send_request_headers.started":
                self._request = info["request"]
                self._hold_cancellation(True)
            case "http2.send_request_headers.complete" | "http2.send_request_headers.failed":
                self._hold_cancellation(False)
            case "http2.response_closed.started":
                await self._leave(info["stream_id"])

    def _hold_cancellation(self, held: bool) -> None:
        self.sending.shield = held
        self.sending.deadline = trio.current_time() + SEND_S if held else math.inf

    async def _leave(self, stream_id: int) -> None:
        connection = self._connection()
        if connection is None:
            _say_once_that_streams_stay_open()
        else:
            await _reset(connection, stream_id)

    def _connection(self) -> Any:
        """Find the connection that the request was sent on, or None."""
        with suppress(AttributeError, KeyError):
            url = self._request.url
            url = httpx2.URL(scheme=url.scheme.decode(), host=url.host.decode(), port=url.port)
            transport: Any = self._http._transport_for_url(url)
            for pending in transport._pool._requests:
                if pending.request is self._request:
                    return _innermost(pending.connection)
        return None


def _innermost(connection: Any) -> Any:
    """Look through the wrappers of a connection, of which a proxy makes more."""
    while not hasattr(connection, "_h2_state"):
        connection = connection._connection
    return connection


async def _reset(connection: Any, stream_id: int) -> None:
    import h2.exceptions  # which is there where HTTP/2 is

    state = connection._h2_state
    with suppress(h2.exceptions.ProtocolError):  # the stream has ended, or the connection has
        for event in connection._events.get(stream_id, ()):
            if unread := getattr(event, "flow_controlled_length", 0):
                state.acknowledge_received_data(unread, stream_id)
        state.reset_stream(stream_id, CANCEL)
        # A write that is cut short would leave half a frame behind: so it has a limit of its own, within that of the
        # waiting for other writes. Where that is the longer, the frame goes with the next write.
        timeouts = SimpleNamespace(extensions={"timeout": {"write": RESET_S}})
        with trio.move_on_after(2 * RESET_S, shield=True), suppress(Exception):
            await connection._write_outgoing_data(timeouts)


@cache
def _say_once_that_streams_stay_open() -> None:
    client_log.warning("Streams of HTTP/2 that are left early stay open: this HTTP client hides its connections")
