"""How many instructions does Python take for an event of a burst, or for a short stream?

They are counted twice, a few of them and then many, and the difference is what the others have taken. Each takes a
little more or less than the one before, since the collector of garbage comes when it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..callgrind import counting
from ..peers import BATCHED, OURS, PLAIN
from ..processes import Server
from .load import Figure, Load, Size, Values
from .short import EVENTS

BURST_EVENTS = 24_000
SHORT_STREAMS = 150
FEW = 5
"""How many times fewer are a few."""


def each(server: Server, count: int, drive: Callable[[Server, int], Any]) -> float:
    """Say how many thousand instructions each of *count* takes that *drive* has another server of this kind do."""
    few = count // FEW
    with counting(server.peer) as counter:
        drive(counter.server, count)  # warms it up, while that is fast
        counter.switch_on()
        drive(counter.server, few)
        counter.taken()
        drive(counter.server, few)
        taken_by_few = counter.taken()
        drive(counter.server, count)
        return (counter.taken() - taken_by_few) / (count - few) / 1e3


def burst(server: Server, size: Size) -> Values:  # noqa: ARG001 - the start takes longest
    return {"event": each(server, BURST_EVENTS, lambda server, count: server.drive("drain", events=count))}


def short(server: Server, size: Size) -> Values:  # noqa: ARG001 - as above
    def drive(server: Server, count: int) -> Any:
        return server.drive("drain", total=count, events=EVENTS)

    return {"stream": each(server, SHORT_STREAMS, drive)}


BURST = Load(
    name="burst-instructions",
    title="burst, counted",
    figures={"event": Figure("thousand instructions an event")},
    run=burst,
    peers=(BATCHED, OURS),
    once=True,
)
SHORT = Load(
    name="short-instructions",
    title=f"short streams of {EVENTS} events, counted",
    figures={"stream": Figure("thousand instructions a stream")},
    run=short,
    peers=(OURS, PLAIN),
    once=True,
)
