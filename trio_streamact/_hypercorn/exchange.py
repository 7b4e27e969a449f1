"""One exchange, an HTTP request and its response, between the app and the server."""

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
"""The longest time that the last write of a response may take after its stream was closed, in seconds."""

UNREAD_BYTES = 64 * 1024
"""The number of bytes of a request body that are received before the app reads it. The rest waits at the client."""

PART_BYTES = 32 * 1024
"""The largest part of a stream that hypercorn is sent at once. hypercorn copies a part once or twice, and keeps the
copy until the client takes it. This is the size of its HTTP/2 buffer, above which its ``send`` waits."""

REST_LOOK_S = 0.1
"""The time between two checks whether outer middleware has sent the rest of a response, in seconds."""

UNREAD_LOOK_S = 0.5
"""The time between two checks whether a client has disconnected while its body waits, in seconds."""


@final
@attrs.define(eq=False)
class Exchange:
    """The ASGI ``receive`` and ``send`` of one request, with repairs.

    Fault: on the last ``send``, hypercorn closes its stream. This delivers ``http.disconnect`` while that ``send``
    still runs. quart-trio then cancels its task, which is about to close or recycle the connection. So clients with
    HTTP/1.0 or ``Connection: close`` never see the end, and no connection ever times out.

    Repair: a disconnect that arrives while the last message is sent is delivered after that, but at most ``FINISH_S``
    later. The limit is needed because over HTTP/2, that ``send`` may wait for a client that has closed the connection.

    Attributes:
        connection: The connection, or ``NO_CONNECTION`` if it cannot be found.
        watchdog: The timers of this exchange: for heartbeats, and for clients that stall.
        received_bytes: The number of bytes of the request body that were received.
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
        """Return an exchange for a request that reached its app without our middleware. It has only heartbeats."""
        return cls(_not_received, _not_sent, NO_CONNECTION)

    @property
    def has_middleware(self) -> bool:
        """Return True if ``ServingMiddleware`` serves the request, and ends the exchange."""
        return self._send is not _not_sent

    @property
    def worker(self) -> Worker | UnknownWorker:
        """The worker that serves this exchange."""
        return self.connection.worker

    @property
    def is_over(self) -> bool:
        """Return True if the server has closed the exchange. Everything that is sent after that is dropped."""
        return self.connection.is_over

    @property
    def has_started(self) -> bool:
        """Return True if the app has sent the head of the response."""
        return self._started

    def prepare_stream(self, stall_s: float) -> None:
        """Prepare for an event stream, which is ended if the client takes too little for *stall_s*, in seconds.

        The head of the response is not written before a part of the body follows, or before ``flush``.
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
        """Return True if nothing is between Quart, which iterates over the body, and the socket of the client.

        Then `write_nowait` has the same effect as a part of the body, but is faster.
        """
        return (
            self._is_unwrapped
            and self._started
            and self._http1_writer.can_write_nowait
            and self.connection.is_fed_by(self._send)
        )

    def write_nowait(self, body: bytes, now: float, ends: bool = False) -> bool:
        """Write *body*, a part of the response body, as far as the kernel takes it. If a rest is left, return False.

        `flush` then writes the rest. If it *ends* the stream, the end of the response is written with it. Call it only
        if `can_write_directly`.
        """
        self.watchdog.note_write(now)
        return self._http1_writer.write_nowait(body, ends)

    async def flush(self) -> None:
        """Write everything that was kept."""
        watchdog = self.watchdog
        watchdog.note_write(trio.current_time())
        watchdog.sends += 1
        try:
            await self._http1_writer.flush()
        finally:
            watchdog.sends -= 1

    async def finish(self) -> None:
        """End the response of a stream whose last frame was sent. The end that the app sends later is dropped.

        If something is between the app and the server, do nothing: it may need to see the end.
        """
        if self._is_unwrapped and self._finished is None:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def end_stream(self) -> None:
        """End the exchange of a stream that has ended, unless ``ServingMiddleware`` does it."""
        if not self.has_middleware:
            self.leave()

    def hold_body(self, wanted: trio.Event) -> None:
        """Receive no more of a large request body before *wanted* is set. The rest waits at the client.

        If the client leaves meanwhile, the heartbeats find that. On HTTP/2 this does nothing: hypercorn's reader would
        wait, and with it all other streams of the connection.
        """
        if not self.connection.is_multiplexed:
            self._wanted = wanted

    def at_end(self, call: Callable[[], None]) -> None:
        """Call *call* when the exchange has ended, even if no stream was opened."""
        self._at_end.append(call)

    def __deepcopy__(self, _: object) -> Self:
        return self  # hypercorn's ProxyFixMiddleware makes a deep copy of the scope

    def leave(self) -> None:
        """Restore hypercorn's ``send`` for the next request, and drop references to avoid a cycle.

        If outer middleware has not sent the whole response yet, do this when the response has ended.
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
            await trio.lowlevel.checkpoint_if_cancelled()  # hypercorn cancels this task when it closes the connection
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

    # A KeyboardInterrupt here would cut a stream without an ending. With the protection, Trio's main task receives it.
    @trio.lowlevel.enable_ki_protection
    async def send(self, message: Message) -> None:
        """Send *message* to the server, and let the watchdog watch the write."""
        if self._finished is not None:
            return  # the response has ended already, for example by `finish`
        watchdog = self.watchdog
        watchdog.note_write(trio.current_time())
        watchdog.sends += 1
        if message["type"] == "http.response.body":
            if not message.get("more_body", False):
                self._finished = trio.Event()
            self._http1_writer.corked = False  # write the head together with this
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
            self._http1_writer.corked = False  # another response is sent instead of the stream

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> Message:
        """Return the next message of the server."""
        try:
            if self._wanted is not None and self.received_bytes > UNREAD_BYTES:
                await self._wait_until_wanted(self._wanted)
            message = await self._receive()
        except trio.Cancelled:
            # The server closes this exchange. But a write that it shields would wait forever.
            self._abort_if_stuck(self.watchdog.sends > 0)
            raise
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
        elif message["type"] == "http.disconnect":
            if self._finished is not None and not self._finished.is_set():
                with trio.move_on_after(FINISH_S):
                    await self._finished.wait()
            is_written = self._finished is not None and self._finished.is_set()
            # Other writes of the connection may be stuck, too.
            self._abort_if_stuck(self.connection.is_closed if self.connection.is_multiplexed else not is_written)
        return message

    async def _wait_until_wanted(self, wanted: trio.Event) -> None:
        """Wait until *wanted* is set, or until the server has closed the exchange."""
        while not (wanted.is_set() or self.is_over):
            with trio.move_on_after(UNREAD_LOOK_S):
                await wanted.wait()

    def _abort_if_stuck(self, no_client_waits: bool) -> None:
        """Close the connection if one of its writes is stuck and *no_client_waits*."""
        if no_client_waits and self.connection.is_stuck:
            self.connection.abort()

    async def fail(self) -> None:
        """Reset the HTTP/2 stream of a response that the app has not completed.

        Fault: when an exception leaves the app, hypercorn ends neither the HTTP/2 stream nor the connection. The client
        waits forever.
        """
        if self._started and self._finished is None and self.connection.is_multiplexed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FINISH_S):
                await self.connection.reset()


def _is_event_stream(start: Message) -> bool:
    types = (value.partition(b";")[0].strip() for name, value in start["headers"] if name.lower() == b"content-type")
    return b"text/event-stream" in types


def exchange_of(scope: Any) -> Exchange:
    """Return the exchange of *scope*. If there is none, or *scope* is a copy, return one without middleware."""
    return exchange_in(scope) or Exchange.without_middleware()


def exchange_in(scope: Any) -> Exchange | None:
    """Return the exchange that ``ServingMiddleware`` has put into *scope*; None for a copy, and if there is none."""
    exchange: Exchange | None = (scope.get("extensions") or {}).get(SCOPE_KEY)
    return None if exchange is None or exchange.has_started else exchange


def is_copied(scope: Any) -> bool:
    """Return True if an app has copied *scope* from its own, for a call within the process.

    Then its exchange already has a response, and the request of *scope* is not a request of the client.
    """
    exchange: Exchange | None = (scope.get("extensions") or {}).get(SCOPE_KEY)
    return exchange is not None and exchange.has_started


async def _not_received() -> Message:
    raise RuntimeError("an exchange without middleware receives nothing")


async def _not_sent(_: Message) -> None:
    raise RuntimeError("an exchange without middleware sends nothing")
