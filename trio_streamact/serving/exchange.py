"""One exchange of HTTP, between the app and the server: its end, its stalls, its failures."""

from __future__ import annotations

import math
from typing import Any, Self, final

import attrs
import trio

from .asgi import Message, Receive, Send
from .connection import Connection
from .send_lock import take_free_lock_at_once
from .worker import Worker, worker_of

SCOPE_KEY = "trio_streamact"

FINISH_S = 1.0
"""How long a finished response may take to be flushed after its stream was closed, in seconds."""


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
    connection for ever, through ``graceful_timeout`` and all. quart-trio waits in ``receive`` for the whole of an
    exchange: there, without a task more, an alarm looks at a write that takes long.

    Attributes:
        connection: The connection, or None where it cannot be found.
        stalled: Whether the exchange was ended since its client took nothing.
    """

    _receive: Receive
    _send: Send
    connection: Connection | None
    stalled: bool = attrs.field(default=False, init=False)
    _stall_s: float = attrs.field(default=math.inf, init=False)
    _started: bool = attrs.field(default=False, init=False)
    _sending_since: float | None = attrs.field(default=None, init=False)
    _finished: trio.Event | None = attrs.field(default=None, init=False)
    _alarm: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _body_bytes: int = attrs.field(default=0, init=False)
    _mark: tuple[float, object] | None = attrs.field(default=None, init=False)

    @property
    def worker(self) -> Worker | None:
        """The worker that serves this exchange, or None where it cannot be found."""
        return None if self.connection is None else worker_of(self.connection.worker)

    @property
    def is_over(self) -> bool:
        """Whether the server has closed the exchange, so that what is sent now reaches nobody."""
        return self.connection is not None and self.connection.is_over

    def carry_stream(self, stall_s: float) -> None:
        """From now on write at once, and end when the client takes nothing for *stall_s* or has vanished."""
        if self.connection is not None:
            take_free_lock_at_once(self.connection)
            self._stall_s = stall_s
            # Later than the alarm, which knows more: the kernel is for peers that have vanished.
            self.connection.give_up_on_silence(stall_s + self._look_s)

    def __deepcopy__(self, _: object) -> Self:
        return self  # hypercorn's ProxyFixMiddleware copies the scope with all that is in it

    def leave_connection(self) -> None:
        """Leave the connection as it was to what comes next on it."""
        if self._stall_s != math.inf and self.connection is not None and not self.connection.is_multiplexed:
            self.connection.give_up_on_silence(0)  # as the system does

    # A Ctrl-C that hits the writer of a stream would cut it without a word; the server's main task gets it instead.
    @trio.lowlevel.enable_ki_protection
    async def send(self, message: Message) -> None:
        """Send *message* to the server, under the eye of the alarm."""
        self._sending_since = trio.current_time()
        self._body_bytes += len(message.get("body", b""))
        if self._alarm.deadline == math.inf != self._stall_s:
            self._alarm.deadline = self._sending_since + self._look_s
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        self._started = self._started or message["type"] == "http.response.start"
        if is_last:
            self._finished = trio.Event()
        try:
            await self._send(message)
        finally:
            self._sending_since = None
            if is_last and self._finished is not None:
                self._finished.set()

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> Message:
        """Receive from the server, and wake up to look at a write that takes long."""
        try:
            message = await self._receive_and_look()
        except trio.Cancelled:
            # The server gives up on this exchange, but a write that it shields would go on for ever.
            self._abort_if_stuck()
            raise
        if message["type"] == "http.disconnect":
            if self._finished is not None:
                with trio.move_on_after(FINISH_S):
                    await self._finished.wait()
            if self.connection is not None and not self.connection.is_multiplexed:
                self._abort_if_stuck()
        return message

    async def _receive_and_look(self) -> Message:
        while True:
            self._alarm = trio.CancelScope(deadline=self._alarm.deadline)
            with self._alarm:
                return await self._receive()
            self._alarm.deadline = await self._next_look()

    async def _next_look(self) -> float:
        """Look at the write that is under way, end the exchange if it is stuck, and say when to look again."""
        now = trio.current_time()
        connection, since = self.connection, self._sending_since
        if connection is None or (since is None and not connection.waiting_bytes):
            self._mark = None
            return math.inf
        progress = connection.progress(self._body_bytes)
        # On HTTP/1.1 a write that has gone through was taken; on HTTP/2 it may be no further than the server's buffer.
        went_through = not connection.is_multiplexed and since is not None and self._mark and self._mark[0] < since
        if self._mark is None or self._mark[1] != progress or went_through:
            self._mark = now, progress
        elif now - self._mark[0] >= self._stall_s:
            self.stalled = True
            await connection.drop()
            return math.inf
        return now + self._look_s

    @property
    def _look_s(self) -> float:
        return min(1.0, self._stall_s / 8)

    def _abort_if_stuck(self) -> None:
        if self._sending_since is not None and self.connection is not None and self.connection.is_stuck:
            self.connection.abort()

    async def fail(self) -> None:
        """End the response for a client that would wait for ever.

        Fault: when an exception leaves the app, hypercorn ends nothing on HTTP/2, neither the stream nor the
        connection.
        """
        if self._started and self._finished is None and self.connection is not None and self.connection.is_multiplexed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FINISH_S):
                await self.connection.reset()


def exchange_of(scope: Any) -> Exchange | None:
    """Give the exchange that *scope* belongs to; None where no guard stands around the app."""
    exchange: Exchange | None = (scope.get("extensions") or {}).get(SCOPE_KEY)
    return exchange
