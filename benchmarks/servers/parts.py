"""The burst of an action alone, and with what may stand around it; for ``benchmarks.parts``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from attrs import define
from quart import Request
from quart_trio import QuartTrio

from trio_streamact import Stream, StreamActions

from .common import TEXT


@define
class Burst:
    """How many tokens, and when: at once."""

    events: int
    start: int


@define
class Token:
    """A word of a model."""

    n: int
    text: str


async def adds(request: Request) -> Mapping[str, object]:
    """Do the least that a guard or middleware is there for."""
    return {"user": request.method}


async def wraps(request: Request) -> AsyncGenerator[Mapping[str, object], None]:
    """Do the same, around the handler."""
    yield {"user": request.method}


def app_of(**options: Any) -> QuartTrio:
    """Return an app with one action, made with *options*."""
    app = QuartTrio(__name__)
    parts = len(options)

    @StreamActions(app, url_prefix="").get("/burst", **options)
    async def burst(input: Burst, ctx: dict[str, object], stream: Stream[Token]) -> None:
        assert len(ctx) == parts
        for n in range(input.events):
            await stream.send(Token(n, TEXT))

    return app


alone = app_of()
guard = app_of(guards=[adds])
middleware = app_of(middleware=[adds])
wrapping_guard = app_of(guards=[wraps])
wrapping_middleware = app_of(middleware=[wraps])
