"""How long until the first event? One stream after the other, from the request to the event's bytes."""

from __future__ import annotations

from ..figures import percentile
from ..processes import Server
from .load import Figure, Load, Size, Values

TOTAL = 300


def run(server: Server, size: Size) -> Values:
    result = server.drive("drain", total=size.times(TOTAL), events=1)
    return {"p50_ms": percentile(result["first_ns"], 50) / 1e6, "p99_ms": percentile(result["first_ns"], 99) / 1e6}


FIRST = Load(
    name="first", title="first event", figures={"p50_ms": Figure("ms, p50"), "p99_ms": Figure("ms, p99")}, run=run
)
