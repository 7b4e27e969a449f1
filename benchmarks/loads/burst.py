"""How many events a second, where a stream sends all it has at once? On one connection, and on 64.

The streams are open before the first event is due, and what is measured begins there: what it costs to open a stream is
the question of short streams.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..processes import Server
from .load import Figure, Load, Size, Values

PILOT_EVENTS = 2_000
MOST_EVENTS = 2_000_000
OPENING_MS = 300
RUN_S = 1.0
MANY_STREAMS = 64


def burst(server: Server, size: Size, *, streams: int, http2: bool = False) -> Values:
    """Let each of *streams* send all it has at once."""

    def drain(events: int) -> Any:
        return server.drive("drain", streams=streams, events=events, start_ms=OPENING_MS, http2=http2)

    events = enough_events(server, drain, streams, RUN_S * size.scale, f"burst of {streams}, HTTP/2 {http2}")
    result = drain(events)
    return {
        "cpu_us": result["server_cpu_ns"] / result["events"] / 1e3,
        "events_per_s": result["events"] / result["wall_ns"] * 1e9,
        "client_busy": result["client_cpu_ns"] / result["wall_ns"],
    }


def enough_events(server: Server, drain: Any, streams: int, wanted_s: float, run: str) -> int:
    """Say how many events of each stream keep *server* busy for about *wanted_s*.

    That differs a hundredfold. Busy is what takes CPU: on a busy machine a server also waits. Finding out warms it up,
    too, and is done once.
    """
    if run not in server.sizes:
        each = max(10, PILOT_EVENTS // streams)
        while (took_s := drain(each)["server_cpu_ns"] / 1e9) < wanted_s / 4 and each * streams < MOST_EVENTS:
            each *= 4
        server.sizes[run] = max(10, min(MOST_EVENTS // streams, round(each * wanted_s / took_s)))
    return server.sizes[run]


FIGURES = {
    "cpu_us": Figure("us of CPU an event"),
    "events_per_s": Figure("events/s", better="more"),
    "client_busy": Figure("of a core for the client"),
}

ONE = Load(name="burst", title="burst, 1 connection", figures=FIGURES, run=partial(burst, streams=1))
MANY = Load(
    name="burst64",
    title=f"burst, {MANY_STREAMS} connections",
    figures=FIGURES,
    run=partial(burst, streams=MANY_STREAMS),
)
