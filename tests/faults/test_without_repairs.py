"""The faults as they are, without us: each test fails once upstream has mended its fault, and the repair can go."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from tests.servers import RawClient, is_complete, serving


def plain_app() -> QuartTrio:
    """Make an app without StreamActions, whose streams are generators."""
    app = QuartTrio(__name__)

    def reply(body: Any) -> Any:
        return body, {"Content-Type": "text/event-stream"}

    @app.get("/ticks")
    async def ticks() -> Any:
        async def body() -> Any:
            for tick in range(1000):
                yield b"data: %d\n\n" % tick
                await trio.sleep(0.02)

        return reply(body())

    @app.get("/flood")
    async def flood() -> Any:
        async def body() -> Any:
            while True:
                yield b"x" * 10_000

        return reply(body())

    @app.get("/interrupt")
    async def interrupt() -> Any:
        async def body() -> Any:
            yield b"data: 1\n\n"
            raise KeyboardInterrupt

        return reply(body())

    return app


async def test_hazard_3_without_the_repair_a_stalled_reader_holds_up_the_shutdown() -> None:
    stalled: list[RawClient] = []
    left_at = stopped_at = 0.0
    with trio.fail_after(20):
        async with serving(plain_app(), graceful_timeout=0.3) as server, trio.open_nursery() as nursery:
            stalled.append(await server.connect())
            await stalled[0].request("/flood", method="GET")
            await trio.sleep(0.3)

            async def leave_later() -> None:
                nonlocal left_at
                await trio.sleep(2.5)
                left_at = trio.current_time()
                await stalled[0].reset()

            nursery.start_soon(leave_later)
            server.stop()
        stopped_at = trio.current_time()
    assert stopped_at >= left_at > 0, "the server stopped before its stalled client left"


async def test_hazard_6_without_the_repair_a_shutdown_cuts_streams_without_a_word() -> None:
    async with serving(plain_app(), graceful_timeout=0.3) as server, await server.connect() as client:
        await client.request("/ticks", method="GET")
        await client.read_until(b"data: 2")
        server.stop()
        response = await client.read_all()
    assert not is_complete(response)


async def test_hazard_10_without_the_repair_the_server_survives_an_interrupt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(plain_app()) as server:
        async with await server.connect() as client:
            await client.request("/interrupt", method="GET")
            await client.read_until(b"data: 1")
            with trio.move_on_after(0.5):
                await client.read_all()
        async with await server.connect() as client:  # it still accepts
            await client.request("/ticks", method="GET")
            await client.read_until(b"data: 1")
    assert "Error in ASGI Framework" in caplog.text
