"""One timer and one queue of calls for all open streams of a worker.

A cancel scope for each stream would cost memory and time that an idle stream does not need. Heartbeats, checks of slow
clients, idle connections and late handlers share this timer.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Protocol, final

import attrs
import trio

from .._common.logs import log

LINGER_S = 1.0
"""The time that a scheduler waits for the next deadline after the last one was removed, in seconds."""


class Watched(Protocol):
    """An object that a scheduler checks at its deadline."""

    async def check(self, now: float) -> float:
        """Do everything that is due, and return the next deadline."""


@final
@attrs.define(eq=False)
class Deadline:
    """The time of the next check of a watched object."""

    watched: Watched | None
    at: float = math.inf


@final
@attrs.define(eq=False)
class Scheduler:
    """The scheduler of one run of Trio: system tasks that exist while there are deadlines."""

    _open: int = attrs.field(default=0, init=False)
    _due: list[tuple[float, int, Deadline]] = attrs.field(factory=list, init=False)
    _number: count[int] = attrs.field(factory=count, init=False)
    _nap: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _soon: list[Callable[[], None]] = attrs.field(factory=list, init=False)
    _idle: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)

    @classmethod
    def current(cls) -> Scheduler:
        """Return the scheduler of this run of Trio. If there is none, start one."""
        scheduler = _scheduler.get(None)
        if scheduler is None:
            scheduler = cls()
            _scheduler.set(scheduler)
            trio.lowlevel.spawn_system_task(scheduler._check_in_time)
        return scheduler

    def add(self, watched: Watched, at: float) -> Deadline:
        """Schedule the first check of *watched* at *at*."""
        self._open += 1
        deadline = Deadline(watched)
        self.reschedule(deadline, at)
        return deadline

    def remove(self, deadline: Deadline) -> None:
        """Cancel the check of *deadline*."""
        deadline.watched = None
        self._open -= 1
        if len(self._due) > 2 * self._open + 64:  # most entries are of removed deadlines
            self._due = [due for due in self._due if due[2].watched is not None]
            heapq.heapify(self._due)
        if not self._open:
            self._nap.deadline = trio.current_time() + LINGER_S

    def reschedule(self, deadline: Deadline, at: float) -> None:
        """Move *deadline* to *at*, if *at* is sooner."""
        if at < deadline.at:
            deadline.at = at
            heapq.heappush(self._due, (at, next(self._number), deadline))
            if at < self._nap.deadline:
                self._nap.deadline = at

    def run_soon(self, call: Callable[[], None]) -> None:
        """Call *call* after one pass of Trio's scheduler: all tasks that are ready now run before that."""
        self._soon.append(call)
        if self._idle is not None:
            trio.lowlevel.reschedule(self._idle)
            self._idle = None

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run *work* in a task of its own."""
        if self._nursery is not None:
            self._nursery.start_soon(self._run, work)
        else:  # the scheduler's own task has not started yet
            self.run_soon(partial(self.spawn, work))

    async def _check_in_time(self) -> None:
        async with trio.open_nursery() as self._nursery:
            calls_over = trio.CancelScope()
            self._nursery.start_soon(self._call_soon, calls_over)
            while True:
                next_at = self._due[0][0] if self._due else math.inf
                self._nap = trio.CancelScope(deadline=next_at if self._open else trio.current_time() + LINGER_S)
                with self._nap:
                    await trio.sleep_forever()
                if not self._open:
                    _scheduler.set(None)  # now: deadlines that running checks add need a new scheduler
                    calls_over.cancel()
                    break
                now = trio.current_time()
                while self._due and self._due[0][0] <= now:
                    at, _, deadline = heapq.heappop(self._due)
                    if deadline.at == at:  # else it was rescheduled
                        deadline.at = math.inf
                        self._nursery.start_soon(self._check, deadline, now)

    @trio.lowlevel.enable_ki_protection  # else a KeyboardInterrupt here would be an internal error of Trio
    async def _call_soon(self, over: trio.CancelScope) -> None:
        with over:
            while True:
                if self._soon:
                    await trio.lowlevel.checkpoint()
                else:
                    await self._wait_for_calls()
                calls, self._soon = self._soon, []
                for call in calls:
                    try:
                        call()
                    except Exception:
                        log.exception("Writing a stream failed")
                del call, calls  # else streams that have ended would stay in memory until the next call

    async def _wait_for_calls(self) -> None:
        def stop_waiting(_: object) -> trio.lowlevel.Abort:
            self._idle = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(stop_waiting)

    @trio.lowlevel.enable_ki_protection
    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:
            log.exception("Writing a stream failed")

    @trio.lowlevel.enable_ki_protection
    async def _check(self, deadline: Deadline, now: float) -> None:
        try:
            if deadline.watched is not None:  # else it was removed
                self.reschedule(deadline, await deadline.watched.check(now))
        except Exception:
            log.exception("Checking a stream failed")
            self.reschedule(deadline, now + LINGER_S)


_scheduler: trio.lowlevel.RunVar[Scheduler | None] = trio.lowlevel.RunVar("scheduler")
