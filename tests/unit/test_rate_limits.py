"""The ready middleware that bounds how often a client may start an action."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing
from limits.storage import MemoryStorage
from quart_trio import QuartTrio

from tests.apps import PREFIX
from trio_streamact import ActionError, Stream, StreamActions, rate_limit
from trio_streamact.testing import open_stream


def app_with(limit: Any) -> QuartTrio:
    app = QuartTrio(__name__)

    @StreamActions(app).post("/it", middleware=[limit])
    async def it(stream: Stream[str]) -> None:
        await stream.send("ok")

    return app


async def code_of(app: QuartTrio, user: str = "ada") -> str | None:
    async with open_stream(app, f"{PREFIX}/it", headers={"X-User": user}) as stream:
        try:
            await stream.rest()
        except ActionError as error:
            assert b'"retryAfter":' in stream.body
            return error.code
    return None


async def test_a_client_may_start_so_many_and_no_more(autojump_clock: trio.testing.MockClock) -> None:
    app = app_with(rate_limit("3/hour"))
    assert [await code_of(app) for _ in range(5)] == [None, None, None, "RATE_LIMITED", "RATE_LIMITED"]


async def test_clients_are_told_apart_by_the_key(autojump_clock: trio.testing.MockClock) -> None:
    app = app_with(rate_limit("1/hour", key=lambda request, ctx: request.headers["X-User"]))
    assert [await code_of(app, user) for user in ("ada", "bob", "ada")] == [None, None, "RATE_LIMITED"]


async def test_nobody_in_particular_is_not_counted(autojump_clock: trio.testing.MockClock) -> None:
    app = app_with(rate_limit("1/hour", key=lambda request, ctx: None))
    assert [await code_of(app) for _ in range(3)] == [None] * 3


async def test_a_storage_that_may_block_is_asked_in_a_thread() -> None:
    import threading

    asked_in = set()

    class Remote(MemoryStorage):
        STORAGE_SCHEME = ["remote"]  # noqa: RUF012 - as limits declares it

        def acquire_sliding_window_entry(self, *args: Any, **options: Any) -> bool:
            asked_in.add(threading.current_thread())
            return super().acquire_sliding_window_entry(*args, **options)

    # Any storage but the one of `limits` itself: even one in memory, of a subclass, is none of ours to judge.
    app = app_with(rate_limit("1/hour", storage=Remote()))
    assert [await code_of(app) for _ in range(2)] == [None, "RATE_LIMITED"]
    assert threading.main_thread() not in asked_in


def test_a_rate_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="parse"):
        rate_limit("often")
