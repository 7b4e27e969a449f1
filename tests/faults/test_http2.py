"""What hypercorn does to streams of HTTP/2, and that our repairs hold."""

from __future__ import annotations

import gc
from typing import Any

import psutil
import pytest
import trio
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from quart import Request
from quart_trio import QuartTrio
from trio.testing import wait_all_tasks_blocked

from tests.apps import PREFIX, make_app
from tests.http2 import http2
from tests.logs import nothing_logged
from tests.repairs import leave_out
from tests.servers import DEADLINE_S, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits, Stream, StreamActions, define_stream_action

MIB = 2**20


async def flooded_bytes(seconds: float) -> tuple[int, int]:
    """Flood a client that opens no window: bytes that the handler made, and by how much the process grew."""
    app, journal = make_app(Limits(stall_s=60))
    async with serving(app) as server:
        before = await tasks_at_rest()
        async with http2(server, opens_windows=False) as client:
            gc.collect()
            memory = psutil.Process().memory_info().rss
            await client.request(f"{PREFIX}/flood")
            await journal.wait_for(started=1)
            await trio.sleep(seconds)
            grown = psutil.Process().memory_info().rss - memory
            assert journal.finished == 0
        await journal.wait_for(finished=1, reports=1)
        await tasks_down_to(before)
    return journal.reports[0].bytes, grown


async def test_hazard_1_a_client_that_opens_no_window_stops_the_handler_and_memory_stays_flat() -> None:
    made, grown = await flooded_bytes(1.0)  # twice as long as it takes without the repair
    assert made < MIB
    assert grown < 8 * MIB


async def test_hazard_1_without_the_repair_the_handler_floods_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault as it is, so that the test above is one of the repair."""
    leave_out(monkeypatch, StreamBuffer, "pop", "push")
    made, _ = await flooded_bytes(0.5)
    assert made > 10 * MIB


def test_hazard_1_upstream_is_still_what_we_repair() -> None:
    """Fails once hypercorn compares what remains: then our `pop` can go."""
    import subprocess
    import sys

    source = (
        "import inspect, hypercorn.protocol.h2 as h2\n"
        "print('len(data) < BUFFER_LOW_WATER' in inspect.getsource(h2.StreamBuffer.pop))"
    )
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, text=True, timeout=30)
    assert result.stdout.strip() == "True"


async def test_a_window_that_is_opened_again_lets_everything_through_in_order() -> None:
    app, _ = make_app()
    async with serving(app) as server, http2(server, opens_windows=False) as client:
        stream_id = await client.request(f"{PREFIX}/burst", body=b'{"count":20000}')
        while stream_id not in client.ended:
            await trio.sleep(0.002)
            await client.open_window(stream_id, 50_000)
        body = client.bodies[stream_id]
    assert body.count(b"hello world") == 20_000
    assert body.endswith(b'data: {"__actions_done":true}\n\n')


async def test_siblings_of_a_stream_without_a_window_go_on() -> None:
    app, journal = make_app(Limits(stall_s=60))
    async with serving(app) as server, http2(server, opens_windows=False) as client:
        await client.request(f"{PREFIX}/flood")
        await client.open_connection_window(10 * MIB)
        await journal.wait_for(started=1)
        await trio.sleep(0.2)
        for _ in range(5):
            sibling = await client.request(f"{PREFIX}/words", body=b'{"prompt":"a b"}')
            assert (await client.until_ended(sibling)).count(b"data:") == 3


async def test_a_slow_reader_slows_the_handler_on_http2() -> None:
    app, journal = make_app(Limits(stall_s=60))
    async with serving(app) as server, http2(server, opens_windows=False) as client:
        stream_id = await client.request(f"{PREFIX}/flood")
        for _ in range(20):
            await trio.sleep(0.02)
            await client.open_window(stream_id, 10_000)
        await client.reset(stream_id)
        await journal.wait_for(reports=1)
    # What was let through, and no more than the buffers between.
    assert journal.reports[0].bytes < 65_535 + 20 * 10_000 + MIB


async def test_a_reset_of_a_stream_cancels_its_handler_alone() -> None:
    app, journal = make_app()
    async with serving(app) as server, http2(server) as client:
        first = await client.request(f"{PREFIX}/ticks")
        second = await client.request(f"{PREFIX}/ticks")
        await client.until(lambda: b"data: 2" in client.bodies[first] and b"data: 2" in client.bodies[second])
        await client.reset(first)
        await journal.wait_for(finished=1)
        size = len(client.bodies[second])
        await client.until(lambda: len(client.bodies[second]) > size + 30)
        assert journal.finished == 1


@pytest.mark.parametrize("path", ["/idle", "/ticks", "/flood"])
@pytest.mark.parametrize("leave", ["close", "reset", "go away"])
async def test_a_client_of_http2_that_leaves_cancels_the_handler(path: str, leave: str) -> None:
    app, journal = make_app()
    async with serving(app) as server:
        before = await tasks_at_rest()
        async with http2(server, opens_windows=path != "/flood") as client:
            stream_id = await client.request(PREFIX + path)
            await journal.wait_for(started=1)
            await trio.sleep(0.1)
            if leave == "reset":
                await client.reset(stream_id)
            elif leave == "go away":
                await client.go_away()
            else:
                await client.stream.aclose()
            await journal.wait_for(finished=1)
        assert journal.cancelled == 1
        await tasks_down_to(before)


async def test_a_handler_may_clean_up_for_longer_than_a_heartbeat_after_its_connection_is_closed() -> None:
    app, journal = make_app(Limits(heartbeat_s=0.05))

    @app.post("/cleans-up")
    @define_stream_action
    async def cleans_up(stream: Stream[int]) -> None:
        with journal:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.3)

    with nothing_logged():
        async with serving(app) as server, http2(server) as client:
            stream_id = await client.request("/cleans-up")
            await client.until(lambda: b":\n\n" in client.bodies[stream_id])
            await client.go_away()
            await journal.wait_for(finished=1, reports=1)


# An exception that leaves the app


def app_that_breaks(guarded: bool) -> QuartTrio:
    app = QuartTrio(__name__)
    if guarded:
        StreamActions(app)

    @app.post("/breaks")
    async def breaks() -> Any:
        async def body() -> Any:
            yield b"data: 1\n\n"
            raise RuntimeError("from inside a body")

        return body(), {"Content-Type": "text/event-stream"}

    return app


async def test_hazard_8_an_exception_that_escapes_resets_the_stream() -> None:
    async with serving(app_that_breaks(guarded=True)) as server, http2(server) as client:
        stream_id = await client.request("/breaks")
        await client.until(lambda: stream_id in client.was_reset)
        again = await client.request("/breaks")
        await client.until(lambda: again in client.was_reset)


async def test_hazard_8_without_the_repair_the_client_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn ends the stream itself."""
    leave_out(monkeypatch, H2Protocol, "_close_stream")
    async with serving(app_that_breaks(guarded=False)) as server, http2(server) as client:
        stream_id = await client.request("/breaks")
        await client.until(lambda: b"data: 1" in client.bodies[stream_id])
        await trio.sleep(0.5)
        assert stream_id not in client.ended | client.was_reset
        assert not client.is_over


# The limit of requests


async def open_stream_after_many_requests(app: QuartTrio) -> tuple[bool, bool]:
    """Whether an open stream still ticks after more requests than a connection may have, and if it got a GOAWAY."""
    async with serving(app, keep_alive_max_requests=5) as server, http2(server) as client:
        ticking = await client.request("/ticks", method="GET")
        await client.until(lambda: b"data: 2" in client.bodies[ticking])
        for _ in range(10):
            plain = await client.request("/plain", method="GET")
            with trio.move_on_after(0.3):
                await client.until_ended(plain)
            if client.went_away:
                break
        size = len(client.bodies[ticking])
        await trio.sleep(0.3)
        return len(client.bodies[ticking]) > size, client.went_away


def app_that_ticks(guarded: bool) -> QuartTrio:
    app = QuartTrio(__name__)
    if guarded:
        StreamActions(app)

    @app.get("/ticks")
    async def ticks() -> Any:
        async def body() -> Any:
            for tick in range(1000):
                yield b"data: %d\n\n" % tick
                await trio.sleep(0.02)

        return body(), {"Content-Type": "text/event-stream"}

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    return app


async def test_hazard_9_a_stream_outlives_the_limit_of_requests() -> None:
    assert await open_stream_after_many_requests(app_that_ticks(guarded=True)) == (True, False)


async def test_hazard_9_without_the_repair_the_stream_goes_silent() -> None:
    """Fails once hypercorn lets open streams finish."""
    assert await open_stream_after_many_requests(app_that_ticks(guarded=False)) == (False, True)


async def test_a_body_that_nobody_wants_holds_up_no_other_stream() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/idle")
    async def idle(stream: Stream[str]) -> None:
        await stream.send("begins")
        await trio.sleep_forever()

    @actions.post("/short")
    async def short(stream: Stream[str]) -> None:
        await stream.send("short")

    async with serving(app) as server, http2(server) as client:
        head = ((":method", "POST"), (":path", f"{PREFIX}/idle"), (":scheme", "http"), (":authority", "test"))
        upload = client.prepare(*head, ends=False)
        with trio.fail_after(DEADLINE_S):
            for _ in range(100):
                await client.until(lambda: client.window(upload) >= 8000)
                await client.write(upload, b"x" * 8000)
            assert b"short" in await client.until_ended(await client.request(f"{PREFIX}/short"))
        await client.reset(upload)


async def test_of_a_body_that_nobody_has_asked_for_no_more_is_kept_than_the_app_takes() -> None:
    """Quart 0.23 would keep all of a body that does not say its length."""
    app = QuartTrio(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 100_000
    is_sent = trio.Event()

    @StreamActions(app).post("/late")
    async def late(request: Request, stream: Stream[Any]) -> None:
        await stream.send("begins")
        await is_sent.wait()
        await stream.send(sum([len(part) async for part in request.body]))

    async with serving(app) as server, http2(server) as client:
        head = ((":method", "POST"), (":path", f"{PREFIX}/late"), (":scheme", "http"), (":authority", "test"))
        upload = client.prepare(*head, ends=False)
        with trio.fail_after(DEADLINE_S):
            for last in range(100):
                await client.until(lambda: client.window(upload) >= 8000)
                await client.write(upload, b"x" * 8000, ends=last == 99)
            await wait_all_tasks_blocked(0.05)
            is_sent.set()
            assert b"REQUEST_ENTITY_TOO_LARGE" in await client.until_ended(upload)
