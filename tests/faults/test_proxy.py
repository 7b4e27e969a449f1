"""Behind nginx, as the deployment guide sets it up: streams are live, they end, and whoever leaves is heard of."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypercorn.middleware import ProxyFixMiddleware
from quart import Request
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from tests.nginx import changed, documented, nginx
from tests.servers import RawClient, Server, body_of, is_complete, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits, Stream, StreamActions, define_stream_action

DONE = b'data: {"__actions_done":true}\n\n'
GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;\n"
HTTP_1_1, READ_TIMEOUT = "proxy_http_version 1.1;", "proxy_read_timeout 60s;"


@attrs.frozen
class Setup:
    """One way to put nginx in front of an app."""

    upstream: str = "1.1"
    gzip: bool = False
    read_timeout: str = "60s"

    @asynccontextmanager
    async def before(self, server: Server, directory: Path) -> AsyncIterator[Server]:
        changes = {
            HTTP_1_1: f"proxy_http_version {self.upstream};",
            READ_TIMEOUT: f"proxy_read_timeout {self.read_timeout};",
        }
        async with nginx(server, directory, changes, more=GZIP if self.gzip else "") as front:
            yield front

    async def request(self, client: RawClient, path: str, method: str = "POST") -> None:
        await client.request(PREFIX + path, method=method, headers={"Accept-Encoding": "gzip"})

    def read(self, response: bytes) -> bytes:
        """Give what a client makes of the bytes of *response* that it has so far."""
        body = body_of(response)
        assert (b"content-encoding: gzip" in response.lower()) == (self.gzip and b"\r\n\r\n" in response)
        return zlib.decompressobj(wbits=31).decompress(body) if self.gzip else body


async def read_until(client: RawClient, setup: Setup, mark: bytes) -> None:
    """Read until *mark* was received, and could be unpacked."""
    with trio.fail_after(10):
        while mark not in setup.read(client.received):
            part = await client.stream.receive_some()
            assert part, f"the connection ended before {mark!r}: {setup.read(client.received)!r}"
            client.received += part


every_setup = pytest.mark.parametrize(
    "setup",
    [Setup(upstream, gzip) for upstream in ("1.0", "1.1") for gzip in (False, True)],
    ids=lambda setup: f"HTTP/{setup.upstream}{', gzip' if setup.gzip else ''}",
)


@every_setup
async def test_each_chunk_arrives_before_the_next_one_is_sent_and_the_stream_ends(setup: Setup, tmp_path: Path) -> None:
    app, _ = make_app()
    actions = StreamActions(app, url_prefix=PREFIX)
    steps = [trio.Event() for _ in range(5)]

    @actions.post("/steps")
    async def walk(stream: Stream[str]) -> None:
        for number, step in enumerate(steps):
            await stream.send(f"step {number}")
            await step.wait()

    async with serving(app) as server, setup.before(server, tmp_path) as front, await front.connect() as client:
        await setup.request(client, "/steps")
        for number, step in enumerate(steps):
            await read_until(client, setup, b'data: "step %d"\n\n' % number)
            step.set()
        await client.read_until(b"\r\n0\r\n\r\n")
        assert setup.read(client.received).endswith(DONE)
        # The connection is as good as new.
        client.received = b""
        await client.request("/plain", method="GET", headers={"Connection": "close"})
        assert (await client.read_all()).rstrip().rpartition(b"\r\n\r\n")[2] == b"plain"


async def test_without_the_guard_a_stream_never_ends_over_http_1_0(tmp_path: Path) -> None:
    """Hazard 2 behind nginx as it comes; fails once quart-trio lets the server close the connection."""
    app = QuartTrio(__name__)

    async def one(stream: Stream[int]) -> None:
        await stream.send(1)

    app.post(f"{PREFIX}/one")(define_stream_action(one))
    setup = Setup("1.0")
    async with serving(app) as server, setup.before(server, tmp_path) as front, await front.connect() as client:
        await setup.request(client, "/one")
        await read_until(client, setup, DONE)
        with trio.move_on_after(1) as waited:
            await client.read_until(b"\r\n0\r\n\r\n")
        assert waited.cancelled_caught


async def close(client: RawClient) -> None:
    await client.stream.aclose()


async def reset(client: RawClient) -> None:
    await client.reset()


@every_setup
@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("path", ["/idle", "/ticks", "/flood"])
async def test_a_client_that_leaves_nginx_cancels_the_handler(
    path: str, leave: Callable[[RawClient], Awaitable[None]], setup: Setup, tmp_path: Path
) -> None:
    app, journal = make_app()
    async with serving(app) as server, setup.before(server, tmp_path) as front:
        before = await tasks_at_rest()
        client = await front.connect()
        await setup.request(client, path)
        await journal.wait_for(started=1)
        await trio.sleep(0.1)
        await leave(client)
        await journal.wait_for(finished=1, reports=1)
        assert journal.cancelled == 1
        assert journal.reports[0].outcome == "disconnected"
        await tasks_down_to(before)


async def test_heartbeats_carry_an_idle_stream_over_the_read_timeout(tmp_path: Path) -> None:
    app, journal = make_app(Limits(heartbeat_s=0.3))
    setup = Setup(read_timeout="1s")
    async with serving(app) as server, setup.before(server, tmp_path) as front, await front.connect() as client:
        await setup.request(client, "/idle")
        await read_until(client, setup, b":\n\n" * 7)  # two seconds of them
        assert journal.finished == 0


async def test_without_heartbeats_nginx_cuts_an_idle_stream(tmp_path: Path) -> None:
    app, journal = make_app(Limits(heartbeat_s=60))
    setup = Setup(read_timeout="1s")
    async with serving(app) as server, setup.before(server, tmp_path) as front, await front.connect() as client:
        await setup.request(client, "/idle")
        assert not is_complete(await client.read_all())
        await journal.wait_for(finished=1)


@every_setup
async def test_a_stream_is_told_of_the_shutdown_through_nginx(setup: Setup, tmp_path: Path) -> None:
    app, _ = make_app()
    async with serving(app) as server, setup.before(server, tmp_path) as front, await front.connect() as client:
        await setup.request(client, "/ticks")
        await read_until(client, setup, b"data: 1\n\n")
        server.stop()
        await client.read_until(b"\r\n0\r\n\r\n")
        assert b'"code":"SERVER_SHUTDOWN"' in setup.read(client.received)


@pytest.mark.parametrize("upstream", ["1.0", "1.1"])
async def test_a_client_of_nginx_that_takes_nothing_is_ended(upstream: str, tmp_path: Path) -> None:
    """nginx buffers some megabytes of its own, and then no longer reads."""
    app, journal = make_app(Limits(stall_s=0.5))
    setup = Setup(upstream)
    async with serving(app) as server, setup.before(server, tmp_path) as front, await front.connect() as client:
        await setup.request(client, "/flood")
        await journal.wait_for(finished=1, reports=1)
        assert journal.reports[0].outcome == "stalled"
        assert journal.reports[0].bytes < 64 * 2**20


async def test_with_hypercorn_s_proxy_fix_an_action_sees_the_client_s_address_and_host(tmp_path: Path) -> None:
    app, _ = make_app()
    actions = StreamActions(app, url_prefix=PREFIX)

    @actions.get("/who")
    async def who(request: Request, stream: Stream[Any]) -> None:
        await stream.send([request.remote_addr, request.host, request.scheme])

    forged = {"Host": "example.test", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "evil.test"}
    wrapped: Any = ProxyFixMiddleware(app)
    async with serving(wrapped) as server, Setup().before(server, tmp_path) as front, await front.connect() as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in forged.items())
        await client.stream.send_all(f"GET {PREFIX}/who HTTP/1.1\r\n{lines}\r\n".encode())
        response = await client.read_until(b"\r\n0\r\n\r\n")
    assert b'data: ["127.0.0.1","example.test","http"]' in response


@pytest.mark.parametrize("passes_host", [True, False])
async def test_a_page_s_own_origin_is_known_by_the_host_that_nginx_passes_on(passes_host: bool, tmp_path: Path) -> None:
    """For browsers that send no ``Sec-Fetch-Site``; without the line the host is the name of nginx's upstream."""
    app, journal = make_app()
    changes = {} if passes_host else {"proxy_set_header Host $http_host;": ""}
    async with serving(app) as server, nginx(server, tmp_path, changes) as front, await front.connect() as client:
        head = f"POST {PREFIX}/words HTTP/1.1\r\nHost: example.test:8080\r\nOrigin: http://example.test:8080\r\n"
        body = '{"prompt":"a"}'
        headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        await client.stream.send_all(f"{head}{headers}{body}".encode())
        response = await client.read_until(b"\r\n0\r\n\r\n")
    assert (b'"CROSS_SITE_REQUEST"' in response) == (not passes_host)
    assert journal.started == passes_host


def test_the_documented_timeouts_fit_those_of_streams_and_of_hypercorn() -> None:
    """The guide's numbers: an idle stream beats before nginx gives up, and nginx drops connections first."""
    from hypercorn.config import Config

    config = documented()
    read_timeout = re.search(r"proxy_read_timeout (\d+)s;", config)
    keepalive = re.search(r"keepalive_timeout (\d+)s;", config)
    assert read_timeout is not None
    assert float(read_timeout[1]) >= 2 * Limits().heartbeat_s
    assert keepalive is not None
    assert int(keepalive[1]) < Config().keep_alive_timeout
    with pytest.raises(AssertionError, match="stands 0 times"):
        changed(config, {"no such line": ""})
