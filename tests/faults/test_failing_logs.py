"""A log that fails ends nothing, and is written to when the ending has left."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from quart_trio import QuartTrio

from tests.apps import PREFIX
from tests.http2 import Http2Client, http2
from tests.repairs import leave_out
from tests.servers import RawClient, call, serving
from trio_streamact import ActionError, Stream, StreamActions, stream_ended
from trio_streamact._hypercorn import middleware as guard
from trio_streamact.testing import open_stream


class FullDisk(logging.Handler):
    """A handler that raises, as one does that has to open its file anew."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)  # the server says where it runs, or it would not begin
        self.asked = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.asked += 1
        raise OSError("no space left on device")


@pytest.fixture
def full_disk() -> Iterator[FullDisk]:
    handler = FullDisk()
    loggers = [logging.getLogger(name) for name in ("", "hypercorn.error", __name__, "trio_streamact")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


def make_app() -> QuartTrio:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/fails")
    async def fails(stream: Stream[Any]) -> None:
        await stream.send(1)
        raise LookupError("secret")

    @actions.post("/refused")
    async def refused(stream: Stream[Any]) -> None:
        await stream.send(1)
        raise ActionError("UPSTREAM", "no answer", 502) from LookupError("why")

    async def broken() -> None:
        raise LookupError("secret")

    @actions.post("/broken", middleware=[broken])
    async def never(stream: Stream[Any]) -> None: ...

    @actions.post("/ticks")
    async def ticks(stream: Stream[int]) -> None:
        for tick in range(10**6):
            await stream.send(tick)
            await trio.sleep(0.02)

    @stream_ended.connect_via(app)
    async def receiver(_: Any, report: Any) -> None:
        if report.action != "ticks":
            raise LookupError("a receiver fails too")

    app.receiver = receiver  # type: ignore[attr-defined]  # or it would be collected
    return app


@pytest.mark.parametrize(
    ("path", "code"), [("fails", b"STREAM_ERROR"), ("refused", b"UPSTREAM"), ("broken", b"INTERNAL_ERROR")]
)
async def test_the_client_reads_its_ending_and_a_neighbour_goes_on(full_disk: FullDisk, path: str, code: bytes) -> None:
    async with serving(make_app()) as server, await server.connect() as neighbour:
        await neighbour.request(f"{PREFIX}/ticks")
        await neighbour.read_until(b"data: 1\n")
        assert code in await call(server, f"{PREFIX}/{path}")
        assert full_disk.asked
        ticks = neighbour.received.count(b"data: ")
        await neighbour.read_until(b"data: %d\n" % (ticks + 10))


@pytest.mark.parametrize("target", ["?", "http://["])
async def test_a_request_that_fails_outside_of_us_ends_no_worker(
    full_disk: FullDisk, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "fault_of", lambda _: None)  # which would answer before Quart fails
    async with serving(make_app()) as server, await server.connect() as neighbour:
        await neighbour.request(f"{PREFIX}/ticks")
        await neighbour.read_until(b"data: 1\n")
        async with await server.connect() as stranger:
            await stranger.request(target, method="GET")
            await stranger.read_all()
        ticks = neighbour.received.count(b"data: ")
        await neighbour.read_until(b"data: %d\n" % (ticks + 10))


class Looking(logging.Handler):
    """Notes what has arrived at *client* when the log is written to, whether it has read that or not."""

    def __init__(self, client: RawClient | Http2Client) -> None:
        super().__init__()
        self.client = client
        self.seen: list[bytes] = []
        self.written = trio.Event()

    def emit(self, _: logging.LogRecord) -> None:
        unread = b""
        with suppress(BlockingIOError):
            sock = self.client.stream.socket._sock  # type: ignore[attr-defined]  # a log handler cannot await Trio's
            unread = sock.recv(65536, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        read = self.client.received if isinstance(self.client, RawClient) else self.client.bodies.get(1, b"")
        self.seen.append(bytes(read) + unread)
        self.written.set()


@contextmanager
def looking(app: QuartTrio, client: RawClient | Http2Client) -> Iterator[Looking]:
    handler = Looking(client)
    app.logger.addHandler(handler)
    try:
        yield handler
    finally:
        app.logger.removeHandler(handler)


async def test_the_ending_has_left_when_the_log_is_written_to() -> None:
    """A log that blocks, on a disk or a network, holds up no client."""
    app = make_app()
    async with serving(app) as server, await server.connect() as client:
        with looking(app, client) as log, trio.fail_after(10):
            await client.request(f"{PREFIX}/fails")
            await log.written.wait()
    assert b"STREAM_ERROR" in log.seen[0]


async def test_so_it_has_over_http2() -> None:
    app = make_app()
    async with serving(app) as server:
        for _ in range(20):  # Trio runs what is ready in any order
            async with http2(server) as client:
                with looking(app, client) as log, trio.fail_after(10):
                    await client.request(f"{PREFIX}/fails")
                    await log.written.wait()
            assert b"STREAM_ERROR" in log.seen[0]


async def test_a_filter_that_raises_is_no_stream_s_trouble() -> None:
    app = make_app()

    def broken(_: logging.LogRecord) -> bool:
        raise LookupError("a filter that reads what is not there")

    app.logger.addFilter(broken)
    async with open_stream(app, f"{PREFIX}/fails") as stream:
        assert await stream.next_chunk() == 1
        with pytest.raises(ActionError) as caught:
            await stream.rest()
    assert caught.value.code == "STREAM_ERROR"


# hypercorn's own logs


class BrokenLogger(Logger):
    """A logger of the operator's own that fails for each request."""

    async def access(self, *arguments: Any) -> None:
        await super().access(*arguments)

    def atoms(self, *_: Any) -> Any:
        raise LookupError("no atoms")


def broken_filter(_: logging.LogRecord) -> bool:
    raise LookupError("a filter that reads what is not there")


def access_log(*, filters: bool) -> logging.Logger:
    logger = logging.Logger("access", logging.INFO)
    logger.addHandler(FullDisk())
    logger.handlers[0].setLevel(logging.INFO)
    if filters:
        logger.addFilter(broken_filter)
    return logger


@pytest.mark.parametrize(
    "settings",
    [
        {"accesslog": access_log(filters=False)},
        {"accesslog": access_log(filters=True)},
        {"accesslog": logging.Logger("access", logging.INFO), "logger_class": BrokenLogger},
    ],
    ids=["handler", "filter", "atoms"],
)
async def test_an_access_log_that_fails_ends_nothing(settings: dict[str, Any], full_disk: FullDisk) -> None:
    app = make_app()
    async with serving(app, **settings) as server, http2(server) as neighbour:
        ticking = await neighbour.request(f"{PREFIX}/ticks")
        await neighbour.until(lambda: b"data: 1" in neighbour.bodies[ticking])
        for _ in range(3):
            assert b"UPSTREAM" in await call(server, f"{PREFIX}/refused")
            assert b"UPSTREAM" in await neighbour.until_ended(await neighbour.request(f"{PREFIX}/refused"))
            async with await server.connect() as client:  # which leaves before its response
                await client.request(f"{PREFIX}/ticks")
        size = len(neighbour.bodies[ticking])
        await neighbour.until(lambda: len(neighbour.bodies[ticking]) > size + 30)


async def test_without_the_repair_what_logging_raises_reaches_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn contains what its loggers raise."""
    config = Config()
    config.errorlog = access_log(filters=False)
    await config.log.warning("once")
    leave_out(monkeypatch, Logger, "warning")
    with pytest.raises(OSError, match="no space left"):
        await config.log.warning("again")


async def test_a_server_log_that_fails_ends_no_neighbour_on_the_connection(full_disk: FullDisk) -> None:
    """An app that raises is logged by hypercorn."""
    app = make_app()

    @app.get("/raises")
    async def raises() -> Any:
        async def body() -> Any:
            yield b"1"
            raise LookupError("secret")

        return body()

    async with serving(app) as server, http2(server) as neighbour:
        ticking = await neighbour.request(f"{PREFIX}/ticks")
        await neighbour.until(lambda: b"data: 1" in neighbour.bodies[ticking])
        failing = await neighbour.request("/raises", method="GET")
        await neighbour.until(lambda: failing in neighbour.was_reset)
        size = len(neighbour.bodies[ticking])
        await neighbour.until(lambda: len(neighbour.bodies[ticking]) > size + 30)
    assert full_disk.asked
