"""Batched by hand: a bare ASGI app that collects 64 KiB of events for each ``send``.

Events that may wait for others cost least so. What is left is Python's own work for each event, and no system call but
one in a thousand and more events: the measure of a burst on any processor, since ours has the same to do and no other
system calls. Otherwise it is the floor.
"""

from __future__ import annotations

from typing import Any

import attrs
import orjson
import trio

from .common import ENDING, numbers, pause_s, token
from .floor import EVENT_STREAM, Receive, Send
from .floor import app as floor

WRITE_BYTES = 64 * 1024


@attrs.define(eq=False)
class Batch:
    """Events that leave together."""

    _send: Send
    _events: list[bytes] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=0, init=False)

    async def add(self, payload: dict[str, Any]) -> None:
        """Send one event, with those that wait if they are enough."""
        event = b"data: %b\n\n" % orjson.dumps(payload)
        self._events.append(event)
        self._bytes += len(event)
        if self._bytes >= WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send the events that wait."""
        body = b"".join(self._events)
        self._events.clear()
        self._bytes = 0
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve the paths that the package's docstring lists."""
    if scope["type"] != "http" or scope["path"] != "/burst":
        await floor(scope, receive, send)
        return
    asked = numbers(scope["query_string"])
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
    batch = Batch(send)
    if (pause := pause_s(asked["start"])) > 0:
        await batch.flush()  # or hypercorn keeps the head
        await trio.sleep(pause)
    for n in range(asked["events"]):
        await batch.add(token(n))
    await batch.add(ENDING)
    await batch.flush()
    await send({"type": "http.response.body", "body": b""})
