"""An ending does not wait for a handler that cannot be cancelled: one in a thread, or in a shielded cleanup."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from tests.apps import PREFIX
from tests.http2 import http2
from tests.servers import Server, body_of, is_complete, serving
from trio_streamact import ActionError, Limits, Stream, StreamActions, StreamReport, stream_ended
from trio_streamact.testing import open_stream

TIMEOUT = b'{"code":"TIMEOUT_ERROR"'
SHUTDOWN = b'{"code":"SERVER_SHUTDOWN"'


class Late:
    """An app with one action, whose handler is over when the test lets it go and not before."""

    def __init__(self, way: str, limits: Limits, *, passes_through: bool = False) -> None:
        self.app = QuartTrio(__name__)
        self.reports: list[StreamReport] = []
        self.sent_late: list[str] = []
        self.over = trio.Event()
        self._go = threading.Event()
        stream_ended.connect(self._note, self.app, weak=False)
        if passes_through:
            inner = self.app.asgi_app

            async def middleware(scope: Any, receive: Any, send: Any) -> None:
                await inner(scope, receive, send)

            self.app.asgi_app = middleware  # type: ignore[method-assign]
        middleware_of_actions = [wraps] if way == "wrapped" else []

        @StreamActions(self.app, limits=limits).post("/it", middleware=middleware_of_actions)
        async def it(stream: Stream[Any]) -> None:
            await stream.send("begun")
            try:
                if way == "shield":
                    await trio.sleep_forever()
                else:
                    await trio.to_thread.run_sync(self._go.wait)
            finally:
                with trio.CancelScope(shield=True):
                    while not self._go.is_set():  # noqa: ASYNC110 - of a thread
                        await trio.sleep(0.01)
                    try:
                        await stream.send("late")
                    except trio.ClosedResourceError:
                        self.sent_late.append("refused")
                    self.over.set()

    def _note(self, _: object, report: StreamReport) -> None:
        self.reports.append(report)

    async def let_go(self) -> StreamReport:
        """Let the handler end, and return its report."""
        self._go.set()
        with trio.fail_after(20):
            await self.over.wait()
            while not self.reports:  # noqa: ASYNC110 - the report follows at once
                await trio.sleep(0.01)
        assert self.sent_late == ["refused"]
        return self.reports[0]


async def wraps() -> AsyncIterator[None]:
    yield


async def read_ending(server: Server, late: Late, protocol: str, code: bytes, stop: bool) -> None:
    """Read the ending, and the end of the response, while the handler goes on."""
    if protocol == "h2":
        async with http2(server) as client:
            stream = await client.request(f"{PREFIX}/it")
            await client.until(lambda: b"begun" in client.bodies[stream])
            if stop:
                server.stop()
            await client.until(lambda: stream in client.ended)
            assert code in client.bodies[stream]
    else:
        async with await server.connect() as raw:
            await raw.request(f"{PREFIX}/it")
            await raw.read_until(b"begun")
            if stop:
                server.stop()
            response = await raw.read_until(code)
            if protocol != "middleware":  # which wants to see the app's own end of the response
                response = await raw.read_until(b"\r\n0\r\n\r\n")
                assert is_complete(response)
            assert body_of(response).count(b"__actions_error") == 1
    assert not late.over.is_set()


@pytest.mark.parametrize("stop", [False, True], ids=["lifetime", "shutdown"])
@pytest.mark.parametrize("way", ["thread", "shield", "wrapped"])
@pytest.mark.parametrize("protocol", ["http/1.1", "middleware", "h2"])
async def test_the_client_is_told_while_the_handler_goes_on(protocol: str, way: str, stop: bool) -> None:
    late = Late(way, Limits(lifetime_s=None if stop else 0.3), passes_through=protocol == "middleware")
    async with serving(late.app, graceful_timeout=5.0) as server:
        try:
            await read_ending(server, late, protocol, SHUTDOWN if stop else TIMEOUT, stop)
        finally:
            report = await late.let_go()
    assert (report.outcome, report.code) == (("shutdown", "SERVER_SHUTDOWN") if stop else ("timeout", "TIMEOUT_ERROR"))


@pytest.mark.parametrize("way", ["shield", "wrapped"])
async def test_the_ending_comes_within_a_tenth_of_a_second(autojump_clock: trio.testing.MockClock, way: str) -> None:
    over = []

    async def wrap() -> AsyncIterator[None]:
        yield

    app = QuartTrio(__name__)

    @StreamActions(app, limits=Limits(lifetime_s=1)).post("/it", middleware=[wrap] if way == "wrapped" else [])
    async def it(stream: Stream[Any]) -> None:
        await stream.send(1)
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(4, shield=True):
                await trio.sleep(3)
            with pytest.raises(trio.ClosedResourceError):
                await stream.send(2)
            over.append(trio.current_time())

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        began = trio.current_time()
        with pytest.raises(ActionError) as caught:
            await client.next_chunk()
        assert caught.value.code == "TIMEOUT_ERROR"
        assert trio.current_time() - began <= 1.1
        assert not over
        assert await client.next_bytes() == b""
    assert len(over) == 1


async def test_a_handler_that_ends_a_moment_after_its_cancellation_says_how_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app, limits=Limits(lifetime_s=1)).post("/it")
    async def it(stream: Stream[Any]) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
                await stream.send("in time")
            return  # and so is done

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.rest() == ["in time"]


async def test_an_error_of_a_late_handler_is_logged_and_not_told(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app, limits=Limits(lifetime_s=1)).post("/it")
    async def it(stream: Stream[Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            raise LookupError("too late")

    async with open_stream(app, f"{PREFIX}/it") as client:
        with pytest.raises(ActionError) as caught:
            await client.rest()
        assert caught.value.code == "TIMEOUT_ERROR"
    assert "LookupError: too late" in caplog.text


async def test_work_after_close_goes_on_and_is_not_taken_for_late(autojump_clock: trio.testing.MockClock) -> None:
    over = []
    app = QuartTrio(__name__)

    @StreamActions(app).post("/it")
    async def it(stream: Stream[Any]) -> None:
        await stream.send(1)
        await stream.close()
        await trio.sleep(3)
        over.append(True)

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.rest() == [1]
        assert over == [True], "the end of the response comes with the end of the work"


async def test_a_send_that_is_refused_since_its_handler_is_late_is_no_failure(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app, limits=Limits(lifetime_s=1)).post("/it")
    async def it(stream: Stream[Any]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        await stream.send("too late")

    async with open_stream(app, f"{PREFIX}/it") as client:
        with pytest.raises(ActionError) as caught:
            await client.rest()
        assert caught.value.code == "TIMEOUT_ERROR"
    assert caplog.records == []
