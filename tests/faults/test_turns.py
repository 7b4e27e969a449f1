"""A route of the app's own that sends without end, to a client that has left: others still have their turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
import trio
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from quart_trio import QuartTrio
from trio.testing import wait_all_tasks_blocked

from tests.http2 import http2
from tests.repairs import leave_out
from tests.servers import DEADLINE_S, serving
from trio_streamact import StreamActions

ENOUGH = 50_000
"""How many parts are sent if nothing cancels the route. Without an end, nothing would show that it holds the worker."""


async def parts_sent(leave: str) -> int:
    """Count the parts that are sent to a client that leaves."""
    app = QuartTrio(__name__)
    StreamActions(app)
    sent, over = count(), trio.Event()

    @app.get("/parts")
    async def parts() -> Any:
        async def body() -> AsyncIterator[bytes]:
            try:
                while next(sent) < ENOUGH:
                    yield b"x" * 1000
            finally:
                over.set()

        return body(), {"Content-Type": "text/plain"}

    async with serving(app) as server:
        if leave == "http/1.1":
            async with await server.connect() as raw:
                await raw.request("/parts", method="GET")
                await wait_all_tasks_blocked(0.05)  # the client takes nothing
        else:
            async with http2(server, opens_windows=False) as client:
                stream = await client.request("/parts", "GET")
                await client.until(lambda: len(client.bodies[stream]) == 65_535)
                if leave == "http/2, by a reset":
                    await client.reset(stream)
                    await wait_all_tasks_blocked(0.05)
        with trio.fail_after(DEADLINE_S):
            await over.wait()
    return next(sent)


@pytest.mark.parametrize("leave", ["http/1.1", "http/2", "http/2, by a reset"])
async def test_a_body_without_end_is_cancelled_when_its_client_leaves_over(leave: str) -> None:
    assert await parts_sent(leave) < ENOUGH


@pytest.mark.parametrize("leave", ["http/1.1", "http/2", "http/2, by a reset"])
async def test_without_the_repair_it_is_not_cancelled(monkeypatch: pytest.MonkeyPatch, leave: str) -> None:
    leave_out(monkeypatch, H2Protocol, "stream_send")
    leave_out(monkeypatch, H11Protocol, "stream_send")
    for _ in range(10):  # who runs first is left to chance
        if await parts_sent(leave) > ENOUGH:
            return
    raise AssertionError("it was cancelled each time")
