"""The app that most tests run: one action for every way in which a stream can go."""

from __future__ import annotations

import math
from typing import Any, Self

import attrs
import trio
from attrs import define, field, validators
from quart_trio import QuartTrio

from trio_streamact import ActionError, Limits, Stream, StreamActions, StreamReport, stream_ended

PREFIX = "/api/_actions"
DEFAULTS = Limits(heartbeat_s=math.inf, stall_s=math.inf)
"""Nothing ends a stream by its time that a test wants to see ended by something else."""


@define
class Prompt:
    prompt: str = field(validator=[validators.min_len(1), validators.max_len(2000)])


@define
class Token:
    text: str


@define(eq=False)
class Journal:
    """Counts the handlers of an app that started, finished and were cancelled, and keeps the reports of streams."""

    started: int = 0
    finished: int = 0
    cancelled: int = 0
    reports: list[StreamReport] = field(factory=list)
    _changed: trio.Event = field(factory=trio.Event)

    def __enter__(self) -> Self:
        self.started += 1
        self._notify()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        self.finished += 1
        self.cancelled += exc_type is trio.Cancelled
        self._notify()

    def receive(self, _: object, report: StreamReport) -> None:
        self.reports.append(report)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, **counts: int) -> None:
        """Wait until that many handlers are *started*, *finished* or *cancelled*, or that many *reports* were made."""
        with trio.fail_after(20):
            while any(self._count(name) < count for name, count in counts.items()):
                await self._changed.wait()

    def _count(self, name: str) -> int:
        value: Any = getattr(self, name)
        return len(value) if isinstance(value, list) else value


def make_app(limits: Limits = DEFAULTS, **options: Any) -> tuple[QuartTrio, Journal]:
    """Make an app and the journal of its handlers."""
    app = QuartTrio(__name__)
    journal = Journal()
    stream_ended.connect(journal.receive, sender=app, weak=False)
    actions = StreamActions(app, limits=limits, **options)

    @actions.post("/words")
    async def words(input: Prompt, stream: Stream[Token]) -> None:
        with journal:
            for text in input.prompt.split():
                await stream.send(Token(text))

    @actions.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def echo(input: Any, stream: Stream[Any]) -> None:
        with journal:
            await stream.send({"input": input})

    @actions.route("/ticks", methods=["GET", "POST"])
    async def ticks(stream: Stream[int]) -> None:
        with journal:
            tick = 0
            while True:
                await stream.send(tick)
                tick += 1
                await trio.sleep(0.02)

    @actions.post("/idle")
    async def idle(stream: Stream[Any]) -> None:
        with journal:
            await trio.sleep_forever()

    @actions.post("/flood")
    async def flood(stream: Stream[str]) -> None:
        with journal:
            while True:
                await stream.send("x" * 1000)

    @actions.post("/burst")
    async def burst(input: dict[str, int], stream: Stream[Token]) -> None:
        with journal:
            for _ in range(input["count"]):
                await stream.send(Token("hello world"))

    @actions.post("/refused")
    async def refused(stream: Stream[int]) -> None:
        with journal:
            await stream.send(1)
            raise ActionError("NOT_FOUND", "No such thing", 404)

    @actions.post("/crash")
    async def crash(stream: Stream[int]) -> None:
        with journal:
            await stream.send(1)
            raise RuntimeError("secret")

    async def nobody(ctx: dict[str, Any]) -> None:
        raise ActionError("UNAUTHORIZED", "Sign in first", 401)

    @actions.post("/private", middleware=[nobody])
    async def private(stream: Stream[Any]) -> None:
        with journal:
            raise AssertionError("the handler ran")

    async def broken() -> None:
        raise LookupError("secret")

    @actions.post("/broken", middleware=[broken])
    async def behind_broken(stream: Stream[Any]) -> None:
        with journal:
            raise AssertionError("the handler ran")

    async def mistaken() -> None:
        raise TypeError("secret")

    @actions.post("/mistaken", middleware=[mistaken])
    async def behind_mistaken(stream: Stream[Any]) -> None:
        with journal:
            raise AssertionError("the handler ran")

    async def slow() -> None:
        with journal:
            await trio.sleep_forever()

    @actions.post("/slow-middleware", middleware=[slow])
    async def behind_slow(stream: Stream[Any]) -> None:
        raise AssertionError("the handler ran")

    @actions.post("/unsayable")
    async def unsayable(stream: Stream[Any]) -> None:
        with journal:
            await stream.send(object())

    @actions.post("/endless", limits=attrs.evolve(limits, lifetime_s=0.2))
    async def endless(stream: Stream[int]) -> None:
        with journal:
            await stream.send(1)
            await trio.sleep_forever()

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    return app, journal
