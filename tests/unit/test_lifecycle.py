"""The life of a stream: every event in every state."""

from __future__ import annotations

from itertools import product

import pytest

from docs import drawings
from trio_streamact._stream.lifecycle import MOVES, Event, Lifecycle, State

OPEN = (State.RUNNING, State.DRAINING)
OVER = (State.DELIVERED, State.LOST)

WAYS_TO = {
    State.RUNNING: (),
    State.DRAINING: (Event.SHUTDOWN,),
    State.ENDED: (Event.RETURNED,),
    State.DELIVERED: (Event.RETURNED, Event.WRITTEN),
    State.LOST: (Event.DISCONNECTED,),
}


def a_stream_that_is(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for event in WAYS_TO[state]:
        assert lifecycle.move(event)
    assert lifecycle.state is state
    return lifecycle


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=str)
def test_an_event_moves_the_stream_as_the_table_says_or_changes_nothing(state: State, event: Event) -> None:
    lifecycle = a_stream_that_is(state)
    before = (lifecycle.state, lifecycle.outcome, lifecycle.code)
    moved = lifecycle.move(event, "CODE")
    move = MOVES.get((state, event))
    assert moved is (move is not None)
    if move is None:
        assert (lifecycle.state, lifecycle.outcome, lifecycle.code) == before
    else:
        assert lifecycle.state is move.to
        if move.outcome is not None:
            assert (lifecycle.outcome, lifecycle.code) == (move.outcome, "CODE")


def test_a_stream_that_is_over_stays_as_it_is() -> None:
    assert not [(state, event) for state, event in MOVES if state in OVER]


@pytest.mark.parametrize("state", OPEN)
def test_a_stream_ends_once(state: State) -> None:
    lifecycle = a_stream_that_is(state)
    assert lifecycle.move(Event.FAILED, "STREAM_ERROR")
    endings = set(Event) - {Event.WRITTEN, Event.STALLED, Event.DISCONNECTED}
    assert not any(lifecycle.move(event) for event in endings)
    assert (lifecycle.outcome, lifecycle.code) == ("error", "STREAM_ERROR")


def test_an_ending_that_is_written_is_the_outcome() -> None:
    lifecycle = a_stream_that_is(State.RUNNING)
    lifecycle.move(Event.OVERDUE, "TIMEOUT_ERROR")
    lifecycle.move(Event.WRITTEN)
    assert (lifecycle.state, lifecycle.outcome, lifecycle.code) == (State.DELIVERED, "timeout", "TIMEOUT_ERROR")


def test_an_ending_that_is_not_written_is_no_outcome() -> None:
    lifecycle = a_stream_that_is(State.RUNNING)
    lifecycle.move(Event.FAILED, "STREAM_ERROR")
    lifecycle.move(Event.STALLED)
    assert (lifecycle.state, lifecycle.outcome, lifecycle.code) == (State.LOST, "stalled", None)


def test_time_that_is_over_is_a_shutdown_only_while_the_server_shuts_down() -> None:
    outcomes = {}
    for state in OPEN:
        lifecycle = a_stream_that_is(state)
        lifecycle.move(Event.OVERDUE)
        outcomes[state] = lifecycle.outcome
    assert outcomes == {State.RUNNING: "timeout", State.DRAINING: "shutdown"}


def test_every_stream_that_is_not_over_can_be_lost() -> None:
    for state in set(State) - set(OVER):
        assert (state, Event.DISCONNECTED) in MOVES
        assert (state, Event.STALLED) in MOVES


def test_the_drawings_in_the_docs_are_those_of_the_code() -> None:
    page = drawings.PAGE.read_text()
    assert page == drawings.drawn(page)
    assert drawings.life() in page
