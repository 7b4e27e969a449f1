"""How late does a paced event arrive, and what does it cost? A hundred streams, each with a tick every 50 ms.

The time runs from the moment at which the handler hands a tick over to the one at which the client has its bytes. The
streams tick each at its own time, as a hundred users' do, or all in the same instant.
"""

from __future__ import annotations

from functools import partial

from ..figures import percentile
from ..processes import Server
from .load import Figure, Load, Size, Values

STREAMS = 100
TICKS = 40
EVERY_US = 50_000
OPENING_MS = 500


def ticks(server: Server, size: Size, **options: int | bool) -> Values:
    """Let a hundred streams tick."""
    result = server.drive(
        "ticks", streams=STREAMS, events=size.times(TICKS), every_us=EVERY_US, start_ms=OPENING_MS, **options
    )
    return {
        "p50_ms": percentile(result["delivery_ns"], 50) / 1e6,
        "p99_ms": percentile(result["delivery_ns"], 99) / 1e6,
        "cpu_us": result["server_cpu_ns"] / result["events"] / 1e3,
        "due_p50_ms": percentile(result["lateness_ns"], 50) / 1e6,
    }


FIGURES = {
    "p50_ms": Figure("ms from sent to received, p50"),
    "p99_ms": Figure("ms, p99"),
    "cpu_us": Figure("us of CPU a tick"),
    "due_p50_ms": Figure("ms from due to received, p50"),
}

SPREAD = Load(name="ticks", title=f"ticks, {STREAMS} streams", figures=FIGURES, run=ticks)
IN_STEP = Load(
    name="ticks-in-step",
    title=f"ticks, {STREAMS} streams in step",
    figures=FIGURES,
    run=partial(ticks, in_step=True),
)
