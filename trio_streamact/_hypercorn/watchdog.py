"""The timers of one exchange: when a heartbeat is due, and when its client has stalled.

Fault: hypercorn shields its writes from cancellation. So a client that reads nothing keeps its connection forever, also
after ``graceful_timeout``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import attrs
import trio

from .connection import Connection, NoConnection
from .heartbeat import Heartbeat
from .progress import ENOUGH_BYTES, Progress
from .scheduler import Deadline, Scheduler

CLOSE_S = 1.0
"""The longest time for the reset of a stalled stream if its client reads nothing of the connection, in seconds."""


@final
@attrs.define(eq=False)
class Watchdog:
    """Checks one exchange while a write takes long, and when its stream was idle.

    Outer middleware may send from a task of its own. Then a write may wait while the app sends nothing, or after the
    app has returned. So the connection is asked whether bytes wait.

    Attributes:
        stalled: True if the exchange was ended because its client took too little for ``stall_s``.
        sends: The number of calls of the server's ``send`` that are in progress.
    """

    _connection: Connection | NoConnection
    stalled: bool = attrs.field(default=False, init=False)
    sends: int = attrs.field(default=0, init=False)
    _stall_s: float = attrs.field(default=math.inf, init=False)
    _heartbeat: Heartbeat = attrs.field(factory=Heartbeat, init=False)
    _waits_since: float = attrs.field(default=-math.inf, init=False)
    _head_is_sent: bool = attrs.field(default=False, init=False)
    _was_waiting: bool = attrs.field(default=False, init=False)
    _deadline: Deadline | None = attrs.field(default=None, init=False)
    _progress: Progress = attrs.field(factory=Progress, init=False)
    _connection_progress: Progress = attrs.field(factory=Progress, init=False)

    @property
    def is_watching(self) -> bool:
        """Return True if a client that takes too little will be ended."""
        return self._stall_s != math.inf

    def watch_writes(self, stall_s: float) -> None:
        """Watch the writes of a response that is not a stream. The timer starts at the first write."""
        if self._connection.is_known:
            self._stall_s = stall_s
            if not self._connection.is_multiplexed:
                self._connection.allow_silence(stall_s)

    def watch_stream(self, stall_s: float) -> None:
        """Watch the writes of a stream, and keep the scheduler of the worker running until ``stop``."""
        self._schedule(math.inf)
        if self._connection.is_known:
            self._stall_s = stall_s
            self._connection.allow_silence(stall_s)

    def start_heartbeats(self, heartbeat_s: float, beat: Callable[[], None]) -> None:
        """Call *beat* whenever the stream was idle for *heartbeat_s*, and check for a client that has vanished."""
        now = trio.current_time()
        self._heartbeat = Heartbeat(heartbeat_s, beat, wrote_at=now)
        self._schedule(now + min(heartbeat_s, self._stall_s))

    def stop_heartbeats(self) -> None:
        """Do not call ``beat`` any more."""
        self._heartbeat.stop()

    def stop(self) -> None:
        """Stop all timers."""
        if self._deadline is not None:
            Scheduler.current().remove(self._deadline)
            self._deadline = None
        self._stall_s = math.inf  # do not watch messages that are sent after this

    def note_write(self, now: float) -> None:
        """Note that the stream is not idle at *now*."""
        self._heartbeat.wrote_at = now

    def note_head(self) -> None:
        """Note that the app has sent the head of the response."""
        self._head_is_sent = True

    def about_to_wait(self) -> None:
        """Note that a write begins which may take long."""
        self._waits_since = trio.current_time()
        self._schedule(self._waits_since + self._look_s)

    def _schedule(self, at: float) -> None:
        scheduler = Scheduler.current()
        if self._deadline is None:
            self._deadline = scheduler.add(self, at)
        else:
            scheduler.reschedule(self._deadline, at)

    async def check(self, now: float) -> float:
        """End the exchange if its client takes too little. Write a heartbeat if one is due. Return the next deadline.

        A client may read slowly. It is stalled if in ``stall_s`` it has taken neither ``ENOUGH_BYTES`` nor all that
        waited. It has vanished if its kernel has acknowledged nothing in that time.
        """
        if self.stalled:
            return math.inf
        connection, progress = self._connection, self._progress
        is_waiting = self._is_waiting()
        unacknowledged = 0 if is_waiting else connection.unacknowledged_bytes
        if is_waiting != self._was_waiting or not (is_waiting or unacknowledged):
            progress.restart()
        self._was_waiting = is_waiting
        if is_waiting:
            if not connection.is_multiplexed and progress.since < self._waits_since:
                progress.restart()  # a write has ended; over HTTP/2, its bytes may still be in a buffer
            acknowledged = connection.acknowledged()
            moves = self._connection_progress.idle_s(now, (acknowledged,), ENOUGH_BYTES) < self._stall_s
            waiting_bytes = connection.waiting_bytes or ENOUGH_BYTES
            if progress.idle_s(now, connection.taken(acknowledged), waiting_bytes) < self._stall_s:
                return now + self._look_s
            self.stalled = True
            await self._drop(moves)
        elif unacknowledged:
            if progress.idle_s(now, (connection.acknowledged(),), unacknowledged) < connection.silence_s:
                return min(self._next_beat(now), progress.since + connection.silence_s)
            self.stalled = True
            connection.abort()
        return math.inf if self.stalled else self._next_beat(now)

    async def _drop(self, moves: bool) -> None:
        # A reset is written after the pending writes of other streams, which may take time with a slow client.
        with trio.move_on_after(max(CLOSE_S, self._stall_s) if moves else CLOSE_S) as late:
            await self._connection.drop(moves)
        if late.cancelled_caught:
            self._connection.abort()

    def _is_waiting(self) -> bool:
        """Return True if bytes of this exchange wait for the client."""
        connection = self._connection
        if not connection.is_multiplexed:
            return connection.is_stuck
        is_sending = self.sends > 0 or (self._head_is_sent and not connection.has_head)
        return connection.waiting_bytes > 0 or (is_sending and connection.is_stuck)

    def _next_beat(self, now: float) -> float:
        return min(self._heartbeat.next(now, self.sends > 0), now + self._stall_s)

    @property
    def _look_s(self) -> float:
        return min(1.0, self._stall_s / 8)
