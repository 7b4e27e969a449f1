"""WebSockets: no handshake, and nothing that follows one, leaves a task or a connection behind.

Fault 1: data before the app has accepted is answered 400, and then neither the app learns of the end nor is the
connection closed: the app waits forever. If the app rejects at the same time, the two responses collide, which ends the
connection with a traceback.

Fault 2: on HTTP/2 the task that reads the connection handles the data of a WebSocket, and waits until the app takes a
message, or until the client takes a response. Only that task could read that the client opens a window, or leaves.

Fault 3: messages that the app does not take keep the reader waiting forever, on HTTP/1.1 too: when the client has left,
which the reader does not see then, and when the app has ended.

Fault 4: data after the close, and header fields that cannot be parsed, end the connection with a traceback.

Fault 5: what the app sends to a client that has closed, or has left, is dropped without a checkpoint. An app that sends
without end holds the worker forever.

Fault 6: a message that is too large is answered with a close, and then collected further.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, final
from urllib.parse import unquote, urlsplit

import attrs
import trio
from h2.events import DataReceived
from h2.exceptions import ProtocolError
from hypercorn.protocol.events import Body, Data, EndBody, Request, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from quart import Quart
from wsproto.events import CloseConnection, Ping
from wsproto.extensions import PerMessageDeflate
from wsproto.handshake import server_extensions_handshake
from wsproto.utilities import LocalProtocolError, split_comma_header

from ..disconnects import is_disconnect
from .turns import Turn, pieces
from .versions import can_repair

Failed = Callable[[Exception], Awaitable[None]]

_PARSED = {b"connection", b"sec-websocket-extensions", b"sec-websocket-protocol"}
_VERSION = b"sec-websocket-version"
_IS_REFUSED = "_trio_streamact_is_refused"
_INBOUND = "_trio_streamact_inbound"
_IS_REJECTED = "_trio_streamact_is_rejected"
_IS_TOO_LARGE = "_trio_streamact_is_too_large"

PING_S = 15.0
"""How long a message may wait for the app before the client is asked whether it is there, in seconds."""

LEAVE_S = 5.0
"""How long an app may take for what has arrived from a client that has left, in seconds."""


def repair() -> None:
    """Repair every WebSocket that begins from now on."""
    handle: Callable[[Any, Any], Awaitable[None]] = WSStream.handle
    parts = ("handle", "app_send", "_handle_events", "_send_error_response")
    if hasattr(handle, "original") or not can_repair("what a WebSocket leaves behind", WSStream, parts):
        return
    app_send: Callable[[Any, Any], Awaitable[None]] = WSStream.app_send

    async def handle_or_drop(self: Any, event: Any) -> None:
        with suppress(trio.ClosedResourceError):  # of the app's queue: the app has ended
            if isinstance(event, Request):
                queue = _Queue(self)
                self.app = partial(queue.run, self.app)
                await handle(self, _checked(event))
                if self.closed:  # hypercorn has refused it
                    await self.send(StreamClosed(stream_id=self.stream_id))
                elif isinstance(channel := self.app_put.__self__, trio.MemorySendChannel):
                    queue.use(channel)
                    self.app_put = queue.put
            elif isinstance(event, (Body, Data)):
                await _receive(self, event.data)
            elif not isinstance(event, EndBody):
                await handle(self, event)
            elif not (self.closed or _is_rejected(self)):
                await self.send(StreamClosed(stream_id=self.stream_id))

    async def send_or_drop(self: Any, message: Any) -> None:
        if message is None:
            if self.app_put is not None:
                self.app_put.__self__.close()  # the reader may wait there for room, which nobody makes any more
        elif message["type"] == "websocket.http.response.body":
            setattr(self, _IS_REJECTED, True)  # hypercorn notes it when the head is written
        if message is not None:
            await trio.lowlevel.checkpoint()  # hypercorn drops much without one, forever if the app sends without end
        if not getattr(self, _IS_REFUSED, False):
            await app_send(self, message)

    for name, repaired in {"handle": handle_or_drop, "app_send": send_or_drop}.items():
        repaired.original = getattr(WSStream, name)  # type: ignore[attr-defined]
        setattr(WSStream, name, repaired)
    _log_no_disconnect()


def _log_no_disconnect() -> None:
    """Have Quart log no client that leaves.

    Fault: Quart 0.23 raises in the handler where a client has left, and logs that as a failure of the app.
    """
    handle: Callable[..., Awaitable[Any]] = Quart.handle_websocket_exception

    async def handle_or_drop(self: Any, *arguments: Any) -> Any:
        return None if is_disconnect(arguments[-1]) else await handle(self, *arguments)

    handle_or_drop.original = handle  # type: ignore[attr-defined]
    setattr(Quart, "handle_websocket_exception", handle_or_drop)  # noqa: B010 - its type differs between releases


def _checked(request: Any) -> Any:
    """Return *request* as it is, or one that hypercorn refuses if it, wsproto or Quart would fail at it."""
    try:
        is_valid = urlsplit(unquote(request.raw_path.partition(b"?")[0].decode("ascii"))).path.startswith("/")
        for name, value in request.headers:
            if name.lower() in _PARSED:
                parts = split_comma_header(value)
                if name.lower() == b"sec-websocket-extensions":
                    server_extensions_handshake(parts, [PerMessageDeflate()])
    except ValueError:
        is_valid = False
    if is_valid:
        return request
    left_out = _PARSED | {_VERSION}  # without a version, a handshake is invalid
    return replace(request, headers=[field for field in request.headers if field[0].lower() not in left_out])


async def _receive(stream: Any, data: bytes) -> None:
    """Take what the client has sent."""
    if not data or stream.closed or getattr(stream, _IS_REFUSED, False):
        return  # a frame of HTTP/2 that has no data may carry the end
    if stream.handshake.accepted:
        await _receive_frames(stream, data)
    elif not _is_rejected(stream):
        setattr(stream, _IS_REFUSED, True)  # from here on the app's own response would be a second one
        await stream._send_error_response(400)
        await stream.send(StreamClosed(stream_id=stream.stream_id))


def _is_rejected(stream: Any) -> bool:
    """Return True if the app has answered without accepting. What the client sends meanwhile is dropped."""
    return getattr(stream, _IS_REJECTED, False) or stream.state is ASGIWebsocketState.HTTPCLOSED


@final
@attrs.define(eq=False)
class _Queue:
    """Where messages wait for the app of one WebSocket."""

    _stream: Any
    _channel: Any = attrs.field(default=None, init=False)
    _disconnect: Any = attrs.field(default=None, init=False)
    _left: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    async def run(self, app: Callable[..., Awaitable[None]], scope: Any, receive: Any, *others: Any) -> None:
        """Run *app* until it ends, or until its client has left and it does not take that."""

        async def receive_or_disconnect() -> Any:
            message = self._disconnect if self._disconnect is not None and self._is_empty() else await receive()
            if message["type"] == "websocket.disconnect":
                self._left.deadline = math.inf
            return message

        with self._left:
            await app(scope, receive_or_disconnect, *others)

    def _is_empty(self) -> bool:
        return bool(self._channel.statistics().current_buffer_used == 0)

    def use(self, channel: trio.MemorySendChannel[Any]) -> None:
        """Use *channel*, which hypercorn has made for the app."""
        self._channel = channel

    async def put(self, message: Any) -> None:
        """Put *message*, when there is room; but a disconnect waits for nobody."""
        if message["type"] == "websocket.disconnect":
            self._left.deadline = trio.current_time() + LEAVE_S
            try:
                self._channel.send_nowait(message)
            except trio.WouldBlock:
                self._disconnect = message
            return
        while True:
            with trio.move_on_after(PING_S):
                await self._channel.send(message)
                return
            await self._stream._send_wsproto_event(Ping())  # which fails if the client has left

    def close(self) -> None:
        """Take no more messages, and wake who waits for room."""
        self._channel.close()


async def _receive_frames(stream: Any, data: bytes) -> None:
    turn = Turn()
    for piece in pieces(data):
        if stream.closed:
            return
        with suppress(LocalProtocolError):  # the client has sent its close already
            stream.connection.receive_data(piece)
            if not getattr(stream, _IS_TOO_LARGE, False):
                await stream._handle_events()
            if stream.buffer.length > stream.buffer.max_length:
                stream.buffer.clear()
                setattr(stream, _IS_TOO_LARGE, True)
            if getattr(stream, _IS_TOO_LARGE, False):
                await _drop_until_close(stream)
        await turn.give()


async def _drop_until_close(stream: Any) -> None:
    """Drop what follows the close that hypercorn has sent. Source: RFC 6455, 5.5.1."""
    if any(isinstance(event, CloseConnection) for event in stream.connection.events()):
        await stream.send(StreamClosed(stream_id=stream.stream_id))


def is_websocket(stream: object) -> bool:
    """Return True if *stream*, one of HTTP/2, carries a WebSocket."""
    return isinstance(stream, WSStream)


def receive_later(protocol: Any, stream: Any, event: Any, failed: Failed) -> None:
    """Have *stream*, a WebSocket of HTTP/2, handle *event* in a task of its own; *failed* is told of an exception."""
    inbound = getattr(stream, _INBOUND, None)
    if inbound is None:
        inbound = _Inbound(protocol, stream, failed)
        setattr(stream, _INBOUND, inbound)
    inbound.put(event)


@final
@attrs.define(eq=False)
class _Inbound:
    """What has arrived on one WebSocket and is not handled yet.

    It is no more than the client may send without being told to go on, which happens when a piece of it is handled.
    """

    _protocol: Any
    _stream: Any
    _failed: Failed
    _events: deque[Any] = attrs.field(factory=deque, init=False)
    _is_handling: bool = attrs.field(default=False, init=False)

    def put(self, event: Any) -> None:
        self._events.append(event)
        if not self._is_handling:
            self._is_handling = True
            self._protocol.task_group.spawn(self._handle_all)

    async def _handle_all(self) -> None:
        try:
            while self._events:
                await self._handle(self._events.popleft())
        except Exception as error:
            await self._failed(error)
        finally:
            self._is_handling = False

    async def _handle(self, event: Any) -> None:
        if isinstance(event, DataReceived):
            await self._stream.handle(Body(stream_id=event.stream_id, data=event.data))
            with suppress(ProtocolError):  # the connection is closed
                self._protocol.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await self._protocol._flush()
        else:
            await self._stream.handle(EndBody(stream_id=event.stream_id))
