"""What does a stream hold that has nothing to say? Memory of a thousand, on a server that has done little else."""

from __future__ import annotations

import time

from ..processes import Server
from .load import Figure, Load, Size, Values

STREAMS = 1_000
WARM_UP = 10
SETTLE_S = 0.3
"""How long a server is left alone until its memory is what it stays, in seconds: nothing tells when."""


def run(server: Server, size: Size) -> Values:
    streams = max(200, size.times(STREAMS))
    with server.held(WARM_UP):
        pass
    time.sleep(SETTLE_S)
    before = server.resident_bytes
    with server.held(streams):
        time.sleep(SETTLE_S)
        held = server.resident_bytes - before
    return {"kib": held / streams / 1024, "base_mib": before / 2**20}


IDLE = Load(
    name="idle",
    title="memory of an idle stream",
    figures={"kib": Figure("KiB a stream"), "base_mib": Figure("MiB without any")},
    run=run,
    fresh=True,
    seldom=True,
)
