"""One timer for all open streams of a worker: their heartbeats, looks at writes that take long, and turns to write."""

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
"""How long it waits for the next stream when the last one has ended, in seconds."""


class Patient(Protocol):
    """What a heart looks at."""

    async def look(self, now: float) -> float:
        """Do what is due, and say when to look again."""


@final
@attrs.define(eq=False)
class Look:
    """A patient's next look."""

    patient: Patient | None
    at: float = math.inf


@final
@attrs.define(eq=False)
class Heart:
    """System tasks of trio's for as long as there are streams; a timer for each would cost it a cancel scope."""

    _open: int = attrs.field(default=0, init=False)
    _due: list[tuple[float, int, Look]] = attrs.field(factory=list, init=False)
    _number: count[int] = attrs.field(factory=count, init=False)
    _nap: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _turns: list[Callable[[], None]] = attrs.field(factory=list, init=False)
    _idle: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)

    @classmethod
    def beating(cls) -> Heart:
        """Give the one of this run of trio's."""
        heart = _heart.get(None)
        if heart is None:
            heart = cls()
            _heart.set(heart)
            trio.lowlevel.spawn_system_task(heart._beat)
        return heart

    def join(self, patient: Patient, at: float) -> Look:
        """Look at *patient* from *at* on."""
        self._open += 1
        look = Look(patient)
        self.hurry(look, at)
        return look

    def leave(self, look: Look) -> None:
        """Look no more."""
        look.patient = None
        self._open -= 1
        if len(self._due) > 2 * self._open + 64:  # nobody waits for most of them any more
            self._due = [due for due in self._due if due[2].patient is not None]
            heapq.heapify(self._due)
        if not self._open:
            self._nap.deadline = trio.current_time() + LINGER_S

    def hurry(self, look: Look, at: float) -> None:
        """Look at *at* already, if that is sooner."""
        if at < look.at:
            look.at = at
            heapq.heappush(self._due, (at, next(self._number), look))
            if at < self._nap.deadline:
                self._nap.deadline = at

    def next_turn(self, turn: Callable[[], None]) -> None:
        """Call *turn* when all that is ready now has had its own turn."""
        self._turns.append(turn)
        if self._idle is not None:
            trio.lowlevel.reschedule(self._idle)
            self._idle = None

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run *work* beside all else."""
        if self._nursery is not None:
            self._nursery.start_soon(self._run, work)
        else:  # it has not had its first pass
            self.next_turn(partial(self.spawn, work))

    async def _beat(self) -> None:
        async with trio.open_nursery() as self._nursery:
            turns_over = trio.CancelScope()
            self._nursery.start_soon(self._take_turns, turns_over)
            while True:
                next_at = self._due[0][0] if self._due else math.inf
                self._nap = trio.CancelScope(deadline=next_at if self._open else trio.current_time() + LINGER_S)
                with self._nap:
                    await trio.sleep_forever()
                if not self._open:
                    _heart.set(None)  # before the looks that are under way: who comes meanwhile starts another
                    turns_over.cancel()
                    break
                now = trio.current_time()
                while self._due and self._due[0][0] <= now:
                    at, _, look = heapq.heappop(self._due)
                    if look.at == at:  # else it was looked at sooner
                        look.at = math.inf
                        self._nursery.start_soon(self._look, look, now)

    @trio.lowlevel.enable_ki_protection  # or a Ctrl-C that hits it would be trio's own failure
    async def _take_turns(self, over: trio.CancelScope) -> None:
        with over:
            while True:
                if self._turns:
                    await trio.lowlevel.checkpoint()
                else:
                    await self._wait_for_turns()
                turns, self._turns = self._turns, []
                for turn in turns:
                    try:
                        turn()
                    except Exception:
                        log.exception("Writing a stream failed")
                del turn, turns  # or the streams that are over would stay for as long as nothing else happens

    async def _wait_for_turns(self) -> None:
        def give_up(_: object) -> trio.lowlevel.Abort:
            self._idle = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(give_up)

    @trio.lowlevel.enable_ki_protection
    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:
            log.exception("Writing a stream failed")

    @trio.lowlevel.enable_ki_protection
    async def _look(self, look: Look, now: float) -> None:
        try:
            if look.patient is not None:  # else it has left
                self.hurry(look, await look.patient.look(now))
        except Exception:
            log.exception("Looking after a stream failed")
            self.hurry(look, now + LINGER_S)


_heart: trio.lowlevel.RunVar[Heart | None] = trio.lowlevel.RunVar("heart")
