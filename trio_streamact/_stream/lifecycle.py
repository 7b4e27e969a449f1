"""The life of one stream: its states, and the events that move it from one to the next.

The table is the whole rule. It knows nothing of Trio, of time or of HTTP: the body of the response moves the stream by
events, and the report of a stream says where they have led.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import final

import attrs

from .signals import Outcome


class State(Enum):
    """Where a stream is in its life."""

    RUNNING = "running"
    """The handler runs, and its chunks are sent."""
    DRAINING = "draining"
    """The server is shutting down; the handler may go on until ``drain_s`` is over."""
    ENDED = "ended"
    """The last frame is on its way to the client. No more chunks are taken."""
    DELIVERED = "delivered"
    """The server has taken the last frame from a stream whose client was still there."""
    LOST = "lost"
    """The client has not been sent the last frame, and will not be."""


class Event(Enum):
    """What happens to a stream."""

    REFUSED = "refused"
    """The server did not open the stream, whatever the input: it has too many, or cannot serve this version of HTTP."""
    SHUTDOWN = "shutdown"
    """The server begins to shut down, before the handler is cancelled for another reason."""
    RETURNED = "returned"
    """The handler returned, or closed its stream."""
    FAILED = "failed"
    """A guard, the validation of the input, middleware or the handler raised an exception."""
    STOPPED = "stopped"
    """The handler raised ``KeyboardInterrupt`` or ``SystemExit``, or the server was stopping when the stream opened."""
    OVERDUE = "overdue"
    """The handler's time is over: its lifetime, or that for draining."""
    WRITTEN = "written"
    """The last frame was written."""
    STALLED = "stalled"
    """The client took nothing for ``stall_s``."""
    DISCONNECTED = "disconnected"
    """The client left, or a write failed."""


@final
@attrs.frozen
class Move:
    """Where an event leads, and the outcome that it gives to the stream, if any."""

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
    """One stream's life.

    Attributes:
        state: Where the stream is.
        outcome: How it has ended, or None while it runs.
        code: The code of the error frame that is its ending, or None. A stream that is lost has none.
    """

    state: State = attrs.field(default=State.RUNNING, init=False)
    outcome: Outcome | None = attrs.field(default=None, init=False)
    code: str | None = attrs.field(default=None, init=False)

    def move(self, event: Event, code: str | None = None) -> bool:
        """Move to where *event* leads, with the *code* of the ending. Return False, and change nothing, if nowhere."""
        move = MOVES.get((self.state, event))
        if move is None:
            return False
        self.state = move.to
        if move.outcome is not None:
            self.outcome, self.code = move.outcome, code
        return True
