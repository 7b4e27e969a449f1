"""A client that takes nothing is ended after ``stall_s``; one that is merely slow is not."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from quart_trio import QuartTrio

from tests.apps import PREFIX, Journal, make_app
from tests.http2 import Http2Client, http2
from tests.servers import DEADLINE_S, RawClient, Server, call, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits, Stream, StreamActions, StreamReport, define_stream_action, stream_ended

STALL_S = 0.5
LIMITS = Limits(stall_s=STALL_S)
FLOOD = f"POST {PREFIX}/flood HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".encode()


async def ends_as_stalled(journal: Journal) -> None:
    await journal.wait_for(finished=1, reports=1)
    assert journal.cancelled == 1
    assert journal.reports[0].outcome == "stalled"


async def test_hazard_3_a_stalled_reader_is_ended_and_its_connection_freed() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server:
        before = await tasks_at_rest()
        async with await server.connect() as client:
            await client.request(f"{PREFIX}/flood")
            await ends_as_stalled(journal)
            await tasks_down_to(before)


async def test_hazard_3_a_stalled_reader_behind_tls_is_ended(certificate: tuple[str, str]) -> None:
    app, journal = make_app(LIMITS)
    key, cert = certificate
    async with serving(app, keyfile=key, certfile=cert) as server:
        before = await tasks_at_rest()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        tcp = await trio.open_tcp_stream(server.host, server.port)
        client = trio.SSLStream(tcp, context, server_hostname="localhost")
        await client.send_all(FLOOD)
        await ends_as_stalled(journal)
        await tasks_down_to(before)
        await trio.aclose_forcefully(client)


async def test_hazard_3_a_stalled_reader_on_a_unix_socket_is_ended(tmp_path: Path) -> None:
    app, journal = make_app(LIMITS)
    path = tmp_path / "socket"
    async with serving(app, bind=[f"unix:{path}"]):
        before = await tasks_at_rest()
        client = await trio.open_unix_socket(str(path))
        await client.send_all(FLOOD)
        await ends_as_stalled(journal)
        await tasks_down_to(before)
        await trio.aclose_forcefully(client)


async def test_a_stream_of_http2_without_a_window_is_ended_alone() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server, http2(server, opens_windows=False) as client:
        stalled = await client.request(f"{PREFIX}/flood")
        await client.open_connection_window(10_000_000)
        sibling = await client.request(f"{PREFIX}/ticks")
        await journal.wait_for(reports=1)
        assert journal.reports[0].outcome == "stalled"
        await client.until(lambda: stalled in client.was_reset)
        size = len(client.bodies[sibling])
        await client.until(lambda: len(client.bodies[sibling]) > size + 30)


async def test_a_connection_of_http2_that_takes_no_bytes_is_closed() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server:
        before = await tasks_at_rest()
        client = await server.connect()
        await send_http2_flood(client)
        await journal.wait_for(finished=1, reports=1)
        assert journal.reports[0].outcome == "stalled"
        await tasks_down_to(before)
        await trio.aclose_forcefully(client.stream)


async def send_http2_flood(client: RawClient) -> None:
    """Ask for a flood with the widest windows, and read nothing of it."""
    import h2.config
    import h2.connection
    import h2.settings

    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
    connection.increment_flow_control_window(2**31 - 1 - 65_535)
    headers = [(":method", "POST"), (":path", f"{PREFIX}/flood"), (":scheme", "http"), (":authority", "test")]
    connection.send_headers(1, headers, end_stream=True)
    await client.stream.send_all(connection.data_to_send())


async def read_slowly(server: Server, journal: Journal) -> None:
    """Read less in `stall_s` than one write is long, for several times `stall_s`."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = trio.socket.from_stdlib_socket(sock)
    await client.connect((server.host, server.port))
    await client.send(FLOOD)
    for _ in range(60):
        await trio.sleep(STALL_S / 10)
        assert await client.recv(2048)
        assert journal.finished == 0
    client.close()


async def test_a_reader_that_is_merely_slow_is_not_ended() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server:
        await read_slowly(server, journal)
        await journal.wait_for(reports=1)
    assert journal.reports[0].outcome == "disconnected"
    assert journal.reports[0].duration_s > 5 * STALL_S


async def test_a_reader_whose_window_never_holds_what_the_kernel_would_send_next_is_not_ended() -> None:
    """Linux's own timeout would end it, since the kernel probes its window all the time."""
    app, journal = make_app(Limits(stall_s=3))
    async with serving(app) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = trio.socket.from_stdlib_socket(sock)
        await client.connect((server.host, server.port))
        await client.send(FLOOD)
        for _ in range(24):
            await trio.sleep(0.5)
            assert await client.recv(4096)
        assert journal.finished == 0
        client.close()
        await journal.wait_for(reports=1)
    assert journal.reports[0].outcome == "disconnected"


async def test_a_stream_that_sends_nothing_is_not_ended_for_what_a_sibling_sends() -> None:
    """It has a shorter limit than the sibling, of which the client takes nothing for a while."""
    app, journal = make_app(Limits(stall_s=60, heartbeat_s=60))

    @app.post(f"{PREFIX}/silent")
    @define_stream_action(limits=Limits(stall_s=STALL_S, heartbeat_s=60))
    async def silent(stream: Stream[int]) -> None:
        with journal:
            await trio.sleep_forever()

    async with serving(app) as server:
        client = Http2Client(await trio.open_tcp_stream(server.host, server.port))
        await client.start(initial_window=2**31 - 1)
        await client.open_connection_window(2**31 - 1 - 65_535)
        await client.request(f"{PREFIX}/silent")
        await journal.wait_for(started=1)
        await client.request(f"{PREFIX}/flood")
        await journal.wait_for(started=2)
        await trio.sleep(4 * STALL_S)
        assert journal.finished == 0
        await trio.aclose_forcefully(client.stream)


async def test_a_reader_of_http2_that_is_merely_slow_is_not_ended() -> None:
    """It opens its windows little by little, and the connection is never stuck."""
    app, journal = make_app(LIMITS)
    async with serving(app) as server, http2(server, opens_windows=False) as client:
        stream = await client.request(f"{PREFIX}/flood")
        await client.until(lambda: len(client.bodies[stream]) == 65_535)
        for number in range(1, 21):
            await client.open_window(stream, 1000)
            await client.until(lambda size=65_535 + number * 1000: len(client.bodies[stream]) == size)  # type: ignore[misc]
            await trio.sleep(STALL_S / 5)
        assert journal.finished == 0
        assert stream not in client.was_reset


@pytest.mark.parametrize(("window_bytes", "pause_s"), [(1, 0.1), (13, 0.4)])
async def test_a_window_that_is_opened_by_a_few_bytes_now_and_then_holds_no_stream(
    window_bytes: int, pause_s: float
) -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server, http2(server, opens_windows=False) as client, trio.open_nursery() as nursery:
        stream = await client.request(f"{PREFIX}/flood")
        await client.until(lambda: len(client.bodies[stream]) == 65_535)

        async def drip() -> None:
            while True:
                await client.open_window(stream, window_bytes)
                await trio.sleep(pause_s)

        nursery.start_soon(drip)
        began = trio.current_time()
        await journal.wait_for(reports=1)
        assert journal.reports[0].outcome == "stalled"
        assert trio.current_time() - began < 6 * STALL_S
        nursery.cancel_scope.cancel()


async def test_a_reader_of_a_byte_now_and_then_is_ended() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/flood")
        with trio.fail_after(DEADLINE_S):
            while not journal.reports:
                assert await client.stream.receive_some(1)
                await trio.sleep(STALL_S / 10)
        assert journal.reports[0].outcome == "stalled"


async def test_who_takes_all_that_waits_takes_enough_however_little_it_is() -> None:
    """Each chunk waits for a window until just before the next one comes."""
    app, journal = make_app(LIMITS)

    @app.post(f"{PREFIX}/little")
    @define_stream_action(limits=LIMITS)
    async def little(stream: Stream[str]) -> None:
        with journal:
            while True:
                await stream.send("xxx")
                await trio.sleep(STALL_S / 5)

    async with serving(app) as server, http2(server, opens_windows=False, initial_window=0) as client:
        stream = await client.request(f"{PREFIX}/little")
        frame = b'data: "xxx"\n\n'
        for number in range(1, 21):
            await trio.sleep(STALL_S / 5)
            await client.open_window(stream, len(frame))
            await client.until(lambda: client.bodies[stream] == number * frame)  # noqa: B023 - awaited in its round
        assert journal.finished == 0


async def test_a_stream_that_stalls_ends_alone_however_slowly_its_client_reads_others() -> None:
    """One write of the connection takes longer than a stream may take to end."""
    app, journal = make_app(Limits(stall_s=2))
    async with serving(app) as server:
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        client.increment_flow_control_window(2**30)
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await sock.connect((server.host, server.port))
        head = [(":method", "POST"), (":path", f"{PREFIX}/flood"), (":scheme", "http"), (":authority", "test")]
        async with trio.SocketStream(sock) as stream:
            for stream_id in (1, 3):
                client.send_headers(stream_id, head, end_stream=True)
            client.increment_flow_control_window(2**30, 3)  # and none for the first
            await stream.send_all(client.data_to_send())
            behind = 0
            with trio.fail_after(DEADLINE_S):
                while behind < 60_000:  # of the sibling, when the first has ended
                    data = await stream.receive_some(2048)
                    assert data, "the connection was closed"
                    for event in client.receive_data(data):
                        if isinstance(event, h2.events.DataReceived) and event.stream_id == 3:
                            behind += len(event.data) * bool(journal.reports)
                    await trio.sleep(0 if len(data) < 2048 or behind > 20_000 else 0.2)
        assert journal.reports[0].outcome == "stalled"


async def test_a_stream_without_a_stall_limit_works() -> None:
    app, _ = make_app(Limits(stall_s=math.inf))
    async with serving(app) as server:
        assert b"__actions_done" in await call(server, f"{PREFIX}/words", body=b'{"prompt":"a"}')


@pytest.mark.parametrize("path", ["/download", "/later"])
async def test_what_comes_next_on_the_connection_is_not_held_to_the_stream_s_limit(path: str) -> None:
    """A download whose client pauses, on a connection that carried a stream before; the kernel takes it, or not."""
    app = QuartTrio(__name__)
    actions = StreamActions(app)  # whose own limit is for other routes

    @actions.post("/short", limits=LIMITS)
    async def short(stream: Stream[int]) -> None:
        await stream.send(1)

    @app.get("/download")
    async def download() -> bytes:
        return b"x" * 1_000_000

    @app.get("/later")
    async def later() -> Any:
        async def body() -> AsyncIterator[bytes]:
            yield b"x" * 8_000
            await trio.sleep(5 * STALL_S)
            yield b"x" * 1_000_000

        return body()

    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with serving(app) as server, RawClient(trio.SocketStream(sock)) as client:
        await sock.connect((server.host, server.port))
        await client.request(f"{PREFIX}/short")
        await client.read_until(b"\r\n0\r\n\r\n")
        client.received = b""
        await client.request(path, method="GET", headers={"Connection": "close"})
        await client.read_until(b"\r\n\r\n")
        await trio.sleep(4 * STALL_S)
        assert len(await client.read_all()) > 1_000_000


@pytest.mark.parametrize("heartbeat_s", [0.1, 60])
async def test_small_chunks_of_http2_do_not_hide_a_client_that_takes_nothing(heartbeat_s: float) -> None:
    """They fit into the server's buffer for a long time, so no write ever waits."""
    app, journal = make_app(Limits(stall_s=STALL_S, heartbeat_s=heartbeat_s))
    async with serving(app) as server, http2(server, opens_windows=False, initial_window=10) as client:
        stalled = await client.request(f"{PREFIX}/ticks")
        await journal.wait_for(reports=1)
        assert journal.reports[0].outcome == "stalled"
        await client.until(lambda: stalled in client.was_reset)


async def test_a_busy_sibling_does_not_hide_a_client_that_takes_nothing() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server, http2(server, opens_windows=False) as client:
        await client.request(f"{PREFIX}/flood")
        await client.open_connection_window(100_000_000)
        sibling = await client.request(f"{PREFIX}/burst", body=b'{"count":2000000}')
        await client.open_window(sibling, 2**30)
        await journal.wait_for(reports=1)
        assert (journal.reports[0].action, journal.reports[0].outcome) == ("flood", "stalled")


@pytest.mark.parametrize("leave", ["stall", "reset", "close"])
async def test_an_ending_that_nobody_takes_is_not_reported_as_done(leave: str) -> None:
    app, journal = make_app(LIMITS)
    actions = StreamActions(app, url_prefix="", limits=LIMITS)

    @actions.post("/returns")
    async def returns(stream: Stream[str]) -> None:
        with trio.move_on_after(0.2):
            while True:
                await stream.send("x" * 1000)

    async with serving(app) as server:
        client = await server.connect()
        await client.request("/returns")
        await trio.sleep(0.3)  # the handler has returned, and its ending waits
        if leave == "reset":
            await client.reset()
        elif leave == "close":
            await client.stream.aclose()
        await journal.wait_for(reports=1)
        await trio.aclose_forcefully(client.stream)
    assert journal.reports[0].outcome == ("stalled" if leave == "stall" else "disconnected")


async def test_an_idle_stream_is_not_a_stalled_one() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/idle")
        await journal.wait_for(started=1)
        await trio.sleep(3 * STALL_S)
        assert journal.finished == 0


@pytest.mark.parametrize("stall_s", [60, 0.5])
async def test_hazard_3_a_stalled_reader_does_not_hold_up_the_shutdown(stall_s: float) -> None:
    app, _ = make_app(Limits(stall_s=stall_s))
    with trio.fail_after(DEADLINE_S):
        async with serving(app, graceful_timeout=1) as server:
            clients = [await server.connect() for _ in range(5)]
            for client in clients:
                await client.request(f"{PREFIX}/flood")
            await trio.sleep(0.3)
            server.stop()
    for client in clients:
        await trio.aclose_forcefully(client.stream)


async def test_a_stalled_reader_that_half_closes_frees_its_connection() -> None:
    app, journal = make_app(Limits(stall_s=60))
    async with serving(app) as server:
        before = await tasks_at_rest()
        async with await server.connect() as client:
            await client.request(f"{PREFIX}/flood")
            await journal.wait_for(started=1)
            await trio.sleep(0.2)
            await client.stream.send_eof()
            await journal.wait_for(finished=1)
            await tasks_down_to(before)


async def test_clients_that_ask_on_and_on_and_read_nothing_are_ended_wherever_a_write_waits() -> None:
    """Heads, chunks and ends wait for them, whichever the kernel has no room for first."""
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix="", limits=LIMITS)
    seen: list[str] = []
    enough = trio.Event()

    @actions.get("/late")
    async def late(stream: Stream[str]) -> None:
        await trio.sleep(0.005)
        await stream.send("x")

    def ended(_: object, report: StreamReport) -> None:
        seen.append(report.outcome)
        if seen.count("stalled") == 10:
            enough.set()

    stream_ended.connect(ended, sender=app)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    address = listener.getsockname()

    async def ask_on_and_on(number: int) -> None:
        client = trio.socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with client:
            await client.connect(address)
            request = b"GET /late?%b HTTP/1.1\r\nHost: test\r\n\r\n" % (b"x" * number)  # so that each stops elsewhere
            with suppress(OSError):
                while True:
                    await client.send(request)

    async with serving(app, bind=[f"fd://{listener.detach()}"]), trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(ask_on_and_on, number)
        with trio.fail_after(DEADLINE_S):
            await enough.wait()
        nursery.cancel_scope.cancel()


async def test_a_stream_of_http2_that_stalls_ends_alone_however_busy_its_siblings_are() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app) as server:
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        client.increment_flow_control_window(2**30)
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        await sock.connect((server.host, server.port))
        async with trio.SocketStream(sock) as stream:
            for stream_id in (1, 3):
                head = [(":method", "POST"), (":path", f"{PREFIX}/flood"), (":scheme", "http"), (":authority", "test")]
                client.send_headers(stream_id, head, end_stream=True)
            client.increment_flow_control_window(2**30, 3)  # and none for the first
            await stream.send_all(client.data_to_send())
            ended_at, behind = 0, 0
            with trio.fail_after(DEADLINE_S):
                while behind < 200_000:  # of the sibling, when the first has ended
                    for event in client.receive_data(await stream.receive_some(8192)):
                        if isinstance(event, h2.events.StreamReset):
                            assert event.stream_id == 1
                            ended_at = 1
                        elif isinstance(event, h2.events.DataReceived) and event.stream_id == 3:
                            behind += ended_at * len(event.data)
                    await trio.sleep(0.002)
            assert [report.outcome for report in journal.reports] == ["stalled"]


async def test_a_connection_of_http2_on_which_all_was_reset_is_closed_in_time() -> None:
    app, journal = make_app(LIMITS)
    async with serving(app, keep_alive_timeout=0.5) as server:
        before = await tasks_at_rest()
        for by_the_client in (True, False):
            async with http2(server, opens_windows=False) as client:
                stream_id = await client.request(f"{PREFIX}/flood")
                await client.until(lambda: bool(client.bodies))
                if by_the_client:
                    await client.reset(stream_id)
                await client.until(lambda: client.is_over)
        await journal.wait_for(finished=2, reports=2)
        assert [report.outcome for report in journal.reports] == ["disconnected", "stalled"]
        await tasks_down_to(before)
