"""Each request stands in hypercorn's access log once, with the status of its response; and statsd counts it once."""

from __future__ import annotations

import logging
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypercorn.logging import Logger
from hypercorn.protocol.http_stream import HTTPStream
from quart_trio import QuartTrio

from tests.apps import PREFIX, Journal, make_app
from tests.cli import hypercorn
from tests.http2 import http2
from tests.repairs import leave_out
from tests.servers import Server, serving
from trio_streamact import StreamActions

REQUESTS = 40
PATHS = ["/plain", "/generator", f"{PREFIX}/short", "/nothing"]


async def ask_by_http1(server: Server, path: str) -> None:
    """Send a request, and close the connection as soon as the response is whole."""
    async with await server.connect() as client:
        await client.request(path)
        head, _, _ = (await client.read_until(b"\r\n\r\n")).partition(b"\r\n\r\n")
        if length := re.search(rb"content-length: (\d+)", head):
            while len(client.received) < len(head) + 4 + int(length[1]):
                client.received += await client.stream.receive_some()
        else:
            await client.read_until(b"\r\n0\r\n\r\n")


async def ask_by_http2(server: Server, path: str) -> None:
    async with http2(server) as client:
        await client.until_ended(await client.request(path))


async def counted(receiver: trio.socket.SocketType, counts: Counter[str]) -> None:
    """Add up what statsd is told."""
    while True:
        metric, _, count = (await receiver.recv(1000)).decode().partition(":")
        if count.endswith("|c|@1.0"):
            counts[metric] += int(count.partition("|")[0])


async def test_each_request_is_logged_once_with_its_status_and_counted_once() -> None:
    counts: Counter[str] = Counter()
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as receiver:
        await receiver.bind(("127.0.0.1", 0))
        statsd = f"127.0.0.1:{receiver.getsockname()[1]}"
        options = ("--access-logfile", "-", "--access-logformat", "LOG %(H)s %(U)s %(s)s", "--statsd-host", statsd)
        async with hypercorn("tests.cli_app:app", *options) as cli, trio.open_nursery() as nursery:
            nursery.start_soon(counted, receiver, counts)
            for path in PATHS:
                for _ in range(REQUESTS):
                    await ask_by_http1(cli.server, path)
                    await ask_by_http2(cli.server, path)
            cli.signal_master(signal.SIGTERM)
            await cli.exits()
            await trio.testing.wait_all_tasks_blocked(cushion=0.05)  # what the server has sent is read
            nursery.cancel_scope.cancel()
    statuses = {path: "404" if path == "/nothing" else "200" for path in PATHS}
    lines = Counter(re.findall(rb"LOG (.*)", bytes(cli.output)))
    expected = [f"{version} {path} {status}" for path, status in statuses.items() for version in ("1.1", "2")]
    assert lines == {line.encode(): REQUESTS for line in expected}
    assert counts["hypercorn.requests"] == len(expected) * REQUESTS
    assert counts["hypercorn.request.status.200"] == len(expected) * REQUESTS * 3 / 4


# One request at a time


@attrs.define(eq=False)
class Lines(logging.Handler):
    """The statuses in an access log, as they are written."""

    statuses: list[str] = attrs.field(factory=list)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        self.statuses.append(record.getMessage())


class SlowLogger(Logger):
    """Writes a line after a checkpoint, as statsd's logger counts after one."""

    async def access(self, *arguments: Any) -> None:
        await trio.lowlevel.checkpoint()
        await super().access(*arguments)


@asynccontextmanager
async def logged(app: Any, lines: list[str], **settings: Any) -> AsyncIterator[Server]:
    """Serve *app*; when the block is left, the statuses of its access log are in *lines*."""
    handler = Lines(lines)
    logger = logging.Logger("access", logging.INFO)
    logger.addHandler(handler)
    settings = {"accesslog": logger, "access_log_format": "%(s)s", "logger_class": SlowLogger, **settings}
    async with serving(app, **settings) as server:
        yield server


def app_with_routes() -> tuple[QuartTrio, Journal]:
    app, journal = make_app()

    @app.post("/large")
    async def large() -> str:
        with journal:
            return "x" * 20_000

    @app.post("/endless")
    async def endless() -> Any:
        async def body() -> AsyncIterator[bytes]:
            with journal:
                while True:
                    yield b"x"
                    await trio.sleep(0.01)

        return body(), {"Content-Type": "text/plain"}

    return app, journal


CUT = [f"{PREFIX}/ticks", f"{PREFIX}/idle", f"{PREFIX}/flood", f"{PREFIX}/slow-middleware", "/endless"]


@pytest.mark.parametrize("path", CUT)
@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_a_request_whose_client_leaves_is_logged_once_without_a_status(version: str, path: str) -> None:
    app, journal = app_with_routes()
    lines: list[str] = []
    async with logged(app, lines) as server:
        if version == "2":
            async with http2(server, opens_windows=False) as client:
                stream = await client.request(path)
                await journal.wait_for(started=1)
                await client.reset(stream)
                await journal.wait_for(finished=1)
        else:
            async with await server.connect() as client1:
                await client1.request(path)
                await journal.wait_for(started=1)
        await journal.wait_for(finished=1)
    assert lines == ["-"]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_a_client_may_leave_when_the_length_that_was_promised_is_there(method: str) -> None:
    """The app has more to say, but nothing that its client would read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 203, "headers": [(b"Content-Length", b"5")]})
        await send({"type": "http.response.body", "body": b"plain", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body"})

    make_app()  # which repairs
    lines: list[str] = []
    async with logged(app, lines) as server, await server.connect() as client:
        await client.request("/", method=method)
        await client.read_until(b"\r\n\r\n" if method == "HEAD" else b"plain")
    assert lines == ["203"]


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_an_app_that_answers_a_client_that_has_left_is_logged_once(version: str) -> None:
    """hypercorn takes its whole response, and sends nothing."""
    asked, answered = trio.Event(), trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})
        answered.set()

    make_app()  # which repairs
    lines: list[str] = []
    async with logged(app, lines) as server:
        if version == "2":
            async with http2(server) as client:
                await client.request("/")
                await asked.wait()
        else:
            async with await server.connect() as client1:
                await client1.request("/")
                await asked.wait()
        await answered.wait()
    assert lines == ["-"]


async def test_the_log_has_the_time_that_a_request_took() -> None:
    took: list[float] = []

    class TimeLogger(Logger):
        async def access(self, request: Any, response: Any, request_time: float) -> None:
            took.append(request_time)

    app = QuartTrio(__name__)
    StreamActions(app)

    @app.post("/slow")
    async def slow() -> str:
        await trio.sleep(0.2)
        return "plain"

    async with logged(app, [], logger_class=TimeLogger) as server:
        began = trio.current_time()
        await ask_by_http1(server, "/slow")
    assert len(took) == 1
    assert 0.2 <= took[0] <= trio.current_time() - began


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_a_request_that_fails_before_its_response_is_logged_once(version: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("before anything was sent")

    make_app()  # which repairs
    lines: list[str] = []
    async with logged(app, lines) as server:
        for _ in range(10):
            if version == "2":
                async with http2(server) as client:
                    stream = await client.request("/")
                    await client.until_ended(stream)
                    assert client.statuses[stream] == "500"
            else:
                async with await server.connect() as client1:
                    await client1.request("/")
                    await client1.read_until(b"HTTP/1.1 500")
    assert lines == ["500"] * 10


@pytest.mark.parametrize("path", ["/endless", "/waits"])
@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_a_request_that_a_shutdown_cuts_is_logged_once(version: str, path: str) -> None:
    app, journal = app_with_routes()

    @app.post("/waits")
    async def waits() -> str:
        with journal:
            await trio.sleep_forever()

    lines: list[str] = []
    async with logged(app, lines, graceful_timeout=0.2) as server:
        if version == "2":
            async with http2(server, opens_windows=False) as client:
                await client.request(path)
                await journal.wait_for(started=1)
                server.stop()
                await client.until(lambda: client.is_over)
        else:
            async with await server.connect() as client1:
                await client1.request(path)
                await journal.wait_for(started=1)
                server.stop()
                await client1.read_all()
    assert lines == ["-"]


@pytest.mark.parametrize("response_timeout_s", [0.1, 60])
async def test_a_response_that_is_given_up_while_it_waits_for_a_window_is_logged_once(
    response_timeout_s: float,
) -> None:
    """By Quart, or by the shutdown."""
    app, _ = app_with_routes()
    app.config["RESPONSE_TIMEOUT"] = response_timeout_s
    lines: list[str] = []
    async with (
        logged(app, lines, graceful_timeout=0.2) as server,
        http2(server, opens_windows=False, initial_window=100) as client,
    ):
        stream = await client.request("/large")
        await client.until(lambda: len(client.bodies[stream]) == 100)
        server.stop()
        await client.until(lambda: client.is_over)
    assert lines == ["200"]


async def lines_of_a_client_that_leaves_before_the_end() -> list[str]:
    """Leave while the end of a response, which its app has given, waits for a window."""
    app, _ = app_with_routes()
    lines: list[str] = []
    async with logged(app, lines) as server, http2(server, opens_windows=False, initial_window=100) as client:
        stream = await client.request("/large")
        await client.until(lambda: len(client.bodies[stream]) == 100)
    return lines


async def test_a_response_that_its_app_has_given_whole_is_logged_once_with_its_status() -> None:
    assert await lines_of_a_client_that_leaves_before_the_end() == ["200"]


async def test_without_the_repair_it_is_logged_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn logs it once."""
    leave_out(monkeypatch, HTTPStream, "handle", "app_send", "_send_closed", "_send_error_response")
    assert await lines_of_a_client_that_leaves_before_the_end() == ["-", "200"]
