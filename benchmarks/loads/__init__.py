"""The questions, one file each."""

from __future__ import annotations

from . import burst, cancel, first, flat, http2, idle, instructions, lateness, short, slow, ticks
from .load import Figure, Load, Size

LOADS: dict[str, Load] = {
    load.name: load
    for load in (
        burst.ONE,
        burst.MANY,
        short.SHORT,
        first.FIRST,
        ticks.SPREAD,
        ticks.IN_STEP,
        lateness.LATENESS,
        cancel.CANCEL,
        idle.IDLE,
        slow.SLOW,
        http2.ONE,
        http2.MANY,
        http2.TICKS,
        instructions.BURST,
        instructions.SHORT,
        flat.BY_STREAMS,
        flat.BY_EVENTS,
    )
}

__all__ = ["LOADS", "Figure", "Load", "Size"]
