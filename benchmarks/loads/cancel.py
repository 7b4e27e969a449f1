"""How soon is a handler cancelled, once its client has left? From the client's close to the handler's ``finally``."""

from __future__ import annotations

import time

from ..figures import percentile
from ..processes import Server
from .load import Figure, Load, Size, Values

TOTAL = 50
LONGEST_S = 1.0


def run(server: Server, size: Size) -> Values:
    already = len(server.get("/cancelled"))
    closed = server.drive("cancel", total=size.times(TOTAL))["closed_ns"]
    deadline = time.monotonic() + LONGEST_S
    while len(noted := server.get("/cancelled")[already:]) < len(closed) and time.monotonic() < deadline:
        time.sleep(0.05)  # the server tells only who asks
    took = [(at - closed[number]) / 1e6 for number, at in noted]
    return {
        "p50_ms": percentile(took, 50) if took else None,
        "max_ms": max(took) if took else None,
        "never": len(closed) - len(took),
    }


CANCEL = Load(
    name="cancel",
    title="cancelled after the client left",
    figures={"p50_ms": Figure("ms, p50"), "max_ms": Figure("ms, longest"), "never": Figure("streams never")},
    run=run,
)
