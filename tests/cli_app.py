"""The app that tests start from a shell. A file in JOURNAL_DIR says of each handler how it ended."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import trio
from hypercorn.middleware.dispatcher import TrioDispatcherMiddleware
from quart_trio import QuartTrio

from trio_streamact import Limits, Stream, StreamActions

app = QuartTrio(__name__)
actions = StreamActions(app, limits=Limits(drain_s=float(os.environ.get("DRAIN_S", "0"))))
journal = Path(os.environ.get("JOURNAL_DIR", "/nonexistent"))


@actions.post("/ticks")
async def ticks(stream: Stream[Any]) -> None:
    try:
        tick = 0
        while True:
            await stream.send(tick)
            tick += 1
            await trio.sleep(0.05)
    finally:
        (journal / uuid4().hex).write_text("cleaned up")


@actions.post("/finishes-soon")
async def finishes_soon(stream: Stream[str]) -> None:
    await stream.send("begun")
    await trio.sleep(1)
    await stream.send("finished")


@actions.post("/short")
async def short(stream: Stream[int]) -> None:
    await stream.send(1)


@app.post("/plain")
async def plain() -> str:
    return "plain"


@app.post("/generator")
async def generator() -> Any:
    async def body() -> AsyncIterator[bytes]:
        yield b"1"

    return body(), {"Content-Type": "text/plain"}


@actions.post("/stops-the-server")
async def stops_the_server(stream: Stream[Any]) -> None:
    await stream.send(1)
    raise SystemExit


@actions.post("/flood")
async def flood(stream: Stream[str]) -> None:
    while True:
        await stream.send("x" * 1000)


unused = QuartTrio(f"{__name__}.unused", root_path=".")
StreamActions(unused)
two_apps = TrioDispatcherMiddleware({"/unused": unused, "": app})
