"""Streams are refused over HTTP/3, where hypercorn tells nobody that a client has left or takes nothing."""

from __future__ import annotations

import gc
import socket
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from tests.http3 import Http3Client, http3
from tests.servers import DEADLINE_S, serving

REFUSED = (
    b'data: {"__actions_error":{"code":"HTTP_VERSION_NOT_SUPPORTED",'
    b'"message":"Streams are not served over HTTP/3; use HTTP/2 or HTTP/1.1","statusCode":505}}\n\n'
)


@pytest.fixture
def _unclosed() -> Iterator[None]:
    """Collect the socket of UDP that hypercorn leaves open, and pass over Python's warning of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@asynccontextmanager
async def serving_http3(app: QuartTrio, certificate: tuple[str, str]) -> AsyncIterator[Http3Client]:
    """Serve *app* over HTTP/3 on a free port, and connect to it."""
    key, cert = certificate
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    port = udp.getsockname()[1]
    settings: dict[str, Any] = {"keyfile": key, "certfile": cert, "quic_bind": [f"fd://{udp.detach()}"]}
    # A graceful timeout has to pass whole: hypercorn's loop for UDP looks for the shutdown between two datagrams.
    async with serving(app, graceful_timeout=0.1, **settings), http3(port) as client:
        yield client


pytestmark = pytest.mark.usefixtures("_unclosed")


@pytest.mark.parametrize("path", ["/words", "/ticks", "/private", "/idle"])
async def test_hazard_7_a_stream_is_refused_and_no_handler_runs(path: str, certificate: tuple[str, str]) -> None:
    app, journal = make_app()
    async with serving_http3(app, certificate) as client:
        stream_id = await client.request(PREFIX + path, body=b'{"prompt":"a b"}')
        assert await client.until_ended(stream_id) == REFUSED
        headers = client.headers[stream_id]
        assert (headers[b":status"], headers[b"content-type"]) == (b"200", b"text/event-stream; charset=utf-8")
        await journal.wait_for(reports=1)
    assert [(report.outcome, report.code) for report in journal.reports] == [("rejected", "HTTP_VERSION_NOT_SUPPORTED")]
    assert journal.started == 0
    assert not client.was_reset


async def test_a_refused_upload_is_not_read(certificate: tuple[str, str]) -> None:
    """Nor does it hold up the refusal, nor what comes behind it."""
    app, journal = make_app()
    async with serving_http3(app, certificate) as client:
        stream_id = await client.request(f"{PREFIX}/words", body=b"x" * 500_000)
        assert await client.until_ended(stream_id) == REFUSED
        plain = await client.request("/plain", method="GET")
        assert await client.until_ended(plain) == b"plain"
    assert journal.started == 0


async def test_plain_routes_are_served_over_http3_before_beside_and_behind_refusals(
    certificate: tuple[str, str],
) -> None:
    app, journal = make_app()
    async with serving_http3(app, certificate) as client:
        for _ in range(3):
            plain = await client.request("/plain", method="GET")
            refused = await client.request(f"{PREFIX}/ticks", method="GET")
            assert await client.until_ended(plain) == b"plain"
            assert client.headers[plain][b":status"] == b"200"
            assert await client.until_ended(refused) == REFUSED
    assert journal.started == 0


async def test_head_answers_the_head_alone_over_http3(certificate: tuple[str, str]) -> None:
    app, journal = make_app()
    async with serving_http3(app, certificate) as client:
        stream_id = await client.request(f"{PREFIX}/ticks", method="HEAD")
        assert await client.until_ended(stream_id) == b""
        assert client.headers[stream_id][b"content-type"] == b"text/event-stream; charset=utf-8"
    assert journal.started == 0


async def test_hazard_7_without_the_refusal_a_handler_would_outlive_its_client(certificate: tuple[str, str]) -> None:
    """Fails once hypercorn tells apps of clients that leave over HTTP/3: then streams can be served there."""
    app = QuartTrio(__name__)
    started, over = trio.Event(), trio.Event()

    @app.get("/waits")
    async def waits() -> str:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            over.set()

    async with serving_http3(app, certificate) as client:
        await client.request("/waits", method="GET")
        with trio.fail_after(DEADLINE_S):
            await started.wait()
        await client.close()
        await trio.sleep(1)
        assert not over.is_set()
