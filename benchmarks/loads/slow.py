"""What does a client cost that stops reading? Memory that the server grows by, while a burst waits for it.

The client has a small buffer, reads the first events, pauses, and then wants all the rest, in order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..processes import Server
from .burst import enough_events
from .load import Figure, Load, Size, Values

PAUSE_MS = 2_000
RUN_S = 2.0
RECEIVE_BYTES = 32_768
WATCH_S = 0.01


def run(server: Server, size: Size) -> Values:
    def drain(events: int) -> Any:
        return server.drive("drain", events=events)

    events = min(500_000, enough_events(server, drain, 1, RUN_S * size.scale, SLOW.name))
    pause_ms = max(500, size.times(PAUSE_MS))
    before = server.resident_bytes
    with watched(server) as most:
        server.drive("drain", events=events, pause_ms=pause_ms, receive_bytes=RECEIVE_BYTES)
    return {"mib": (max(most) - before) / 2**20, "of_mib": events * 40 / 2**20}


@contextmanager
def watched(server: Server) -> Iterator[list[int]]:
    """Watch how much memory *server* holds; what was seen is in the list once the block is left."""
    seen: list[int] = [server.resident_bytes]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            seen.append(server.resident_bytes)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


SLOW = Load(
    name="slow",
    title="a reader that pauses",
    figures={"mib": Figure("MiB grown by"), "of_mib": Figure("MiB that were to be sent")},
    run=run,
    fresh=True,
    seldom=True,
)
