"""The app that is served to hundreds of clients at once: in this process, or started from a shell."""

from __future__ import annotations

import gc
import json
import logging
import os
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import attrs
import pydantic
import trio
from attrs import define, field
from quart_trio import QuartTrio

from trio_streamact import (
    ActionError,
    Limits,
    OversizedChunkError,
    Stream,
    StreamActions,
    StreamReport,
    stream_ended,
    stream_opened,
)

PREFIX = "/api/_actions"
LIMITS = Limits(heartbeat_s=0.2, stall_s=2.0, chunk_bytes=4096)
ROOM = 3
"""How many streams of `/crowded` may be open at once."""


class ExpectedError(Exception):
    """What a handler that crashes raises: it is no news, and not logged."""


@define
class Wish:
    """What a client would like to see: so many chunks, so long apart, so large."""

    count: int
    pause_s: float = 0.0
    size: int = 0


@define(eq=False)
class Books:
    """Who came and who went."""

    begun: int = 0
    over: int = 0
    opened: int = 0
    ended: int = 0
    outcomes: dict[str, int] = field(factory=dict)

    def __enter__(self) -> Self:
        self.begun += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.over += 1

    @property
    def balanced(self) -> bool:
        return self.begun == self.over and self.opened == self.ended

    def note_opened(self, _: object, action: str) -> None:
        self.opened += 1

    def note_ended(self, _: object, report: StreamReport) -> None:
        self.ended += 1
        self.outcomes[report.outcome] = self.outcomes.get(report.outcome, 0) + 1


def _is_news(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return not isinstance(error, ExpectedError | OversizedChunkError)


def make_app(limits: Limits = LIMITS) -> tuple[QuartTrio, Books]:
    """Make an app with one action for every way to end, and the books of its streams."""
    app = QuartTrio(__name__)
    app.logger.addFilter(_is_news)
    books = Books()
    stream_opened.connect(books.note_opened, sender=app, weak=False)
    stream_ended.connect(books.note_ended, sender=app, weak=False)
    actions = StreamActions(app, limits=limits)

    async def send_all(wish: Wish, stream: Stream[Any]) -> None:
        for number in range(wish.count):
            await stream.send({"n": number, "pad": "x" * wish.size})
            if wish.pause_s:
                await trio.sleep(wish.pause_s)

    @actions.route("/count", methods=["GET", "POST"])
    async def count(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)

    @actions.post("/own-class")
    async def own_class(input: Wish, stream: Stream[Any]) -> None:
        """Send a chunk of a class that is made for this request, and others after it for as long as is wished."""
        with books:
            await stream.send(pydantic.create_model("Row", x=(int, ...))(x=1))
            await stream.send(attrs.make_class("Row", {"x": attrs.field(type=int)})(1))
            await send_all(input, stream)

    @actions.post("/flood")
    async def flood(stream: Stream[Any]) -> None:
        with books:
            await send_all(Wish(10**9, size=1000), stream)

    @actions.route("/idle", methods=["GET", "POST"])
    async def idle(stream: Stream[Any]) -> None:
        with books:
            await trio.sleep_forever()

    @actions.post("/refused")
    async def refused(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)
            raise ActionError("NOT_FOUND", "No such thing", 404)

    @actions.post("/crash")
    async def crash(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)
            raise ExpectedError

    @actions.post("/crash-in-a-task")
    async def crash_in_a_task(input: Wish, stream: Stream[Any]) -> None:
        async def fail_soon() -> None:
            await trio.sleep(0.01)
            raise ExpectedError

        with books:
            async with trio.open_nursery() as nursery:
                await send_all(input, stream)
                nursery.start_soon(fail_soon)
                await trio.sleep_forever()

    @actions.post("/oversized")
    async def oversized(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)
            await stream.send("x" * limits.chunk_bytes)

    @actions.post("/endless", limits=attrs.evolve(limits, lifetime_s=0.3))
    async def endless(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)
            await trio.sleep_forever()

    @actions.post("/crowded", limits=attrs.evolve(limits, streams=ROOM))
    async def crowded(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)

    @actions.post("/closes")
    async def closes(input: Wish, stream: Stream[Any]) -> None:
        with books:
            await send_all(input, stream)
            await stream.close()
            await trio.sleep(0.05)

    @actions.post("/tidies-up")
    async def tidies_up(input: Wish, stream: Stream[Any]) -> None:
        with books:
            try:
                await send_all(input, stream)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.05)

    @app.post("/collect")
    async def collect() -> str:
        gc.collect()
        return "collected"

    return app, books


# Started from a shell

app, books = make_app(Limits() if os.environ.get("LIMITS") == "default" else LIMITS)


@app.after_serving
async def close_the_books() -> None:
    """Leave the books of this worker in a file, once it has served its last."""
    if directory := os.environ.get("BOOKS_DIR"):
        (Path(directory) / uuid4().hex).write_text(json.dumps(attrs.asdict(books)))
