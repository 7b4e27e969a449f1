"""How much does one stream that sends all it has disturb another?

Ticks of 50 ms beside bursts of 30,000 events, one behind the other; each tick against the time at which it was due.
"""

from __future__ import annotations

from ..figures import percentile
from ..processes import Server
from .load import Figure, Load, Size, Values

TICKS = 40
EVERY_US = 50_000
OPENING_MS = 200
BURST_EVENTS = 30_000
"""Of the other stream, which begins anew until the ticks are over."""


def run(server: Server, size: Size) -> Values:
    result = server.drive(
        "ticks", events=size.times(TICKS), every_us=EVERY_US, start_ms=OPENING_MS, beside=BURST_EVENTS
    )
    late = result["lateness_ns"]
    return {"p50_ms": percentile(late, 50) / 1e6, "p90_ms": percentile(late, 90) / 1e6, "max_ms": max(late) / 1e6}


LATENESS = Load(
    name="lateness",
    title="lateness of 50 ms ticks beside a burst",
    figures={"p50_ms": Figure("ms, p50"), "p90_ms": Figure("ms, p90"), "max_ms": Figure("ms, longest")},
    run=run,
)
