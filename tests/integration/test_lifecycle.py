"""The life of a stream on real hypercorn: what each client reads, byte by byte, and how connections end."""

from __future__ import annotations

import json
import logging
from typing import Any

import attrs
import pytest
import trio
from quart_trio import QuartTrio

from tests.apps import DEFAULTS, PREFIX, Token, make_app
from tests.servers import DEADLINE_S, RawClient, body_of, call, is_complete, serving
from trio_streamact import Limits, Stream, StreamActions, define_stream_action, stream_ended

DONE = b'data: {"__actions_done":true}\n\n'


def error_frame(code: str, message: str, status: int, **members: Any) -> bytes:
    error = {"code": code, "message": message, "statusCode": status, **members}
    return b'data: {"__actions_error":%b}\n\n' % json.dumps(error, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("path", "body", "read", "outcome"),
    [
        ("/words", b'{"prompt":"a b"}', b'data: {"text":"a"}\n\ndata: {"text":"b"}\n\n' + DONE, "done"),
        ("/words", b"{", error_frame("PARSE_ERROR", "Invalid JSON in request body", 400), "error"),
        (
            "/words",
            b'{"prompt":1}',
            error_frame(
                "VALIDATION_ERROR", "Input validation failed", 422, fieldErrors={"prompt": ["Expected a string"]}
            ),
            "error",
        ),
        ("/private", b"", error_frame("UNAUTHORIZED", "Sign in first", 401), "error"),
        ("/refused", b"", b"data: 1\n\n" + error_frame("NOT_FOUND", "No such thing", 404), "error"),
        ("/broken", b"", error_frame("INTERNAL_ERROR", "An unexpected error occurred", 500), "error"),
        ("/crash", b"", b"data: 1\n\n" + error_frame("STREAM_ERROR", "Stream handler error", 500), "error"),
        ("/unsayable", b"", error_frame("STREAM_ERROR", "Stream handler error", 500), "error"),
        (
            "/endless",
            b"",
            b"data: 1\n\n" + error_frame("TIMEOUT_ERROR", "The stream exceeded its time limit", 408),
            "timeout",
        ),
    ],
)
async def test_each_ending_is_told_once_and_nothing_comes_behind_it(
    path: str, body: bytes, read: bytes, outcome: str
) -> None:
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(PREFIX + path, body=body, headers={"Connection": "close"})
        response = await client.read_all()
        assert response.startswith(b"HTTP/1.1 200")
        assert is_complete(response)
        assert body_of(response) == read
        await journal.wait_for(reports=1)
        assert [report.outcome for report in journal.reports] == [outcome]
        assert journal.finished == journal.started


async def test_a_type_error_before_the_stream_opens_is_a_500_and_no_stream() -> None:
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/mistaken", headers={"Connection": "close"})
        response = await client.read_all()
        assert response.startswith(b"HTTP/1.1 500")
        assert b"secret" not in response
        assert not journal.reports


async def test_the_endings_of_the_named_dialect() -> None:
    app, _ = make_app(dialect="named")
    async with serving(app) as server:
        assert await call(server, f"{PREFIX}/words", body=b'{"prompt":"a"}') == (
            b'data: {"text":"a"}\n\nevent: done\ndata: {}\n\n'
        )
        assert await call(server, f"{PREFIX}/refused") == (
            b'data: 1\n\nevent: error\ndata: {"code":"NOT_FOUND","message":"No such thing","statusCode":404}\n\n'
        )


async def test_the_head_is_there_before_the_first_chunk_and_says_what_proxies_must_know() -> None:
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/idle")
        head = (await client.read_until(b"\r\n\r\n")).decode().lower()
        await journal.wait_for(started=1)
        lines = head.split("\r\n")
        assert "content-type: text/event-stream; charset=utf-8" in lines
        assert "x-accel-buffering: no" in lines
        assert "transfer-encoding: chunked" in lines
        (cache,) = [line for line in lines if line.startswith("cache-control:")]
        assert "no-cache, no-store, no-transform" in cache
        assert not body_of(client.received)


async def test_each_chunk_arrives_before_the_next_is_sent() -> None:
    app, _ = make_app()
    go_on = trio.Event()
    actions = StreamActions(app, url_prefix="")

    @actions.post("/step")
    async def step(stream: Stream[int]) -> None:
        await stream.send(1)
        await go_on.wait()
        await stream.send(2)

    async with serving(app) as server, await server.connect() as client:
        await client.request("/step")
        assert b"data: 2" not in await client.read_until(b"data: 1\n\n")
        go_on.set()
        await client.read_until(b"data: 2\n\n")


async def test_hazard_14_a_head_request_answers_the_head_and_runs_nothing() -> None:
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/ticks", method="HEAD", headers={"Connection": "close"})
        response = await client.read_all()
        assert response.startswith(b"HTTP/1.1 200")
        assert b"text/event-stream" in response
        assert response.endswith(b"\r\n\r\n")
        assert b"data:" not in response
        assert journal.started == 0


async def test_the_query_of_a_get_is_the_input() -> None:
    app, _ = make_app()
    actions = StreamActions(app, url_prefix="")

    @attrs.define
    class Search:
        page: int
        tags: list[str]
        exact: bool = False

    @actions.get("/search/<int:page>")
    async def search(input: Search, stream: Stream[Search]) -> None:
        await stream.send(input)

    async with serving(app) as server:
        read = await call(server, "/search/3?page=9&tags=a&tags=b%20c&exact=true", method="GET")
        assert read == b'data: {"page":3,"tags":["a","b c"],"exact":true}\n\n' + DONE


async def test_a_view_of_define_stream_action_works_on_plain_quart_routes() -> None:
    app, _ = make_app()

    @define_stream_action
    async def hello(stream: Stream[Token], request: Any) -> None:
        await stream.send(Token(request.path))

    app.post("/hello")(hello)
    assert hello.is_stream
    assert hello.action.name == "hello"
    assert hello.action.chunk is Token
    async with serving(app) as server:
        assert await call(server, "/hello") == b'data: {"text":"/hello"}\n\n' + DONE


async def test_quart_s_response_timeout_does_not_cut_a_stream() -> None:
    app, _ = make_app()
    app.config["RESPONSE_TIMEOUT"] = 0.1
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/ticks")
        await client.read_until(b"data: 15\n\n")


async def test_the_keep_alive_timeout_does_not_cut_an_idle_stream() -> None:
    app, journal = make_app(Limits(heartbeat_s=0.1))
    async with serving(app, keep_alive_timeout=0.2) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/idle")
        await client.read_until(b":\n\n\r\n" * 1)
        await trio.sleep(0.6)
        client.received = b""
        await client.read_until(b":\n\n")
        assert journal.finished == 0


# Connections end


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.0", {}), ("1.1", {"Connection": "close"})],
    ids=["HTTP/1.0", "Connection: close"],
)
@pytest.mark.parametrize("path", [f"{PREFIX}/words", "/plain"])
async def test_hazard_2_a_connection_that_is_to_be_closed_is_closed(
    version: str, headers: dict[str, str], path: str
) -> None:
    app, _ = make_app()
    async with serving(app) as server, await server.connect() as client:
        method = "GET" if path == "/plain" else "POST"
        body = b"" if path == "/plain" else b'{"prompt":"a"}'
        await client.request(path, method=method, body=body, version=version, headers=headers)
        response = await client.read_all()
        assert (b"plain" if path == "/plain" else DONE) in response


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_hazard_2_without_the_guard_a_connection_never_closes(version: str) -> None:
    """Fails once quart-trio leaves the last send alone."""
    app = QuartTrio(__name__)

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    async with serving(app) as server, await server.connect() as client:
        await client.request("/plain", method="GET", version=version, headers={"Connection": "close"})
        await client.read_until(b"plain")
        with trio.move_on_after(0.5) as waiting:
            await client.read_all()
        assert waiting.cancelled_caught


async def test_a_connection_that_is_kept_alive_serves_stream_after_stream() -> None:
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as client:
        for n in range(20):
            client.received = b""
            await client.request(f"{PREFIX}/words", body=b'{"prompt":"a b"}')
            await client.read_until(b"\r\n0\r\n\r\n")
            assert journal.finished == n + 1


async def test_hazard_2_a_connection_that_is_kept_alive_meets_its_timeout() -> None:
    app, _ = make_app()
    async with serving(app, keep_alive_timeout=0.2) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/words", body=b'{"prompt":"a"}')
        assert is_complete(await client.read_all())


async def test_a_pipelined_request_is_answered_after_the_stream() -> None:
    app, _ = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/words", body=b'{"prompt":"a"}')
        await client.request("/plain", method="GET", headers={"Connection": "close"})
        response = await client.read_all()
        assert response.index(DONE) < response.index(b"plain")


# Limits on the wire


@pytest.mark.parametrize("pause_s", [0, 0.002], ids=["all at once", "one by one"])
async def test_backpressure_reaches_the_handler_through_real_sockets(pause_s: float) -> None:
    app, journal = make_app()
    sent = 0

    @StreamActions(app, url_prefix="", limits=DEFAULTS).post("/counted")
    async def counted(stream: Stream[str]) -> None:
        nonlocal sent
        while True:
            await stream.send("x" * 30_000)
            sent += 1
            if pause_s:
                await trio.sleep(pause_s)

    async with serving(app) as server, await server.connect() as client:
        await client.request("/counted")
        await client.read_until(b"data:")
        before = -1
        with trio.fail_after(DEADLINE_S):
            while sent > before:  # until it stands still
                before = sent
                await trio.sleep(0.4)
        await client.stream.aclose()
        await journal.wait_for(reports=1)
    (report,) = journal.reports
    assert report.outcome == "disconnected"
    assert report.bytes < 20_000_000  # the kernel's buffers on both sides, and ours
    assert report.waited_s > 0.3


async def test_heartbeats_reach_the_client() -> None:
    app, _ = make_app(Limits(heartbeat_s=0.05))
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/idle")
        response = await client.read_until(b"\r\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n\r\n")
        assert b"data" not in response


async def test_chunk_bytes_on_the_wire() -> None:
    app, _ = make_app(Limits(chunk_bytes=50))
    async with serving(app) as server:
        assert await call(server, f"{PREFIX}/echo", body=b'{"x":"%b"}' % (b"y" * 50)) == error_frame(
            "STREAM_ERROR", "Stream handler error", 500
        )


async def test_write_bytes_bounds_what_goes_into_one_chunk_of_http() -> None:
    app, _ = make_app(Limits(write_bytes=1000))
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/burst", body=b'{"count":1000}', headers={"Connection": "close"})
        response = await client.read_all()
        rest, sizes = response.partition(b"\r\n\r\n")[2], []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            sizes.append(int(size, 16))
            rest = rest[sizes[-1] + 2 :]
        assert 500 < max(sizes) <= 1000
        assert body_of(response).count(b"hello world") == 1000


async def test_the_stream_that_finds_no_room_is_told_so() -> None:
    app, journal = make_app(Limits(streams=1))
    async with serving(app) as server, await server.connect() as first:
        await first.request(f"{PREFIX}/ticks")
        await first.read_until(b"data: 1\n\n")
        refusal = await call(server, f"{PREFIX}/words", body=b'{"prompt":"a"}')
        assert refusal == error_frame("TOO_MANY_STREAMS", "Too many streams are open", 503, retryAfter=5)
        assert [report.outcome for report in journal.reports] == ["rejected"]


@pytest.mark.parametrize("limits", [Limits(buffer_chunks=1), Limits(buffer_bytes=1)])
async def test_the_smallest_buffers_lose_nothing(limits: Limits) -> None:
    app, _ = make_app(limits)
    async with serving(app) as server:
        read = await call(server, f"{PREFIX}/burst", body=b'{"count":1000}')
        assert read == b'data: {"text":"hello world"}\n\n' * 1000 + DONE


async def test_others_are_answered_while_a_handler_only_sends() -> None:
    """The order of events, not a speed: the burst is still running when the other request is answered."""
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as bursting, trio.open_nursery() as nursery:

        async def drain() -> None:
            await bursting.request(f"{PREFIX}/flood")
            async for _ in bursting.stream:
                pass

        nursery.start_soon(drain)
        await journal.wait_for(started=1)
        for _ in range(20):
            assert await call(server, "/plain", method="GET")
        assert journal.finished == 0
        nursery.cancel_scope.cancel()


# Interrupts


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_hazard_10_an_interrupt_in_a_handler_stops_the_server_and_tells_its_client(
    interrupt: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app()
    actions = StreamActions(app, url_prefix="")

    @actions.post("/interrupt")
    async def interrupted(stream: Stream[int]) -> None:
        await stream.send(1)
        raise interrupt

    async with serving(app, graceful_timeout=0.5) as server, await server.connect() as client:
        await client.request("/interrupt")
        read = body_of(await client.read_until(b"\r\n0\r\n\r\n"))
        assert read == b"data: 1\n\n" + error_frame("SERVER_SHUTDOWN", "The server is shutting down", 503)
        with trio.fail_after(5):
            while True:
                try:
                    await trio.aclose_forcefully((await server.connect()).stream)
                except OSError:
                    break  # it has stopped accepting
                await trio.sleep(0.02)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# Without -k trio


async def test_another_event_loop_is_refused_in_clear_words(tmp_path: Any) -> None:
    import subprocess
    import sys

    (tmp_path / "wrong.py").write_text(
        "from quart_trio import QuartTrio\n"
        "from trio_streamact import StreamActions\n"
        "app = QuartTrio(__name__)\n"
        "StreamActions(app)\n"
    )
    command = [sys.executable, "-m", "hypercorn", "-b", "127.0.0.1:0", "wrong:app"]
    with trio.fail_after(30):
        result = await trio.run_process(
            command, cwd=tmp_path, check=False, capture_stdout=True, stderr=subprocess.STDOUT
        )
    assert b"Running on" not in result.stdout
    assert b"-k trio" in result.stdout


# Reports over sockets


async def test_a_report_comes_after_the_handler_is_over() -> None:
    app, journal = make_app()
    order: list[str] = []

    def note(_: Any, report: Any) -> None:
        order.append(f"report, {journal.finished} over")

    async with serving(app) as server:
        with stream_ended.connected_to(note, sender=app):
            await call(server, f"{PREFIX}/words", body=b'{"prompt":"a"}')
    assert order == ["report, 1 over"]


async def test_raw_clients_of_the_tests_notice_a_response_that_is_cut() -> None:
    app, _ = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/ticks")
        await client.read_until(b"data: 2")
        assert isinstance(client, RawClient)
        assert not is_complete(client.received)
