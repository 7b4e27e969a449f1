"""Litestar on uvicorn, with its own event streams: an async generator in a ServerSentEvent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.response import ServerSentEvent

from .common import ENDING, TEXT, cancelled, note_cancelled, now_ns, pause_s


class Token(msgspec.Struct):
    """A word of a model."""

    n: int
    text: str


class Tick(msgspec.Struct):
    """A beat, and when it was due and sent."""

    n: int
    due: int
    sent: int


encode = msgspec.json.encode


@get("/burst")
async def burst(events: int, start: int) -> ServerSentEvent:
    async def stream() -> AsyncIterator[bytes]:
        if (pause := pause_s(start)) > 0:
            await asyncio.sleep(pause)
        for n in range(events):
            yield encode(Token(n, TEXT))
        yield encode(ENDING)

    return ServerSentEvent(stream())


@get("/ticks")
async def ticks(events: int, start: int, every: int) -> ServerSentEvent:
    async def stream() -> AsyncIterator[bytes]:
        for n in range(events):
            due = start + n * every
            if (pause := pause_s(due)) > 0:
                await asyncio.sleep(pause)
            yield encode(Tick(n, due, now_ns()))
        yield encode(ENDING)

    return ServerSentEvent(stream())


@get("/hold")
async def hold(id: int) -> ServerSentEvent:
    async def stream() -> AsyncIterator[bytes]:
        try:
            yield encode(Token(0, TEXT))
            await asyncio.Event().wait()
        finally:
            note_cancelled(id)

    return ServerSentEvent(stream())


@get("/cancelled")
async def cancelled_streams() -> list[Any]:
    return list(cancelled)


app = Litestar([burst, ticks, hold, cancelled_streams])
