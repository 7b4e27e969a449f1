"""sse-starlette on uvicorn: an async generator of events in an EventSourceResponse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .common import ENDING, cancelled, note_cancelled, numbers, pause_s, tick, token


def event(payload: dict[str, Any]) -> dict[str, str]:
    return {"data": orjson.dumps(payload).decode()}


async def burst(request: Request) -> EventSourceResponse:
    asked = numbers(request.url.query)

    async def events() -> AsyncIterator[dict[str, str]]:
        if (pause := pause_s(asked["start"])) > 0:
            await asyncio.sleep(pause)
        for n in range(asked["events"]):
            yield event(token(n))
        yield event(ENDING)

    return EventSourceResponse(events())


async def ticks(request: Request) -> EventSourceResponse:
    asked = numbers(request.url.query)

    async def events() -> AsyncIterator[dict[str, str]]:
        for n in range(asked["events"]):
            due = asked["start"] + n * asked["every"]
            if (pause := pause_s(due)) > 0:
                await asyncio.sleep(pause)
            yield event(tick(n, due))
        yield event(ENDING)

    return EventSourceResponse(events())


async def hold(request: Request) -> EventSourceResponse:
    asked = numbers(request.url.query)

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            yield event(token(0))
            await asyncio.Event().wait()
        finally:
            note_cancelled(asked["id"])

    return EventSourceResponse(events())


async def cancelled_streams(request: Request) -> JSONResponse:  # noqa: ARG001 - Starlette's signature
    return JSONResponse(cancelled)


app = Starlette(
    routes=[
        Route("/burst", burst),
        Route("/ticks", ticks),
        Route("/hold", hold),
        Route("/cancelled", cancelled_streams),
    ]
)
