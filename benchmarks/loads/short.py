"""How many streams a second, where each is short? Ten events each, 16 at once, on connections that stay open."""

from __future__ import annotations

from ..processes import Server
from .load import Figure, Load, Size, Values

EVENTS = 10
AT_ONCE = 16
TOTAL = 1_000
WARM_UP = 100


def run(server: Server, size: Size) -> Values:
    server.drive("drain", streams=AT_ONCE, total=WARM_UP, events=EVENTS)
    result = server.drive("drain", streams=AT_ONCE, total=size.times(TOTAL), events=EVENTS)
    return {
        "streams_per_s": result["streams"] / result["wall_ns"] * 1e9,
        "cpu_us": result["server_cpu_ns"] / result["streams"] / 1e3,
    }


SHORT = Load(
    name="short",
    title=f"short streams of {EVENTS} events, {AT_ONCE} at once",
    figures={"streams_per_s": Figure("streams/s", better="more"), "cpu_us": Figure("us of CPU a stream")},
    run=run,
)
