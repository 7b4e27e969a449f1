"""What one connection does is no other's affair."""

from __future__ import annotations

import binascii
import logging

import pytest
import trio
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import TCPServer

from tests.apps import PREFIX, make_app
from tests.http2 import http2
from tests.repairs import leave_out
from tests.servers import call, serving

FATAL = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n\r\n"
"""An upgrade at which hypercorn fails, since its settings are not the base64 that Python wants."""

UPLOAD = b"x" * 60_000


async def test_a_body_that_goes_on_behind_its_response_harms_nobody() -> None:
    app, _ = make_app()
    app.config["MAX_CONTENT_LENGTH"] = 1000
    async with serving(app) as server, http2(server) as client:
        ticking = await client.request(f"{PREFIX}/ticks")
        await client.until(lambda: b"data: 1" in client.bodies[ticking])
        for _ in range(5):
            refused = await client.upload(f"{PREFIX}/words", UPLOAD, part_bytes=5000)
            assert b'"code":"PARSE_ERROR"' in await client.until_ended(refused)
        size = len(client.bodies[ticking])
        await client.until(lambda: len(client.bodies[ticking]) > size + 30)
        assert await call(server, "/plain", method="GET") == b"plain"


async def test_a_connection_that_fails_ends_alone_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app()
    async with serving(app) as server, http2(server) as client:
        ticking = await client.request(f"{PREFIX}/ticks")
        await client.until(lambda: b"data: 1" in client.bodies[ticking])
        leave_out(monkeypatch, H2Protocol, "initiate")  # which takes this client's fault for what it is
        async with await server.connect() as stranger:
            await stranger.stream.send_all(FATAL)
            with trio.move_on_after(2):
                await stranger.read_all()
        size = len(client.bodies[ticking])
        await client.until(lambda: len(client.bodies[ticking]) > size + 30)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "A connection was closed, since its client failed" in record.getMessage()
    assert record.exc_info is None, "a client's fault is one line"


async def test_a_connection_that_fails_by_no_client_s_fault_is_logged_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError("of nobody's making")

    app, _ = make_app()
    monkeypatch.setattr(H2Protocol, "initiate", fail)
    async with serving(app) as server, await server.connect() as stranger:
        await stranger.stream.send_all(FATAL)
        await stranger.read_all()
    assert "Error in a connection" in caplog.text
    assert "of nobody's making" in caplog.text


async def test_without_the_repair_such_a_connection_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn contains the failures of a connection."""
    app, _ = make_app()
    leave_out(monkeypatch, TCPServer, "run")
    leave_out(monkeypatch, H2Protocol, "initiate")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with serving(app) as server, await server.connect() as stranger:
            await stranger.stream.send_all(FATAL)
            with trio.move_on_after(5):
                await stranger.read_all()
            await trio.sleep(5)
    assert caught.value.subgroup(binascii.Error) is not None
