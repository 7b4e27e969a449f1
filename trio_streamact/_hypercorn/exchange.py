"""One exchange of HTTP, between the app and the server: its end, its stalls, its failures."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Self, final

import attrs
import trio

from .asgi import Message, Receive, Send
from .connection import Connection
from .http1_writer import Writes
from .progress import ENOUGH_BYTES, Progress
from .scheduler import Heart, Look
from .shutdown import UNKNOWN_WORKER, UnknownWorker, Worker, worker_of

SCOPE_KEY = "trio_streamact"


FINISH_S = 1.0
"""How long a finished response may take to be flushed after its stream was closed, in seconds."""

UNREAD_BYTES = 64 * 1024
"""How much of a request's body is received before somebody asks for it, where nobody has to."""

PART_BYTES = 32 * 1024
"""What is sent of a stream at once, where hypercorn copies it, once or twice, and keeps that until the client takes it:
as much as it takes over HTTP/2 before it has its writer wait."""

REST_LOOK_S = 0.1
"""How often to look whether middleware outside has sent the rest of a response, in seconds."""

UNREAD_LOOK_S = 0.5
"""How often to look whether a client has left of whom no more is received, in seconds."""


@final
@attrs.define(eq=False)
class Exchange:
    """Stands between the app and the server, and mends what they do to each other.

    Finishing. Fault: on the last ``send`` hypercorn closes its stream, which delivers ``http.disconnect`` while that
    ``send`` is still running; quart-trio answers by cancelling the very task that is about to close or recycle the
    connection. HTTP/1.0 and ``Connection: close`` clients never see the end, and no connection ever times out. So a
    disconnect that comes while the last message is sent waits until it is; not for ever, since on HTTP/2 that ``send``
    may wait in a buffer that nobody empties once the connection is closed.

    Stalling. Fault: hypercorn shields its writes from cancellation, so a client that takes nothing holds its
    connection for ever, through ``graceful_timeout`` and all. Whoever looks at all streams looks at a write that takes
    long, too.

    Middleware outside may send from a task of its own. A write may then be stuck while nothing is being sent here, and
    after the app has returned; so the connection says what waits.

    Attributes:
        connection: The connection, or None where it cannot be found.
        stalled: Whether the exchange was ended since its client took nothing.
        received_bytes: How much of the request's body was received.
    """

    _receive: Receive
    _send: Send
    connection: Connection | None
    _is_bare: bool = False
    stalled: bool = attrs.field(default=False, init=False)
    _stall_s: float = attrs.field(default=math.inf, init=False)
    _heartbeat_s: float = attrs.field(default=math.inf, init=False)
    _beat: Callable[[], None] | None = attrs.field(default=None, init=False)
    _writes: Writes | None = attrs.field(default=None, init=False)
    _started: bool = attrs.field(default=False, init=False)
    _sending: int = attrs.field(default=0, init=False)
    _sent_at: float = attrs.field(default=-math.inf, init=False)
    _waits_since: float = attrs.field(default=-math.inf, init=False)
    _finished: trio.Event | None = attrs.field(default=None, init=False)
    _look: Look | None = attrs.field(default=None, init=False)
    _heart: Heart = attrs.field(init=False)
    _progress: Progress = attrs.field(factory=Progress, init=False)
    _connection_progress: Progress = attrs.field(factory=Progress, init=False)
    _was_waiting: bool = attrs.field(default=False, init=False)
    _wanted: trio.Event | None = attrs.field(default=None, init=False)
    received_bytes: int = attrs.field(default=0, init=False)
    _at_end: list[Callable[[], None]] = attrs.field(factory=list, init=False)

    @classmethod
    def without_middleware(cls) -> Self:
        """Return the exchange of a request that reached its app without our middleware: it only has heartbeats."""
        return cls(_not_received, _not_sent, None)

    @property
    def worker(self) -> Worker | UnknownWorker:
        """The worker that serves this exchange."""
        return UNKNOWN_WORKER if self.connection is None else worker_of(self.connection.worker)

    @property
    def is_over(self) -> bool:
        """Whether the server has closed the exchange, so that what is sent now reaches nobody."""
        return self.connection is not None and self.connection.is_over

    def expect_response(self, stall_s: float) -> None:
        """End when the client takes nothing of a write for *stall_s*; what is not a stream is looked at from its first
        write on."""
        if self.connection is not None:
            self._stall_s = stall_s

    def expect_stream(self, stall_s: float) -> None:
        """From now on end when the client takes nothing for *stall_s*; and keep the head of an event stream until there
        is a body too, or ``flush``."""
        if self._look is None:  # else the view made two
            self._look = self._join()
        if self.connection is not None:
            self._stall_s = stall_s
            self.connection.allow_silence(stall_s)
            if not self.connection.is_multiplexed:
                self._writes = Writes(self.connection.server, self.connection.protocol, self._watch)
                self.connection.protocol.send = self._writes.send

    def _join(self) -> Look:
        self._heart = Heart.beating()  # for as long as the look is its
        return self._heart.join(self, math.inf)

    def carry_stream(self, heartbeat_s: float, beat: Callable[[], None]) -> None:
        """From now on call *beat* when idle for *heartbeat_s*, and end when the client has vanished."""
        self._sent_at = trio.current_time()
        self._heartbeat_s, self._beat = heartbeat_s, beat
        if self._look is not None:
            self._heart.hurry(self._look, self._sent_at + min(heartbeat_s, self._stall_s))

    def note_write(self) -> None:
        """Note that the stream is not idle: a part of it is about to be written."""
        self._sent_at = trio.current_time()

    @property
    def has_middleware(self) -> bool:
        """Return True if our middleware serves the request, and ends the exchange."""
        return self._send is not _not_sent

    def end_stream(self) -> None:
        """End the exchange of a stream that is over, if no middleware does."""
        if not self.has_middleware:
            self.leave()

    @property
    def has_started(self) -> bool:
        """Return True if the head of the response has been sent."""
        return self._started

    @property
    def is_straight(self) -> bool:
        """Whether nothing stands between Quart, which asks a body for its parts, and the client's socket.

        Then `write_nowait` is the same as giving it the part, but sooner.
        """
        return (
            self._is_bare
            and self._started
            and self._writes is not None
            and self._writes.can_write_nowait
            and self.connection is not None
            and self.connection.is_fed_by(self._send)
        )

    def write_nowait(self, body: bytes, now: float, ends: bool = False) -> bool:
        """Write *body*, a part of this stream's, as far as the kernel takes it; say whether that was all.

        If it *ends* the stream, the end of the response leaves with it.

        What is left is for ``flush``. Only where the way `is_straight`.
        """
        self._sent_at = now
        return self._writes is None or self._writes.write_nowait(body, ends)

    def next_turn(self, turn: Callable[[], None]) -> None:
        """Call *turn* when all that is ready now has had its own."""
        self._heart.next_turn(turn)

    def beside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have *work* done in a task of its own."""
        self._heart.spawn(work)

    def abort(self) -> None:
        """End the connection at once: something of ours is broken, and what the client has had must not look whole."""
        if self.connection is not None:
            self.connection.abort()

    async def flush(self) -> None:
        """Write what was kept."""
        if self._writes is not None:
            self._sent_at = trio.current_time()
            self._sending += 1
            try:
                await self._writes.flush()
            finally:
                self._sending -= 1

    async def finish(self) -> None:
        """End the response of a stream whose last frame is sent, before the app does, which will be dropped.

        Not where anything stands between the app and us: it wants to see the end.
        """
        if self._is_bare and self._finished is None:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def hold_body(self, wanted: trio.Event) -> None:
        """Receive no more of a large request body until it is *wanted*: until then it waits with the client.

        A client that leaves meanwhile is found by the heartbeats. Not on HTTP/2, where hypercorn's reader would wait
        for us with all that the connection carries for others.
        """
        if self.connection is not None and not self.connection.is_multiplexed:
            self._wanted = wanted

    def at_end(self, call: Callable[[], None]) -> None:
        """Call *call* when the exchange is over, also where no stream was opened."""
        self._at_end.append(call)

    def __deepcopy__(self, _: object) -> Self:
        return self  # hypercorn's ProxyFixMiddleware copies the scope with all that is in it

    def leave(self) -> None:
        """Leave the connection as it was to what comes next on it, and no circle of references for the collector.

        If the response is not over, since middleware outside has not sent everything, that happens when it is.
        """
        self._beat = None
        if self.connection is None or self.is_over:
            self._detach()
        else:
            if self._writes is not None:
                self._writes.holds = False
            self._sending += 1
            self.connection.spawn(self._watch_the_rest)
        calls, self._at_end = self._at_end, []
        for call in calls:
            call()

    async def _watch_the_rest(self) -> None:
        try:
            await trio.lowlevel.checkpoint_if_cancelled()  # when hypercorn has given up, the response is over too
            while not (self.is_over or self.stalled):  # noqa: ASYNC110 - hypercorn has no event for it
                await trio.sleep(REST_LOOK_S)
            self._abort_if_stuck(self.connection is not None and self.connection.is_closed)
        except trio.Cancelled:
            self._abort_if_stuck(True)
            raise
        finally:
            self._detach()

    def _detach(self) -> None:
        if self._look is not None:
            self._heart.leave(self._look)
        self._stall_s = math.inf  # what is sent late is looked at no more
        connection, writes = self.connection, self._writes
        if connection is not None and writes is not None and connection.protocol.send == writes.send:
            connection.protocol.send = connection.server.protocol_send  # else it is the next stream's already
        self._writes = None

    # A Ctrl-C that hits the writer of a stream would cut it without a word; the server's main task gets it instead.
    @trio.lowlevel.enable_ki_protection
    async def send(self, message: Message) -> None:
        """Send *message* to the server, and have it looked at while that lasts."""
        if self._finished is not None:
            return  # `finish` has sent it, or nothing can follow
        self._sent_at = trio.current_time()
        self._sending += 1
        if message["type"] == "http.response.body":
            if not message.get("more_body", False):
                self._finished = trio.Event()
            if self._writes is not None:
                self._writes.holds = False  # the head was waiting for this
        elif message["type"] == "http.response.start":
            self._start(message)
        if self._writes is None and self._stall_s != math.inf:
            self._watch()
        try:
            if self._look is not None and len(body := message.get("body", b"")) > PART_BYTES:
                for start in range(0, len(body), PART_BYTES):
                    end = start + PART_BYTES
                    has_more = end < len(body) or message.get("more_body", False)
                    await self._send({**message, "body": body[start:end], "more_body": has_more})
            else:
                await self._send(message)
        finally:
            self._sending -= 1
            if self._finished is not None:
                self._finished.set()

    def _start(self, message: Message) -> None:
        self._started = True
        if self._writes is not None and (message["status"] != 200 or not _is_event_stream(message)):
            self._writes.holds = False  # something else has taken the stream's place

    def _watch(self) -> None:
        """A write begins that may take long."""
        self._waits_since = trio.current_time()
        if self._look is None:
            self._look = self._join()
        self._heart.hurry(self._look, self._waits_since + self._look_s)

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> Message:
        """Receive from the server."""
        try:
            if self._wanted is not None and self.received_bytes > UNREAD_BYTES:
                await self._wait_until_wanted(self._wanted)
            message = await self._receive()
        except trio.Cancelled:
            # The server gives up on this exchange, but a write that it shields would go on for ever.
            self._abort_if_stuck(self._sending > 0)
            raise
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
        elif message["type"] == "http.disconnect":
            if self._finished is not None and not self._finished.is_set():
                with trio.move_on_after(FINISH_S):
                    await self._finished.wait()
            is_written = self._finished is not None and self._finished.is_set()
            if self.connection is not None:  # what comes next on it may be stuck, too
                self._abort_if_stuck(self.connection.is_closed if self.connection.is_multiplexed else not is_written)
        return message

    async def _wait_until_wanted(self, wanted: trio.Event) -> None:
        """Wait until the body is *wanted*, or its client is known to have left, which only the next messages tell."""
        while not (wanted.is_set() or self.is_over):
            with trio.move_on_after(UNREAD_LOOK_S):
                await wanted.wait()

    async def look(self, now: float) -> float:
        """Look at what is on its way, end the exchange if the client takes too little, return when to look again."""
        connection = self.connection
        if self.stalled:
            return math.inf
        if connection is None:
            return self._next_beat(now)
        is_waiting = self._is_waiting(connection)
        unacknowledged = 0 if is_waiting else connection.unacknowledged_bytes
        if is_waiting != self._was_waiting or not (is_waiting or unacknowledged):
            self._progress.restart()
        self._was_waiting, progress = is_waiting, self._progress
        if is_waiting:
            if not connection.is_multiplexed and progress.since < self._waits_since:
                progress.restart()  # a write has gone through; on HTTP/2 it may be no further than the server's buffer
            acknowledged = connection.acknowledged()
            moves = self._connection_progress.idle_s(now, (acknowledged,), ENOUGH_BYTES) < self._stall_s
            waiting = connection.waiting_bytes or ENOUGH_BYTES
            if progress.idle_s(now, connection.taken(acknowledged), waiting) < self._stall_s:
                return now + self._look_s
            self.stalled = True
            await self._drop(connection, moves)
        elif unacknowledged:  # only a peer that has vanished acknowledges nothing for so long
            if progress.idle_s(now, (connection.acknowledged(),), unacknowledged) < connection.silence_s:
                return min(self._next_beat(now), progress.since + connection.silence_s)
            self.stalled = True
            connection.abort()
        return math.inf if self.stalled else self._next_beat(now)

    async def _drop(self, connection: Connection, moves: bool) -> None:
        # The reset leaves when what others have begun to write is written, for which a slow client takes a while.
        with trio.move_on_after(max(FINISH_S, self._stall_s) if moves else FINISH_S) as late:
            await connection.drop(moves)
        if late.cancelled_caught:
            connection.abort()

    def _is_waiting(self, connection: Connection) -> bool:
        """Return True if something of this exchange waits until the client takes it."""
        if not connection.is_multiplexed:
            return connection.is_stuck
        is_sending = self._sending > 0 or (self._started and not connection.has_head)
        return connection.waiting_bytes > 0 or (is_sending and connection.is_stuck)

    def _next_beat(self, now: float) -> float:
        """Beat if the stream has been idle for long enough, and say when to look again."""
        beat_at = self._sent_at + self._heartbeat_s
        if now >= beat_at:
            if self._beat is not None and not self._sending:
                self._beat()
            beat_at = max(now, self._sent_at) + self._heartbeat_s  # it may have been written a little later than *now*
        return min(beat_at, now + self._stall_s)

    @property
    def _look_s(self) -> float:
        return min(1.0, self._stall_s / 8)

    def _abort_if_stuck(self, is_for_nobody: bool) -> None:
        """Close the connection if a write is stuck in it and *is_for_nobody*."""
        if is_for_nobody and self.connection is not None and self.connection.is_stuck:
            self.connection.abort()

    async def fail(self) -> None:
        """End the response for a client that would wait for ever.

        Fault: when an exception leaves the app, hypercorn ends nothing on HTTP/2, neither the stream nor the
        connection.
        """
        if self._started and self._finished is None and self.connection is not None and self.connection.is_multiplexed:
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

    Its exchange has a response already, and the request of *scope* is none of the client's.
    """
    exchange: Exchange | None = (scope.get("extensions") or {}).get(SCOPE_KEY)
    return exchange is not None and exchange.has_started


async def _not_received() -> Message:
    raise RuntimeError("an exchange without middleware receives nothing")


async def _not_sent(_: Message) -> None:
    raise RuntimeError("an exchange without middleware sends nothing")
