"""A log that fails ends nothing, and is written to when the ending has left."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from tests.apps import PREFIX
from tests.servers import RawClient, body_of, call, serving
from trio_streamact import ActionError, Stream, StreamActions, stream_ended
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
async def test_a_request_that_fails_outside_of_us_ends_no_worker(full_disk: FullDisk, target: str) -> None:
    async with serving(make_app()) as server, await server.connect() as neighbour:
        await neighbour.request(f"{PREFIX}/ticks")
        await neighbour.read_until(b"data: 1\n")
        async with await server.connect() as stranger:
            await stranger.request(target, method="GET")
            await stranger.read_all()
        ticks = neighbour.received.count(b"data: ")
        await neighbour.read_until(b"data: %d\n" % (ticks + 10))


async def test_the_ending_has_left_when_the_log_is_written_to() -> None:
    """A log that blocks, on a disk or a network, holds up no client."""
    app = make_app()
    seen: list[bytes] = []
    clients: list[RawClient] = []

    class Looking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            import socket

            sock = clients[0].stream.socket
            seen.append(sock._sock.recv(65536, socket.MSG_DONTWAIT) if hasattr(sock, "_sock") else b"")

    handler = Looking()
    app.logger.addHandler(handler)
    try:
        async with serving(app) as server, await server.connect() as client:
            clients.append(client)
            await client.request(f"{PREFIX}/fails")
            with trio.fail_after(10):
                while not seen:  # noqa: ASYNC110 - of a log
                    await trio.sleep(0.01)
    finally:
        app.logger.removeHandler(handler)
    assert b"STREAM_ERROR" in body_of(seen[0])


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
