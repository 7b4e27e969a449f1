"""trio_streamact: actions that send attrs chunks."""

from __future__ import annotations

from typing import Any

import trio
from attrs import define
from quart_trio import QuartTrio

from trio_streamact import Stream, StreamActions

from .common import TEXT, cancelled, note_cancelled, now_ns, pause_s

app = QuartTrio(__name__)
actions = StreamActions(app, url_prefix="")


@define
class Burst:
    """How many tokens, and when."""

    events: int
    start: int


@define
class Ticks:
    """How many ticks, from when, and how often."""

    events: int
    start: int
    every: int


@define
class Hold:
    """Which stream is held."""

    id: int


@define
class Token:
    """A word of a model."""

    n: int
    text: str


@define
class Tick:
    """A beat, and when it was due and sent."""

    n: int
    due: int
    sent: int


@actions.get("/burst")
async def burst(input: Burst, stream: Stream[Token]) -> None:
    if (pause := pause_s(input.start)) > 0:
        await trio.sleep(pause)
    for n in range(input.events):
        await stream.send(Token(n, TEXT))


@actions.get("/ticks")
async def ticks(input: Ticks, stream: Stream[Tick]) -> None:
    for n in range(input.events):
        due = input.start + n * input.every
        if (pause := pause_s(due)) > 0:
            await trio.sleep(pause)
        await stream.send(Tick(n, due, now_ns()))


@actions.get("/hold")
async def hold(input: Hold, stream: Stream[Token]) -> None:
    try:
        await stream.send(Token(0, TEXT))
        await trio.sleep_forever()
    finally:
        note_cancelled(input.id)


@app.get("/cancelled")
async def cancelled_streams() -> Any:
    return cancelled
