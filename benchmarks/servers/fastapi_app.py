"""FastAPI on uvicorn, with its own event streams: a generator of pydantic models."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from .common import ENDING, TEXT, cancelled, note_cancelled, now_ns, pause_s

app = FastAPI()

# Of no stream's declared type, which FastAPI makes an exception for.
ending: Any = ServerSentEvent(data=ENDING)


class Token(BaseModel):
    """A word of a model."""

    n: int
    text: str


class Tick(BaseModel):
    """A beat, and when it was due and sent."""

    n: int
    due: int
    sent: int


@app.get("/burst", response_class=EventSourceResponse)
async def burst(events: int, start: int) -> AsyncIterator[Token]:
    if (pause := pause_s(start)) > 0:
        await asyncio.sleep(pause)
    for n in range(events):
        yield Token(n=n, text=TEXT)
    yield ending


@app.get("/ticks", response_class=EventSourceResponse)
async def ticks(events: int, start: int, every: int) -> AsyncIterator[Tick]:
    for n in range(events):
        due = start + n * every
        if (pause := pause_s(due)) > 0:
            await asyncio.sleep(pause)
        yield Tick(n=n, due=due, sent=now_ns())
    yield ending


@app.get("/hold", response_class=EventSourceResponse)
async def hold(id: int) -> AsyncIterator[Token]:
    try:
        yield Token(n=0, text=TEXT)
        await asyncio.Event().wait()
    finally:
        note_cancelled(id)


@app.get("/cancelled")
async def cancelled_streams() -> Any:
    return cancelled
