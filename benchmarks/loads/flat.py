"""Does an event cost the same however many streams there are, and however long a stream is?

What the same streams cost with no event in them is taken off: it is the cost of opening and ending them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..peers import FLOOR, OURS
from ..processes import Server
from .burst import enough_events
from .load import Figure, Load, Size, Values

STREAMS = (1, 10, 100, 1_000)
EVENTS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
ENOUGH_EVENTS = 20_000
MOST_STREAMS = 500
"""Streams of fewer events are many at once, until it is as many events, or streams."""
LONGEST_S = 10.0
RUN_S = 1.0


def event_us(server: Server, streams: int, events: int) -> float:
    """The cost of an event in us, where each of *streams* has *events*."""
    cost_ns = drain(server, streams, events)["server_cpu_ns"] - drain(server, streams, 0)["server_cpu_ns"]
    return float(cost_ns) / (streams * events) / 1e3


def drain(server: Server, streams: int, events: int) -> Any:
    """Let each of *streams* send its *events*, once all are open."""
    opening_ms = 200 + 4 * streams
    while (result := server.drive("drain", streams=streams, events=events, start_ms=opening_ms))["late"]:
        opening_ms *= 2  # some were not open by then, and their cost would be taken for that of events
    return result


def by_streams(server: Server, size: Size) -> Values:
    """The cost of an event in us, with as many streams at once."""
    total = enough_events(server, partial(drain, server, 1), 1, RUN_S * size.scale, "flat")
    return {str(streams): event_us(server, streams, max(20, total // streams)) for streams in STREAMS}


def by_events(server: Server, size: Size) -> Values:  # noqa: ARG001 - every load is given one, and these points are fixed
    """The cost of an event in us, in streams of as many; None where that would take too long."""
    values: dict[str, float | None] = {}
    last_us = 0.0
    for events in EVENTS:
        if events * last_us > LONGEST_S * 1e6:
            values[str(events)] = None
            continue
        last_us = event_us(server, max(1, min(MOST_STREAMS, ENOUGH_EVENTS // events)), events)
        values[str(events)] = last_us
    return values


def _load(name: str, title: str, points: tuple[int, ...], run: Any) -> Load:
    return Load(
        name=name,
        title=title,
        figures={str(point): Figure("us of CPU an event") for point in points},
        run=run,
        peers=(FLOOR, OURS),
        seldom=True,
        quick=False,
    )


BY_STREAMS = _load("flat-streams", "cost of an event by number of streams", STREAMS, by_streams)
BY_EVENTS = _load("flat-events", "cost of an event by length of the stream", EVENTS, by_events)
