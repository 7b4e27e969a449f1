"""One HTTP request and its response, between the app and the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, final

import attrs
import trio

from .asgi import Message, Receive, Send
from .connection import NO_CONNECTION, Connection, NoConnection
from .http1_writer import NO_HTTP1_WRITER, Http1Writer, NoHttp1Writer
from .shutdown import UnknownWorker, Worker
from .watchdog import Watchdog

SCOPE_KEY = "trio_streamact"

FINISH_S = 1.0
"""How long a finished response may take to be flushed after its stream was closed, in seconds."""

UNREAD_BYTES = 64 * 1024
"""How much of a request body is received before anything asks for it, if it may wait with the client."""

PART_BYTES = 32 * 1024
"""What is sent of a stream at once, where hypercorn copies it, once or twice, and keeps that until the client takes it:
as much as it takes over HTTP/2 before its writer waits."""

REST_LOOK_S = 0.1
"""How often to look whether middleware outside of ours has sent the rest of a response, in seconds."""

UNREAD_LOOK_S = 0.5
"""How often to look whether a client has left whose body waits, in seconds."""


@final
@attrs.define(eq=False)
class Exchange:
    """The ASGI ``receive`` and ``send`` of one request, repaired where app and server disturb each other.

    Finishing. Fault: on the last ``send`` hypercorn closes its stream, which delivers ``http.disconnect`` while that
    ``send`` is still running; quart-trio answers by cancelling the very task that is about to close or recycle the
    connection. HTTP/1.0 and ``Connection: close`` clients never see the end, and no connection ever times out. So a
    disconnect that comes while the last message is sent is delivered after it; but not later than ``FINISH_S``, since
    over HTTP/2 that ``send`` may wait for a client that has closed the connection.

    Attributes:
        connection: The connection, or a stand-in where it cannot be found.
        watchdog: Owns the time of this exchange: heartbeats, and clients that stall.
        received_bytes: How much of the request body was received.
    """

    _receive: Receive
    _send: Send
    connection: Connection | NoConnection
    _is_unwrapped: bool = False
    watchdog: Watchdog = attrs.field(init=False)
    received_bytes: int = attrs.field(default=0, init=False)
    _http1_writer: Http1Writer | NoHttp1Writer = attrs.field(default=NO_HTTP1_WRITER, init=False)
    _is_stream: bool = attrs.field(default=False, init=False)
    _started: bool = attrs.field(default=False, init=False)
    _finished: trio.Event | None = attrs.field(default=None, init=False)
    _wanted: trio.Event | None = attrs.field(default=None, init=False)
    _at_end: list[Callable[[], None]] = attrs.field(factory=list, init=False)

    @watchdog.default
    def _new_watchdog(self) -> Watchdog:
        return Watchdog(self.connection)

    @classmethod
    def without_middleware(cls) -> Self:
        """Return the exchange of a request that reached its app without our middleware: it only has heartbeats."""
        return cls(_not_received, _not_sent, NO_CONNECTION)

    @property
    def has_middleware(self) -> bool:
        """Return True if our middleware serves the request, and ends the exchange."""
        return self._send is not _not_sent

    @property
    def worker(self) -> Worker | UnknownWorker:
        """The worker that serves this exchange."""
        return self.connection.worker

    @property
    def is_over(self) -> bool:
        """Return True if the server has closed the exchange, so that what is sent now reaches no client."""
        return self.connection.is_over

    @property
    def has_started(self) -> bool:
        """Return True if the app has sent the head of the response."""
        return self._started

    def prepare_stream(self, stall_s: float) -> None:
        """Expect an event stream: end it if the client takes too little for *stall_s*, in seconds.

        Its head is kept until a part of the body follows, or until ``flush``.
        """
        self._is_stream = True
        self.watchdog.watch_stream(stall_s)
        if isinstance(self.connection, Connection) and not self.connection.is_multiplexed:
            self._http1_writer = Http1Writer(
                self.connection.server, self.connection.protocol, self.watchdog.about_to_wait
            )
            self._http1_writer.attach()

    @property
    def can_write_directly(self) -> bool:
        """Return True if nothing stands between Quart, which asks a body for its parts, and the client's socket.

        Then `write_nowait` has the same effect as giving Quart the part, but sooner.
        """
        return (
            self._is_unwrapped
            and self._started
            and self._http1_writer.can_write_nowait
            and self.connection.is_fed_by(self._send)
        )

    def write_nowait(self, body: bytes, now: float, ends: bool = False) -> bool:
        """Write *body*, a part of the stream's body, as far as the kernel takes it. Return False if `flush` must go on.

        If it *ends* the stream, the end of the response leaves with it. Only where `can_write_directly`.
        """
        self.watchdog.note_write(now)
        return self._http1_writer.write_nowait(body, ends)

    async def flush(self) -> None:
        """Write what was kept back."""
        watchdog = self.watchdog
        watchdog.note_write(trio.current_time())
        watchdog.sends += 1
        try:
            await self._http1_writer.flush()
        finally:
            watchdog.sends -= 1

    async def finish(self) -> None:
        """End the response of a stream whose last frame is sent, before the app does, whose end is then dropped.

        Not where something stands between the app and the server: it may want to see the end.
        """
        if self._is_unwrapped and self._finished is None:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def end_stream(self) -> None:
        """End the exchange of a stream that is over, if no middleware does."""
        if not self.has_middleware:
            self.leave()

    def hold_body(self, wanted: trio.Event) -> None:
        """Receive no more of a large request body until it is *wanted*: until then it waits with the client.

        A client that leaves meanwhile is found by the heartbeats. Not over HTTP/2, where hypercorn's reader would wait
        with all that the connection carries for other streams.
        """
        if not self.connection.is_multiplexed:
            self._wanted = wanted

    def at_end(self, call: Callable[[], None]) -> None:
        """Call *call* when the exchange is over, even if no stream was opened."""
        self._at_end.append(call)

    def __deepcopy__(self, _: object) -> Self:
        return self  # hypercorn's ProxyFixMiddleware copies the scope with all that is in it

    def leave(self) -> None:
        """Restore hypercorn's ``send`` for the next request, and drop references to avoid a cycle.

        If the response is not over, since middleware outside of ours has not sent all of it, that happens when it is.
        """
        self.watchdog.stop_heartbeats()
        connection = self.connection
        if isinstance(connection, NoConnection) or connection.is_over:
            self._detach()
        else:
            self._http1_writer.corked = False
            self.watchdog.sends += 1
            connection.spawn(self._watch_the_rest)
        calls, self._at_end = self._at_end, []
        for call in calls:
            call()

    async def _watch_the_rest(self) -> None:
        try:
            await trio.lowlevel.checkpoint_if_cancelled()  # a response that hypercorn has closed is over
            while not (self.is_over or self.watchdog.stalled):  # noqa: ASYNC110 - hypercorn has no event for it
                await trio.sleep(REST_LOOK_S)
            self._abort_if_stuck(self.connection.is_closed)
        except trio.Cancelled:
            self._abort_if_stuck(True)
            raise
        finally:
            self._detach()

    def _detach(self) -> None:
        self.watchdog.stop()
        self._http1_writer.detach()
        self._http1_writer = NO_HTTP1_WRITER

    # A Ctrl-C that hits the writer of a stream would cut it without an ending; the server's main task gets it instead.
    @trio.lowlevel.enable_ki_protection
    async def send(self, message: Message) -> None:
        """Send *message* to the server, and have it watched while that lasts."""
        if self._finished is not None:
            return  # `finish` has sent it, or nothing can follow
        watchdog = self.watchdog
        watchdog.note_write(trio.current_time())
        watchdog.sends += 1
        if message["type"] == "http.response.body":
            if not message.get("more_body", False):
                self._finished = trio.Event()
            self._http1_writer.corked = False  # the head was waiting for this
        elif message["type"] == "http.response.start":
            self._start(message)
        if self._http1_writer is NO_HTTP1_WRITER and watchdog.is_watching:
            watchdog.about_to_wait()
        try:
            if self._is_stream and len(body := message.get("body", b"")) > PART_BYTES:
                for start in range(0, len(body), PART_BYTES):
                    end = start + PART_BYTES
                    has_more = end < len(body) or message.get("more_body", False)
                    await self._send({**message, "body": body[start:end], "more_body": has_more})
            else:
                await self._send(message)
        finally:
            watchdog.sends -= 1
            if self._finished is not None:
                self._finished.set()

    def _start(self, message: Message) -> None:
        self._started = True
        self.watchdog.note_head()
        if message["status"] != 200 or not _is_event_stream(message):
            self._http1_writer.corked = False  # another response has taken the stream's place

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> Message:
        """Receive from the server."""
        try:
            if self._wanted is not None and self.received_bytes > UNREAD_BYTES:
                await self._wait_until_wanted(self._wanted)
            message = await self._receive()
        except trio.Cancelled:
            # The server closes this exchange, but a write that it shields would go on forever.
            self._abort_if_stuck(self.watchdog.sends > 0)
            raise
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
        elif message["type"] == "http.disconnect":
            if self._finished is not None and not self._finished.is_set():
                with trio.move_on_after(FINISH_S):
                    await self._finished.wait()
            is_written = self._finished is not None and self._finished.is_set()
            # What comes next on the connection may be stuck, too.
            self._abort_if_stuck(self.connection.is_closed if self.connection.is_multiplexed else not is_written)
        return message

    async def _wait_until_wanted(self, wanted: trio.Event) -> None:
        """Wait until the body is *wanted*, or its client is known to have left, which only the next message says."""
        while not (wanted.is_set() or self.is_over):
            with trio.move_on_after(UNREAD_LOOK_S):
                await wanted.wait()

    def _abort_if_stuck(self, no_client_waits: bool) -> None:
        """Close the connection if a write is stuck in it and *no_client_waits*."""
        if no_client_waits and self.connection.is_stuck:
            self.connection.abort()

    async def fail(self) -> None:
        """End the response for a client that would wait forever.

        Fault: when an exception leaves the app, hypercorn ends nothing over HTTP/2, neither the stream nor the
        connection.
        """
        if self._started and self._finished is None and self.connection.is_multiplexed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FINISH_S):
                await self.connection.reset()


def _is_event_stream(start: Message) -> bool:
    types = (value.partition(b";")[0].strip() for name, value in start["headers"] if name.lower() == b"content-type")
    return b"text/event-stream" in types


def exchange_of(scope: Any) -> Exchange:
    """Return the exchange that *scope* belongs to; one without middleware if there is none, and for a copied scope."""
    return exchange_in(scope) or Exchange.without_middleware()


def exchange_in(scope: Any) -> Exchange | None:
    """Return the exchange that our middleware has made for *scope*; None for a copied scope, too."""
    exchange: Exchange | None = (scope.get("extensions") or {}).get(SCOPE_KEY)
    return None if exchange is None or exchange.has_started else exchange


def is_copied(scope: Any) -> bool:
    """Return True if *scope* is one that an app has copied from its own, for a call in-process.

    Its exchange has a response already, and the request of *scope* is not one of the client's.
    """
    exchange: Exchange | None = (scope.get("extensions") or {}).get(SCOPE_KEY)
    return exchange is not None and exchange.has_started


async def _not_received() -> Message:
    raise RuntimeError("an exchange without middleware receives nothing")


async def _not_sent(_: Message) -> None:
    raise RuntimeError("an exchange without middleware sends nothing")
