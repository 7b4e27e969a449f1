"""The floor: a bare ASGI app, one ``send`` for each event. Nothing on hypercorn that sends one by one can cost less."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import trio

from .common import ENDING, cancelled, note_cancelled, numbers, pause_s, tick, token

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

EVENT_STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve the paths that the package's docstring lists."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    asked = numbers(scope["query_string"])
    if scope["path"] == "/cancelled":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": orjson.dumps(cancelled)})
        return
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
    if scope["path"] == "/burst":
        await burst(send, asked)
    elif scope["path"] == "/ticks":
        await ticks(send, asked)
    else:
        await hold(receive, send, asked)
    await send({"type": "http.response.body", "body": b"data: %b\n\n" % orjson.dumps(ENDING)})


async def send_event(send: Send, payload: dict[str, Any]) -> None:
    """Send one event."""
    body = b"data: %b\n\n" % orjson.dumps(payload)
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def burst(send: Send, asked: dict[str, int]) -> None:
    if (pause := pause_s(asked["start"])) > 0:
        await send({"type": "http.response.body", "body": b"", "more_body": True})  # or hypercorn keeps the head
        await trio.sleep(pause)
    for n in range(asked["events"]):
        await send_event(send, token(n))


async def ticks(send: Send, asked: dict[str, int]) -> None:
    for n in range(asked["events"]):
        due = asked["start"] + n * asked["every"]
        if (pause := pause_s(due)) > 0:
            await trio.sleep(pause)
        await send_event(send, tick(n, due))


async def hold(receive: Receive, send: Send, asked: dict[str, int]) -> None:
    await send_event(send, token(0))
    while (await receive())["type"] != "http.disconnect":
        pass
    note_cancelled(asked["id"])


async def lifespan(receive: Receive, send: Send) -> None:
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})
