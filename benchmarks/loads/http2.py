"""The same bursts and ticks over HTTP/2, all streams on one connection, for the servers that speak it."""

from __future__ import annotations

from functools import partial

from .burst import FIGURES, MANY_STREAMS, burst
from .load import Load
from .ticks import FIGURES as TICK_FIGURES
from .ticks import STREAMS, ticks

ONE = Load(
    name="http2-burst",
    title="HTTP/2: burst, 1 stream",
    figures=FIGURES,
    run=partial(burst, streams=1, http2=True),
    http2=True,
)
MANY = Load(
    name="http2-burst64",
    title=f"HTTP/2: burst, {MANY_STREAMS} streams",
    figures=FIGURES,
    run=partial(burst, streams=MANY_STREAMS, http2=True),
    http2=True,
)
TICKS = Load(
    name="http2-ticks",
    title=f"HTTP/2: ticks, {STREAMS} streams",
    figures=TICK_FIGURES,
    run=partial(ticks, http2=True),
    http2=True,
)
