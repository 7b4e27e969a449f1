"""Plain quart-trio: an async generator as the body of a response, the way Quart's documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import trio
from quart import Response, request
from quart_trio import QuartTrio

from .common import ENDING, cancelled, note_cancelled, numbers, pause_s, tick, token

app = QuartTrio(__name__)


def event(payload: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(payload)


def event_stream(events: AsyncIterator[bytes]) -> Response:
    response = Response(events, content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    response.timeout = None
    return response


@app.get("/burst")
async def burst() -> Response:
    asked = numbers(request.query_string)

    async def events() -> AsyncIterator[bytes]:
        if (pause := pause_s(asked["start"])) > 0:
            await trio.sleep(pause)
        for n in range(asked["events"]):
            yield event(token(n))
        yield event(ENDING)

    return event_stream(events())


@app.get("/ticks")
async def ticks() -> Response:
    asked = numbers(request.query_string)

    async def events() -> AsyncIterator[bytes]:
        for n in range(asked["events"]):
            due = asked["start"] + n * asked["every"]
            if (pause := pause_s(due)) > 0:
                await trio.sleep(pause)
            yield event(tick(n, due))
        yield event(ENDING)

    return event_stream(events())


@app.get("/hold")
async def hold() -> Response:
    asked = numbers(request.query_string)

    async def events() -> AsyncIterator[bytes]:
        try:
            yield event(token(0))
            await trio.sleep_forever()
        finally:
            note_cancelled(asked["id"])

    return event_stream(events())


@app.get("/cancelled")
async def cancelled_streams() -> Any:
    return cancelled
