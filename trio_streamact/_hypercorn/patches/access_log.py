"""The access log: each request stands there once, with the status of its response.

Fault: hypercorn writes one line when the end of a response is sent, and one without a status when the stream is closed
before it has noted that end. A client that closes its connection as soon as it has the whole response comes in between,
and its request stands there twice; statsd counts it twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.protocol.events import EndBody, Request, StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.utils import suppress_body

from .versions import can_repair

LOG_S = 1.0
"""How long a logger may take for a request whose task is cancelled, in seconds."""

_BEGAN_AT = "_trio_streamact_began_at"
_BODY_BYTES = "_trio_streamact_body_bytes"
_IS_LOGGED = "_trio_streamact_is_logged"


def repair() -> None:
    """Log each request once: when its response is over, or when the client leaves before that."""
    handle: Callable[[Any, Any], Awaitable[None]] = HTTPStream.handle
    parts = ("handle", "app_send", "_send_closed", "_send_error_response")
    if hasattr(handle, "original") or not can_repair("the access log", HTTPStream, parts):
        return
    app_send: Callable[[Any, Any], Awaitable[None]] = HTTPStream.app_send
    send_error_response: Callable[[Any, int], Awaitable[None]] = HTTPStream._send_error_response

    def handle_or_close(self: Any, event: Any) -> Awaitable[None]:
        if isinstance(event, Request):
            setattr(self, _BEGAN_AT, trio.current_time())
        return _close(self) if isinstance(event, StreamClosed) and not self.closed else handle(self, event)

    def count_and_send(self: Any, message: Any) -> Awaitable[None]:
        if message is not None and message["type"] == "http.response.body":
            setattr(self, _BODY_BYTES, getattr(self, _BODY_BYTES, 0) + len(message.get("body", b"")))
        return app_send(self, message)

    async def send_error_response_once(self: Any, status_code: int) -> None:
        self.state = ASGIHTTPState.CLOSED  # from here on it is logged here
        try:
            await send_error_response(self, status_code)
        except BaseException:
            await _log_once(self, None)
            raise

    for name, repaired in {
        "handle": handle_or_close,
        "app_send": count_and_send,
        "_send_closed": _send_closed,
        "_send_error_response": send_error_response_once,
    }.items():
        repaired.original = getattr(HTTPStream, name)  # type: ignore[attr-defined]
        setattr(HTTPStream, name, repaired)


async def _close(stream: Any) -> None:
    """Take the end of *stream*: its response is over, or its client has left."""
    stream.closed = True
    try:
        if stream.state is not ASGIHTTPState.CLOSED:  # else it is logged where it is ended
            await _log_once(stream, stream.response if _is_whole(stream) else None)
    finally:
        if getattr(stream, "app_put", None) is not None:
            await stream.app_put({"type": "http.disconnect"})


async def _send_closed(stream: Any) -> None:
    """End the response."""
    stream.state = ASGIHTTPState.CLOSED  # from here on it is logged here
    try:
        await stream.send(EndBody(stream_id=stream.stream_id))
    finally:
        await _log_once(stream, stream.response)
    await stream.send(StreamClosed(stream_id=stream.stream_id))


async def _log_once(stream: Any, response: Any) -> None:
    if not getattr(stream, _IS_LOGGED, False):
        setattr(stream, _IS_LOGGED, True)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LOG_S):  # statsd's waits for its socket
            took_s = trio.current_time() - getattr(stream, _BEGAN_AT)
            await stream.config.log.access(stream.scope, response, took_s)


def _is_whole(stream: Any) -> bool:
    """Return True if the app has given as much of a body as its response promises, so that its client may leave."""
    response = getattr(stream, "response", None)
    if response is None:
        return False
    if suppress_body(stream.scope["method"], int(response["status"])):
        return True
    promised = [value for name, value in response.get("headers", []) if bytes(name).lower() == b"content-length"]
    return promised == [b"%d" % getattr(stream, _BODY_BYTES, 0)]
