"""HTTP/2 connections: what happens to one stream ends no other, and a stream that is over leaves nothing."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, final

from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import Settings
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState
from hyperframe.exceptions import HyperframeError

from ..._common.logs import log_by_hypercorn
from ..http1_writer import repair_http2
from .flow_control import free
from .turns import Turn, pieces
from .versions import can_repair
from .websockets import is_websocket, receive_later

_MALFORMED = (ProtocolError, UnicodeDecodeError, UnboundLocalError)
"""What hypercorn raises at a frame for a closed stream, at a path or method beyond ASCII, and at a missing path."""


def protocol_behind(http: Any) -> Any:
    """Give hypercorn's protocol of HTTP/2 or HTTP/3 behind *http*, an ``HTTPStream``; None where it is another."""
    protocol = getattr(http.send, "__self__", None)
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
    """Repair every HTTP/2 connection that begins from now on."""
    init: Callable[..., None] = H2Protocol.__init__
    parts = ["_handle_events", "handle", "initiate", "stream_send", "_create_stream", "_close_stream"]
    parts += ["_priority_updated"]
    if hasattr(init, "original") or not can_repair("what ends a stream of HTTP/2", H2Protocol, parts):
        return

    def init_and_keep(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        keep_answered_streams(self)
        if hasattr(getattr(self.send, "__self__", None), "send_lock"):  # before anything is written
            repair_http2(self)
        self.connection.local_settings = _Settings(client=False, initial_values=dict(self.connection.local_settings))

    _replace("__init__", init_and_keep)
    _replace("initiate", _initiate_with(H2Protocol.initiate))
    _contain_events()
    _free_streams()
    _replace("_priority_updated", _ignore_priority)


def _replace(name: str, repaired: Callable[..., Any]) -> None:
    repaired.original = getattr(H2Protocol, name)  # type: ignore[attr-defined]
    setattr(H2Protocol, name, repaired)


def _contain_events() -> None:
    """Have a failure at an event of one stream end that stream alone.

    Fault: an exception at one event leaves the connection, and all streams on it are cut. In the drain period it is
    enough that a client opens a stream and resets it in one packet: hypercorn resets it too, which h2 refuses.
    """
    handle: Callable[[Any, Any], Awaitable[None]] = H2Protocol._handle_events  # which goes through any iterable

    async def handle_each(self: Any, events: list[Any]) -> None:
        current: Any = None

        def one_by_one() -> Iterator[Any]:
            nonlocal current
            for current in events:  # so that it is known at which one hypercorn fails
                stream = self.streams.get(getattr(current, "stream_id", None))
                if is_websocket(stream) and isinstance(current, (DataReceived, StreamEnded)):
                    receive_later(self, stream, current, partial(_give_up, self, stream.stream_id))
                else:
                    yield current
            current = None

        rest = one_by_one()
        while True:  # hypercorn goes on with the event after the one at which it failed
            try:
                await handle(self, rest)
                break
            except Exception as error:
                if not (stream_id := getattr(current, "stream_id", None)):
                    raise  # it is about the connection
                await _give_up(self, stream_id, error)
        if any(isinstance(event, (RequestReceived, StreamReset)) for event in events):
            await rest_if_idle(self)

    _replace("_handle_events", handle_each)


async def _give_up(protocol: Any, stream_id: int, error: Exception) -> None:
    """Reset a stream at whose event hypercorn has failed."""
    is_malformed = isinstance(error, _MALFORMED)
    if getattr(protocol.streams.get(stream_id), "app_put", None) is None:
        protocol.streams.pop(stream_id, None)  # no app was started that must learn of the end
    await reset_stream(protocol, stream_id, ErrorCodes.PROTOCOL_ERROR if is_malformed else ErrorCodes.INTERNAL_ERROR)
    if not is_malformed:
        await log_by_hypercorn(protocol.config, "Error in an HTTP/2 stream, which was reset")


def _free_streams() -> None:
    """Free all that is kept of a stream when it is over, however it ends.

    Fault: hypercorn forgets a stream's buffer and node only where it has sent its end itself (`flow_control`). A
    stream whose app has left without an end is not ended for its client either, and one that hypercorn refuses by
    itself (a wrong host, an invalid handshake) counts as open forever.
    """
    create: Callable[[Any, Any], Awaitable[None]] = H2Protocol._create_stream
    close: Callable[[Any, int], Awaitable[None]] = H2Protocol._close_stream
    take: Callable[[Any, Any], Awaitable[None]] = H2Protocol.handle
    send: Callable[[Any, Any], Awaitable[None]] = H2Protocol.stream_send

    async def create_or_close(self: Any, request: Any) -> None:
        if _is_one_too_many(self, request.stream_id):
            await reset_stream(self, request.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        await create(self, request)
        stream = self.streams.get(request.stream_id)
        if stream is not None and stream.closed:
            await self._close_stream(request.stream_id)

    async def close_and_free(self: Any, stream_id: int) -> None:
        was_reset = await _settle(self, stream_id)  # first: an app that waits for its buffer takes no disconnect
        await close(self, stream_id)
        if was_reset:
            await self._flush()

    async def take_and_forget(self: Any, event: Any) -> None:
        if isinstance(event, RawData):
            turn = Turn()
            for piece in pieces(event.data):
                if not self.closed:
                    await take(self, RawData(data=piece))
                    await turn.give()
            return
        await take(self, event)
        if isinstance(event, Closed):
            for stream_id in list(self.stream_buffers):  # of streams whose apps have left, or wait for a window
                await free(self, stream_id)
            await self.send(Updated(idle=False))  # or the task with the timer stays for as long as that runs

    async def send_and_forget(self: Any, event: Any) -> None:
        await send(self, event)
        if isinstance(event, StreamClosed) and self.closed:
            await self.send(Updated(idle=False))  # an app that ends after its client has started the timer again

    _replace("stream_send", send_and_forget)
    _replace("_create_stream", create_or_close)
    _replace("_close_stream", close_and_free)
    _replace("handle", take_and_forget)


async def _settle(protocol: Any, stream_id: int) -> bool:
    """Free what is kept of a stream that is closed, unless it is to be sent first; return whether that took a reset."""
    buffer = protocol.stream_buffers.get(stream_id)
    if buffer is None:
        return False
    if protocol.closed or _is_closed(protocol.connection, stream_id):
        await free(protocol, stream_id)
    elif is_websocket(stream := protocol.streams.get(stream_id)) and stream.state is not ASGIWebsocketState.HANDSHAKE:
        buffer.set_complete()  # its last frame waits there, and ends it
        protocol.priority.unblock(stream_id)
    elif not buffer._complete:  # its app has left: what the client has had must not look whole
        await _reset(protocol, stream_id, ErrorCodes.INTERNAL_ERROR)
        return True
    return False


def _is_closed(connection: Any, stream_id: int) -> bool:
    _ = connection.open_inbound_streams  # reading it has h2 forget the streams that are closed
    try:
        connection.local_flow_control_window(stream_id)
    except ProtocolError:
        return True
    return False


async def reset_stream(protocol: Any, stream_id: int, code: ErrorCodes) -> None:
    """Reset a stream, tell its app, free all that is kept of it, and leave the others of its connection alone."""
    await _reset(protocol, stream_id, code)
    await protocol._close_stream(stream_id)
    await protocol._flush()
    await rest_if_idle(protocol)


async def _reset(protocol: Any, stream_id: int, code: ErrorCodes) -> None:
    if not _is_closed(protocol.connection, stream_id):
        with suppress(ProtocolError):  # the connection is closed
            protocol.connection.reset_stream(stream_id, error_code=code)
    await free(protocol, stream_id)


@final
class _Settings(Settings):
    """What h2 tells the client of this side, and obeys itself.

    Fault: h2 ends the connection, and with it all streams on it, at a stream more than the client may open. RFC 9113,
    5.1.2, has that for an error of this stream. So h2 takes any number, and the stream is refused when it is begun.
    """

    max_concurrent_streams = 2**31 - 1


def _is_one_too_many(protocol: Any, stream_id: int) -> bool:
    """Return True if as many streams as may be were open before this one; more of them may be in h2 already."""
    streams = protocol.connection.streams.items()
    before = sum(stream.open for other, stream in streams if other < stream_id and other % 2)
    return bool(before >= protocol.config.h2_max_concurrent_streams)


def _initiate_with(initiate: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Handle the request of an upgrade from HTTP/1.1 like any other.

    Fault: hypercorn handles it before the task runs that sends. If it answers by itself, it waits forever for the end
    of its answer to be sent; and a request or a setting that is malformed ends the connection with a traceback.
    """

    async def initiate_and_handle(self: Any, headers: Any = None, settings: bytes | None = None) -> None:
        try:
            await initiate(self, None, settings)
        except (ProtocolError, ValueError, HyperframeError):
            if settings is None:
                raise
            await self.send(Closed())
            return
        if headers is not None:
            request, end = RequestReceived.__new__(RequestReceived), StreamEnded.__new__(StreamEnded)
            request.stream_id, request.headers, end.stream_id = 1, headers, 1  # older h2 take no arguments
            await self._handle_events([request, end])

    return initiate_and_handle


async def _ignore_priority(_: Any, __: object) -> None:
    """Take a PRIORITY frame, and do nothing.

    Fault: hypercorn gives each stream of which such a frame tells a node, also streams that are over, and those that
    never come. RFC 9113, 5.3.2, deprecates these frames.
    """


async def rest_if_idle(protocol: Any) -> None:
    """Have a connection closed in time on which nothing is open any more.

    Fault: hypercorn starts the timer of an idle connection behind a response, and not behind a reset: what a client
    leaves so stays for ever.
    """
    if protocol.idle and not protocol.closed:
        await protocol.send(Updated(idle=True))


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
