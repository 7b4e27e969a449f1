"""What a stranger sends gets a 4xx, and at most one line in the log, in which nothing is the client's own."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypercorn.logging import AccessLogAtoms
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.tcp_server import TCPServer
from quart import request
from quart_trio import QuartTrio

from tests.apps import PREFIX
from tests.http2 import http2
from tests.repairs import leave_out
from tests.servers import Server, call, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Stream, StreamActions
from trio_streamact._hypercorn import middleware as guard
from trio_streamact._hypercorn.connection import Connection
from trio_streamact._hypercorn.exchange import exchange_of

ACTION = f"{PREFIX}/echo".encode()
CLIENT_FILE = f"{PREFIX}/_client/streamact.js".encode()
ROUTES = [b"/plain", ACTION, CLIENT_FILE, b"/nothing"]


def make_app() -> QuartTrio:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/echo")
    async def echo(input: object, stream: Stream[Any]) -> None:
        await stream.send(input)

    @actions.post("/ticks")
    async def ticks(stream: Stream[int]) -> None:
        for tick in range(10**6):
            await stream.send(tick)
            await trio.sleep(0.02)

    @app.route("/plain", methods=["GET", "POST", "OPTIONS"])
    async def plain() -> str:
        _ = request.args, request.cookies, request.host, request.url, request.range, request.accept_languages
        return "plain"

    @app.get("/beside")
    async def beside() -> str:
        exchange = exchange_of(request.scope)
        assert exchange is not None
        assert isinstance(exchange.connection, Connection)
        stream = exchange.connection.server.stream

        async def write() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.send_all(b"x" * 10**8)

        exchange.connection.spawn(write)
        await trio.testing.wait_all_tasks_blocked()
        return "plain"

    @app.websocket("/plain")
    async def websocket() -> None: ...

    return app


@attrs.define(eq=False)
class Log(logging.Handler):
    """All that is logged, formatted, with its traceback."""

    texts: list[str] = attrs.field(factory=list)

    def __attrs_pre_init__(self) -> None:
        super().__init__(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


@asynccontextmanager
async def served(app: QuartTrio, **settings: Any) -> AsyncIterator[tuple[Server, Log]]:
    """Serve *app* with an access log, and collect what is logged."""
    log = Log()
    access = logging.Logger("access", logging.INFO)
    loggers = [access, logging.getLogger()]
    async with serving(app, accesslog=access, **settings) as server:
        for logger in loggers:
            logger.addHandler(log)
        try:
            yield server, log
        finally:
            for logger in loggers:
                logger.removeHandler(log)


def message(target: bytes, *fields: bytes, method: bytes = b"GET", body: bytes = b"", host: bytes = b"x") -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, b"Connection: close", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body


async def answer(server: Server, data: bytes) -> bytes:
    """Send *data*, and give the status."""
    async with await server.connect() as client:
        await client.stream.send_all(data)
        return (await client.read_all())[9:12]


TARGETS = [
    b"?",
    b"http://[",
    b"*",
    b"a",
    b"http://[zz]/plain",
    b"http://%5b/",
    b"javascript:1",
    b"http://x:y/",
    b"x:80",
]
HOSTS = [b".", b"a..b", b"a" * 300]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_target_or_host_that_is_none_is_answered_400_in_one_line(method: bytes) -> None:
    async with served(make_app()) as (server, log):
        for target in TARGETS:
            assert await answer(server, message(target, method=method)) == b"400", target
        for host in HOSTS:
            for target in ROUTES:
                assert await answer(server, message(target, method=method, host=host)) == b"400", host
    assert len(log.texts) == len(TARGETS) + len(HOSTS) * len(ROUTES)
    assert not [text for text in log.texts if "\n" in text]


async def test_a_websocket_to_no_path_is_refused_without_a_line() -> None:
    upgrade = (b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    async with served(make_app()) as (server, log), await server.connect() as client:
        lines = [b"GET ? HTTP/1.1", b"Host: x", b"Connection: Upgrade", *upgrade, b"", b""]
        await client.stream.send_all(b"\r\n".join(lines))
        assert (await client.read_all())[9:12] == b"400"
    assert not [text for text in log.texts if "\n" in text]


async def test_over_http2_such_requests_are_answered_400_and_their_siblings_go_on() -> None:
    async with served(make_app()) as (server, log), http2(server) as client:
        ticking = await client.request(f"{PREFIX}/ticks")
        await client.until(lambda: b"data: 1" in client.bodies[ticking])
        for target in [*TARGETS, b"http://x/plain", b"/plain?\xff"]:
            fields = ((":method", "GET"), (":path", target), (":scheme", "http"), (":authority", "x"))
            refused = client.prepare(*fields)
            await client.flush()
            await client.until_ended(refused)
            assert client.statuses[refused] == "400", target
        size = len(client.bodies[ticking])
        await client.until(lambda: len(client.bodies[ticking]) > size + 30)
    assert not [text for text in log.texts if "\n" in text]


async def test_without_the_check_quart_fails_at_such_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once Quart answers them itself; then `serving/targets.py` need look at lengths alone."""
    monkeypatch.setattr(guard, "fault_of", lambda _: None)
    async with served(make_app()) as (server, log):
        for target in (b"?", b"http://[", b"http://[zz]/plain"):
            assert await answer(server, message(target)) == b"500"
    assert len([text for text in log.texts if "Traceback" in text]) == 3


async def test_a_whole_url_goes_on_working() -> None:
    async with served(make_app()) as (server, _):
        assert await answer(server, message(b"http://x/plain?a=b")) == b"200"
        assert await answer(server, message(b"*", method=b"OPTIONS")) == b"404"


TWO_LENGTHS = (b"Content-Type: application/json", b"Transfer-Encoding: chunked", b"Content-Length: 5")


async def send_two_lengths(server: Server) -> bytes:
    """Send a request of two lengths and another one, and give all that is answered."""
    async with await server.connect() as client:
        await client.stream.send_all(message(b"/plain").replace(b"Connection: close\r\n", b""))
        lines = [b"POST %b HTTP/1.1" % ACTION, b"Host: x", *TWO_LENGTHS, b"", b"2\r\n{}\r\n0\r\n\r\n"]
        await client.stream.send_all(b"\r\n".join(lines) + message(b"/plain"))
        return await client.read_all()


async def test_a_request_of_two_lengths_is_refused_and_its_connection_closed() -> None:
    async with served(make_app()) as (server, log):
        response = await send_two_lengths(server)
        assert response.count(b"HTTP/1.1 ") == 2
        assert response.partition(b"plain")[2].startswith(b"HTTP/1.1 400 ")
    assert not [text for text in log.texts if "\n" in text]


async def test_without_the_repair_it_is_served_and_its_connection_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn refuses it, or closes its connection."""
    leave_out(monkeypatch, H11Protocol, "_create_stream")
    async with served(make_app()) as (server, _):
        assert (await send_two_lengths(server)).count(b"HTTP/1.1 200") == 3


async def test_server_names_refuse_other_hosts_in_one_line_however_odd() -> None:
    """As the docs advise against DNS rebinding."""
    async with served(make_app(), server_names=["x:80"]) as (server, log):
        assert await answer(server, message(b"/plain", host=b"x:80")) == b"200"
        for host in (b"x", b"attacker.example", b""):
            for target in ROUTES:
                assert await answer(server, message(target, host=host)) == b"404"
        assert await answer(server, message(b"/plain", host=b"\xff")) == b""
        assert await answer(server, message(b"/plain", host=b"x:80")) == b"200"
    assert not [text for text in log.texts if "\n" in text]


REFUSED = [
    message(b"/plain", host=b"attacker.example").replace(b"Connection: close\r\n", b""),
    b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",  # it has no key
]


@pytest.mark.parametrize("request_", REFUSED, ids=["host", "websocket"])
async def test_the_connection_of_a_request_that_hypercorn_refuses_is_closed(request_: bytes) -> None:
    async with served(make_app(), server_names=["x"]) as (server, _), await server.connect() as client:
        await client.stream.send_all(request_)
        assert (await client.read_all())[9:12] in (b"404", b"400")


@pytest.mark.parametrize("request_", REFUSED, ids=["host", "websocket"])
async def test_without_the_repair_it_stays(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn closes it, as it has said."""
    leave_out(monkeypatch, H11Protocol, "_create_stream")
    leave_out(monkeypatch, WSStream, "handle")
    async with (
        served(make_app(), server_names=["x"], keep_alive_timeout=0.1) as (server, _),
        await server.connect() as client,
    ):
        await client.stream.send_all(request_)
        with trio.move_on_after(1) as waited:
            await client.read_all()
        assert b"connection: close" in client.received.lower()
        assert waited.cancelled_caught


ODD = [b"\xff", b"", b"a" * 20_000, b",;=", b'"', b"%ff", b"\x01", b"9" * 30, b"-1", b"*", b"\xd9\xa1"]
NAMES = [b"Cookie", b"Content-Type", b"Range", b"If-None-Match", b"If-Modified-Since", b"Accept", b"Authorization"]
NAMES += [b"Accept-Language", b"Expect", b"TE", b"Upgrade", b"Origin", b"Referer", b"User-Agent", b"X-Forwarded-For"]
NAMES += [b"Date", b"Transfer-Encoding", b"HTTP2-Settings", b"Sec-WebSocket-Version", b"Last-Event-ID"]


async def test_odd_header_fields_write_no_traceback() -> None:
    async with served(make_app()) as (server, log):
        before = await tasks_at_rest()
        for name in NAMES:
            for value in ODD:
                for target in ROUTES:
                    assert await answer(server, message(target, b"%b: %b" % (name, value), body=b"{}")) != b"500"
        await tasks_down_to(before)
    assert not [text for text in log.texts if "\n" in text]


@pytest.mark.parametrize(
    "settings", [b"a", b"AAAA", b"\xff", b"AAUAAAAA", b"AAIAAAAF"], ids=["letter", "short", "high", "frame", "push"]
)
async def test_an_upgrade_to_http2_with_bad_settings_is_one_line(settings: bytes) -> None:
    fields = [b"GET /plain HTTP/1.1", b"Host: x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"]
    async with served(make_app()) as (server, log), await server.connect() as client:
        await client.stream.send_all(b"\r\n".join([*fields, b"HTTP2-Settings: " + settings, b"", b""]))
        await client.stream.send_eof()
        await client.read_all()
        assert await call(server, "/plain", method="GET") == b"plain"
    assert not [text for text in log.texts if "\n" in text]


# Clients that leave in mid-upload


async def leave_in_mid_upload(server: Server, path: str, parts: int) -> None:
    """Send a part of a body that nobody reads, and half of the connection's end, while the answer is under way."""
    async with await server.connect() as client:
        lines = (b"POST %b HTTP/1.1" % path.encode(), b"Host: x", b"Content-Length: 15000000", b"", b"")
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10**6)
        await client.stream.send_all(b"\r\n".join(lines))
        with trio.move_on_after(0.05), suppress(trio.BrokenResourceError):
            for _ in range(parts):
                await client.stream.send_all(b"x" * 50_000)
            await client.stream.send_eof()


@pytest.mark.parametrize("path", ["/nothing", CLIENT_FILE.decode(), "/plain"])
async def test_a_client_that_leaves_an_upload_that_was_refused_writes_no_traceback(path: str) -> None:
    async with served(make_app()) as (server, log):
        before = await tasks_at_rest()
        for parts in range(40):
            await leave_in_mid_upload(server, path, parts % 10)
        await tasks_down_to(before)
    assert not [text for text in log.texts if "\n" in text]


async def test_a_write_beside_another_closes_the_connection_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second half fails once hypercorn takes a ``BusyResourceError`` for a connection that is closed."""
    async with served(make_app()) as (server, log):
        before = await tasks_at_rest()
        await write_beside(server, before)
        assert not [text for text in log.texts if "\n" in text]
        leave_out(monkeypatch, TCPServer, "protocol_send")
        await write_beside(server, before)
    assert len([text for text in log.texts if "BusyResourceError" in text]) == 1


async def write_beside(server: Server, tasks: int) -> None:
    """Have a response written while another write of its connection, as it were its close, is under way."""
    async with await server.connect() as client:
        await client.stream.send_all(message(b"/beside"))
        await tasks_at_rest()
    await tasks_down_to(tasks)


# What clients write into the log


FORGED = "/nothing%0a127.0.0.1%20-%20-%20%22GET%20/admin%22%20200"


async def test_a_client_writes_no_line_of_the_access_log() -> None:
    fields = (b'User-Agent: a" 200 "\x1b[31m', b"Referer: \\\x7f")
    async with served(make_app()) as (server, log):
        await answer(server, message(FORGED.encode(), *fields))
        async with http2(server) as client:
            await client.until_ended(await client.request(FORGED, method="GET"))
    first, second = log.texts
    assert first.isprintable()
    assert second.isprintable()
    assert r'"GET /nothing\n127.0.0.1 - - \x22GET /admin\x22 200 1.1" 404' in first
    assert first.endswith(r'"\x5c\x7f" "a\x22 200 \x22\x1b[31m"')


async def test_without_the_repair_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn escapes what it logs."""
    leave_out(monkeypatch, AccessLogAtoms, "__getitem__")
    async with served(make_app()) as (server, log):
        await answer(server, message(FORGED.encode()))
    (text,) = log.texts
    assert text.splitlines()[1].startswith('127.0.0.1 - - "GET /admin" 200')


async def test_a_query_that_is_no_text_harms_the_access_log_without_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn can log any query."""
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"\xff", "scheme": "http", "headers": []}
    request_: Any = scope  # as much of one as the log reads
    assert AccessLogAtoms(request_, None, 0.0)["q"] == r"\x5cxff"
    leave_out(monkeypatch, AccessLogAtoms, "__init__")
    with pytest.raises(UnicodeDecodeError):
        AccessLogAtoms(request_, None, 0.0)
