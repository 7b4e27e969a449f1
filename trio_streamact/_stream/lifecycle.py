"""The lifecycle of one stream: its states, and the events that move it from one state to the next.

The table contains all rules. It does not depend on Trio, on time or on HTTP. The body of the response calls ``move``
with events, and reads the outcome for the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import final

import attrs

from .signals import Outcome


class State(Enum):
    """The state of a stream."""

    RUNNING = "running"
    """The handler runs, and its chunks are sent."""
    DRAINING = "draining"
    """The server is shutting down. The handler may continue for ``drain_s``."""
    ENDED = "ended"
    """The last frame was added. No more chunks are accepted."""
    DELIVERED = "delivered"
    """The server has taken the last frame while the client was still connected."""
    LOST = "lost"
    """The last frame was not sent to the client, and will not be sent."""


class Event(Enum):
    """An event in the lifecycle of a stream."""

    REFUSED = "refused"
    """The server rejected the stream: too many streams are open, or it does not support this version of HTTP."""
    SHUTDOWN = "shutdown"
    """The server has begun to shut down, and the handler was not cancelled before."""
    RETURNED = "returned"
    """The handler returned, or closed its stream."""
    FAILED = "failed"
    """A guard, the validation of the input, middleware or the handler raised an exception."""
    STOPPED = "stopped"
    """The handler raised ``KeyboardInterrupt`` or ``SystemExit``, or the stream opened during a shutdown."""
    OVERDUE = "overdue"
    """The handler ran longer than ``lifetime_s``, or than ``drain_s`` during a shutdown."""
    WRITTEN = "written"
    """The server has taken the last frame."""
    STALLED = "stalled"
    """The client took too little for ``stall_s``."""
    DISCONNECTED = "disconnected"
    """The client disconnected, or a write failed."""


@final
@attrs.frozen
class Move:
    """The state after an event, and the outcome that the event decides, if any."""

    to: State
    outcome: Outcome | None = None


def _moves() -> Mapping[tuple[State, Event], Move]:
    running, draining, ended = State.RUNNING, State.DRAINING, State.ENDED
    moves = {
        (running, Event.SHUTDOWN): Move(draining),
        (running, Event.REFUSED): Move(ended, "rejected"),
        (running, Event.OVERDUE): Move(ended, "timeout"),
        (draining, Event.OVERDUE): Move(ended, "shutdown"),
        (ended, Event.WRITTEN): Move(State.DELIVERED),
    }
    for state in (running, draining):
        moves[state, Event.RETURNED] = Move(ended, "done")
        moves[state, Event.FAILED] = Move(ended, "error")
        moves[state, Event.STOPPED] = Move(ended, "shutdown")
    for state in (running, draining, ended):
        moves[state, Event.STALLED] = Move(State.LOST, "stalled")
        moves[state, Event.DISCONNECTED] = Move(State.LOST, "disconnected")
    return MappingProxyType(moves)


MOVES: Mapping[tuple[State, Event], Move] = _moves()
"""Every legal move. An event that has no row for the current state changes nothing."""


@final
@attrs.define(eq=False)
class Lifecycle:
    """The current state of one stream.

    Attributes:
        state: The state.
        outcome: How the stream ended, or None while it runs.
        code: The code of the error if the ending is an error, else None. For a lost stream it is None.
    """

    state: State = attrs.field(default=State.RUNNING, init=False)
    outcome: Outcome | None = attrs.field(default=None, init=False)
    code: str | None = attrs.field(default=None, init=False)

    def move(self, event: Event, code: str | None = None) -> bool:
        """Apply *event*, with the *code* of the ending. Return False, and change nothing, if the table has no row."""
        move = MOVES.get((self.state, event))
        if move is None:
            return False
        self.state = move.to
        if move.outcome is not None:
            self.outcome, self.code = move.outcome, code
        return True
