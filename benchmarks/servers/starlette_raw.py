"""Starlette on uvicorn, without a library for events: an async generator of bytes in a StreamingResponse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from .common import ENDING, cancelled, note_cancelled, numbers, pause_s, tick, token


def event(payload: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(payload)


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def burst(request: Request) -> StreamingResponse:
    asked = numbers(request.url.query)

    async def events() -> AsyncIterator[bytes]:
        if (pause := pause_s(asked["start"])) > 0:
            await asyncio.sleep(pause)
        for n in range(asked["events"]):
            yield event(token(n))
        yield event(ENDING)

    return event_stream(events())


async def ticks(request: Request) -> StreamingResponse:
    asked = numbers(request.url.query)

    async def events() -> AsyncIterator[bytes]:
        for n in range(asked["events"]):
            due = asked["start"] + n * asked["every"]
            if (pause := pause_s(due)) > 0:
                await asyncio.sleep(pause)
            yield event(tick(n, due))
        yield event(ENDING)

    return event_stream(events())


async def hold(request: Request) -> StreamingResponse:
    asked = numbers(request.url.query)

    async def events() -> AsyncIterator[bytes]:
        try:
            yield event(token(0))
            await asyncio.Event().wait()
        finally:
            note_cancelled(asked["id"])

    return event_stream(events())


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
