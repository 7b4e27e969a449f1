"""The Trio client against real hypercorn, and against a server of bytes where hypercorn would not say such things."""

from __future__ import annotations

import gc
import gzip
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import attrs
import httpx2
import pytest
import trio
import trio.lowlevel
from quart import request

from tests.apps import PREFIX, Journal, Prompt, Token, make_app
from tests.raw_servers import STREAM_HEAD, RawServer, chunked, raw_server, sending
from tests.servers import DEADLINE_S, Server, serving, tasks_at_rest
from tests.vectors import RawResponse, Run, responses, runs
from trio_streamact import Limits, Stream, StreamActions
from trio_streamact._protocol.encoding import encode_chunk, encode_done, encode_error
from trio_streamact.client import (
    ActionError,
    ChunkStream,
    StreamActionReference,
    StreamActionRunner,
    open_stream_action,
    use_stream_action,
)

DONE = encode_done("marked")
MIB = 2**20
TLS = httpx2.create_ssl_context()  # made once: it reads all certificates that there are


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """A connection or a generator that somebody forgot to close is found here, in the test that did."""
    yield
    gc.collect()


@pytest.fixture(params=["HTTP/1.1", "HTTP/2", "a client of its own"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def called_by(protocol: str) -> AsyncIterator[httpx2.AsyncClient | None]:
    """Give the user's client that speaks *protocol*, or none."""
    if protocol == "a client of its own":
        yield None
        return
    async with httpx2.AsyncClient(http1=protocol == "HTTP/1.1", http2=protocol == "HTTP/2", verify=TLS) as http:
        yield http


async def cancelled(journal: Journal, handlers: int = 1) -> None:
    """Wait until so many handlers were cancelled."""
    await journal.wait_for(finished=handlers)
    assert journal.cancelled == handlers


async def until_running(runner: StreamActionRunner[Any, Any]) -> None:
    while runner.status != "streaming":
        await trio.lowlevel.checkpoint()


# Iterating


async def test_chunks_come_one_by_one_as_what_was_declared(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        action = StreamActionReference[Prompt, Token](f"{server.url}{PREFIX}/words", input=Prompt, chunk=Token)
        async with open_stream_action(action, Prompt("a b"), http=http) as stream:
            assert await anext(stream) == Token("a")
            assert [chunk async for chunk in stream] == [Token("b")]
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await journal.wait_for(reports=1)
    assert journal.reports[0].outcome == "done"


async def test_a_chunk_is_there_as_soon_as_it_was_sent(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        async with open_stream_action(f"{server.url}{PREFIX}/ticks", http=http) as stream:
            for tick in range(5):
                assert await anext(stream) == tick
                assert journal.finished == 0
        await cancelled(journal)


@pytest.mark.parametrize("leaving", ["at once", "behind a chunk", "by an exception", "cancelled from outside"])
@pytest.mark.parametrize("path", ["/ticks", "/idle", "/flood"])
async def test_leaving_the_block_cancels_the_handler(protocol: str, path: str, leaving: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        with trio.CancelScope() as scope:
            try:
                async with open_stream_action(f"{server.url}{PREFIX}{path}", http=http) as stream:
                    await journal.wait_for(started=1)
                    if leaving == "cancelled from outside":
                        scope.cancel()
                    if leaving != "at once" and (path != "/idle" or scope.cancel_called):
                        async for _ in stream:
                            if leaving == "behind a chunk":
                                break
                            raise KeyError(leaving)
                    if leaving == "by an exception":
                        raise KeyError(leaving)
            except KeyError:
                assert leaving == "by an exception"
        await cancelled(journal)
        await journal.wait_for(reports=1)
    assert journal.reports[0].outcome == "disconnected"


async def test_leaving_while_the_head_is_waited_for_cancels_the_middleware(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                runner = use_stream_action(f"{server.url}{PREFIX}/slow-middleware", http=http)
                nursery.start_soon(runner.execute)
                await journal.wait_for(started=1)
                scope.cancel()
        await cancelled(journal)


async def test_a_stream_that_was_left_gives_nothing_any_more() -> None:
    app, _ = make_app()
    async with serving(app) as server:
        async with open_stream_action(f"{server.url}{PREFIX}/burst", {"count": 100}) as stream:
            await anext(stream)
        with pytest.raises(trio.ClosedResourceError, match="async with block has ended"):
            await anext(stream)


async def test_a_wait_that_was_cancelled_ends_the_stream_and_says_so() -> None:
    app, journal = make_app()
    async with serving(app) as server, open_stream_action(f"{server.url}{PREFIX}/idle") as stream:
        with trio.move_on_after(0.05):
            await anext(stream)
        await cancelled(journal)
        with pytest.raises(trio.ClosedResourceError, match="cancelled"):
            await anext(stream)


async def test_who_is_cancelled_is_not_given_what_has_arrived_already() -> None:
    seen: list[Any] = []
    async with raw_server(sending(STREAM_HEAD + encode_chunk(1), then_hold=True)) as server:
        with trio.CancelScope() as scope:
            async with open_stream_action(server.url) as stream:
                scope.cancel()
                seen.append(await anext(stream))
        assert seen == []
        await server.hung_up.wait()


async def test_two_tasks_cannot_wait_for_the_same_chunk() -> None:
    app, journal = make_app()
    async with serving(app) as server:
        async with open_stream_action(f"{server.url}{PREFIX}/idle") as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.__anext__)
            await trio.testing.wait_all_tasks_blocked(0.02)
            with pytest.raises(trio.BusyResourceError):
                await anext(stream)
            nursery.cancel_scope.cancel()
        await cancelled(journal)


async def test_leaving_while_another_task_waits_ends_its_wait(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        for number in (1, 2):
            ended = trio.Event()
            async with trio.open_nursery() as nursery:
                async with open_stream_action(f"{server.url}{PREFIX}/idle", http=http) as stream:

                    async def wait(stream: ChunkStream[Any] = stream, ended: trio.Event = ended) -> None:
                        with pytest.raises(trio.ClosedResourceError, match="async with block has ended"):
                            await anext(stream)
                        ended.set()

                    nursery.start_soon(wait)
                    await trio.testing.wait_all_tasks_blocked(0.02)
                await cancelled(journal, number)
                with trio.fail_after(DEADLINE_S):
                    await ended.wait()
        assert await only_chunk(f"{server.url}{PREFIX}/words", Prompt("a"), http=http) == {"text": "a"}


# Errors


@pytest.mark.parametrize(
    ("path", "input", "error"),
    [
        ("/refused", None, ("NOT_FOUND", "No such thing", 404, {})),
        ("/private", None, ("UNAUTHORIZED", "Sign in first", 401, {})),
        ("/crash", None, ("STREAM_ERROR", "Stream handler error", 500, {})),
        ("/endless", None, ("TIMEOUT_ERROR", "The stream exceeded its time limit", 408, {})),
        (
            "/words",
            {"prompt": 1},
            ("VALIDATION_ERROR", "Input validation failed", 422, {"prompt": ["Expected a string"]}),
        ),
    ],
)
@pytest.mark.parametrize("dialect", ["marked", "named"])
async def test_an_error_of_the_action_is_raised_as_it_was_and_as_often_as_it_is_asked(
    path: str, input: Any, error: tuple[Any, ...], dialect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app(dialect=dialect)
    async with serving(app) as server:
        with pytest.raises(ActionError) as raised:
            async with open_stream_action(f"{server.url}{PREFIX}{path}", input) as stream:
                while True:
                    try:
                        await anext(stream)
                    except ActionError:
                        await anext(stream)
    assert raised.value.args == error


async def test_a_server_without_room_says_when_to_come_back() -> None:
    app, _ = make_app(Limits(streams=1))
    async with serving(app) as server, open_stream_action(f"{server.url}{PREFIX}/idle"):
        with pytest.raises(ActionError) as raised:
            async with open_stream_action(f"{server.url}{PREFIX}/idle") as stream:
                await anext(stream)
    assert (raised.value.code, raised.value.retry_after_s) == ("TOO_MANY_STREAMS", 5)


async def error_on_entering(url: str, **options: Any) -> ActionError:
    with pytest.raises(ActionError) as raised:
        async with open_stream_action(url, **options):
            pytest.fail("the block began")
    return raised.value


async def test_what_is_no_stream_is_told_on_entering_the_block(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        for url, method, args in [
            (f"{server.url}{PREFIX}/nowhere", "POST", ("HTTP_ERROR", "HTTP 404", 404)),
            (f"{server.url}{PREFIX}/words", "GET", ("HTTP_ERROR", "HTTP 405", 405)),
            (f"{server.url}/plain", "GET", ("NOT_A_STREAM", "The response is not an event stream", 502)),
        ]:
            error = await error_on_entering(url, method=method, http=http)
            assert error.args[:3] == args
        assert journal.started == 0


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/x", "/x", "ftp://127.0.0.1/x", "http://127.0.0.1:x/", "http://no-such-name.invalid/x"],
)
async def test_a_server_that_cannot_be_reached_is_a_network_error_that_names_no_address(url: str) -> None:
    error = await error_on_entering(url)

    assert (error.code, error.status_code) == ("NETWORK_ERROR", 503)
    assert "127" not in str(error)
    assert isinstance(error.__cause__, httpx2.HTTPError | httpx2.InvalidURL)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Ty", b"nonsense\r\n\r\n"])
async def test_a_connection_that_ends_before_the_head_is_a_network_error(said: bytes) -> None:
    async with raw_server(sending(said)) as server:
        assert (await error_on_entering(server.url)).code == "NETWORK_ERROR"


CHUNKED_HEAD = STREAM_HEAD.removesuffix(b"\r\n") + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        STREAM_HEAD,
        STREAM_HEAD + b"data: 1",
        CHUNKED_HEAD,
        CHUNKED_HEAD + b"9\r\ndata: 1\n\n",
        CHUNKED_HEAD + b"9\r\ndata: 1\n\n\r\nnonsense\r\n",
        CHUNKED_HEAD + chunked([b"data: 1\n\n"]),
        STREAM_HEAD.removesuffix(b"\r\n") + b"Content-Length: 100\r\n\r\ndata: 1\n\n",
    ],
)
async def test_bytes_that_break_off_are_an_error_and_never_an_end(rest: bytes) -> None:
    async with raw_server(sending(rest)) as server:
        with pytest.raises(ActionError) as raised:
            async with open_stream_action(server.url) as stream:
                async for chunk in stream:
                    assert chunk == 1
    assert (raised.value.code, raised.value.status_code) == ("STREAM_INCOMPLETE", 502)


@pytest.mark.parametrize(
    "content_type", ["text/event-stream; charset=utf-8", "TEXT/Event-Stream", "text/event-stream ;x"]
)
async def test_a_stream_is_known_by_its_media_type_alone(content_type: str) -> None:
    head = f"HTTP/1.1 201 Fine\r\nContent-Type: {content_type}\r\n\r\n".encode()
    async with raw_server(sending(head + DONE)) as server, open_stream_action(server.url) as stream:
        assert [chunk async for chunk in stream] == []


@pytest.mark.parametrize("head", [b"text/plain", b"text/event-streams", b"application/json"])
async def test_another_media_type_is_none(head: bytes) -> None:
    async with raw_server(sending(b"HTTP/1.1 200 OK\r\nContent-Type: " + head + b"\r\n\r\n" + DONE)) as server:
        assert (await error_on_entering(server.url)).code == "NOT_A_STREAM"


# Time


async def test_the_timeout_runs_until_the_head(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        error = await error_on_entering(f"{server.url}{PREFIX}/slow-middleware", http=http, timeout=0.2)
        assert (error.code, error.status_code) == ("TIMEOUT_ERROR", 408)
        await cancelled(journal)


@pytest.mark.parametrize("before_s", [0.3, 0.0])
async def test_the_timeout_runs_until_the_first_byte_wherever_the_time_went(before_s: float) -> None:
    async def answer(server: RawServer, connection: trio.SocketStream) -> None:
        await trio.sleep(before_s)
        await connection.send_all(STREAM_HEAD)
        await trio.sleep(0.6 - before_s)  # later than the timeout, and sooner than one that began with the head
        await connection.send_all(b":\n\n")
        await server.wait_for_hang_up(connection)

    async with raw_server(answer) as server:
        began = trio.current_time()
        with pytest.raises(ActionError, match="TIMEOUT_ERROR"):
            await only_chunk(server.url, timeout=0.4)
        assert trio.current_time() - began >= 0.4
        await server.hung_up.wait()


async def test_the_timeout_is_over_with_the_first_byte() -> None:
    async with raw_server(sending(STREAM_HEAD + b":", b"\n\n" + encode_chunk(1), DONE, pause_s=0.4)) as server:
        assert await only_chunk(server.url, timeout=0.2) == 1


async def test_the_time_that_the_reader_takes_is_not_the_server_s() -> None:
    in_time = {"timeout": 0.1, "watchdog_s": 0.1}
    async with (
        raw_server(sending(STREAM_HEAD + encode_chunk(1) + DONE)) as server,
        open_stream_action(server.url, **in_time) as stream,  # type: ignore[call-overload]  # mypy sees floats alone
    ):
        await trio.sleep(0.2)
        assert [chunk async for chunk in stream] == [1]


async def test_heartbeats_keep_the_watchdog_quiet_and_silence_does_not() -> None:
    beats = [b":\n\n"] * 5
    async with raw_server(sending(STREAM_HEAD, *beats, encode_chunk(1), pause_s=0.1, then_hold=True)) as server:
        began = trio.current_time()
        with pytest.raises(ActionError) as raised:
            async with open_stream_action(server.url, watchdog_s=0.3) as stream:
                assert await anext(stream) == 1
                assert trio.current_time() - began > 0.4
                with pytest.raises(ActionError):
                    await anext(stream)
                await anext(stream)
        assert (raised.value.code, raised.value.status_code) == ("STREAM_SILENT", 504)
        await server.hung_up.wait()


async def test_the_watchdog_also_watches_for_the_head() -> None:
    async with raw_server(sending(then_hold=True)) as server:
        assert (await error_on_entering(server.url, watchdog_s=0.1)).code == "STREAM_SILENT"
        assert (await error_on_entering(server.url, watchdog_s=0.1, timeout=0.05)).code == "TIMEOUT_ERROR"


async def test_an_idle_stream_outlives_the_timeouts_of_the_http_client(protocol: str) -> None:
    app, journal = make_app(Limits(heartbeat_s=0.4))
    async with serving(app) as server, httpx2.AsyncClient(timeout=0.1) as http:
        with trio.move_on_after(0.7) as waited:
            async with open_stream_action(f"{server.url}{PREFIX}/idle", http=http) as stream:
                await anext(stream)
        assert waited.cancelled_caught
        await cancelled(journal)


# The request


@asynccontextmanager
async def echoing(**options: Any) -> AsyncIterator[tuple[Server, list[Mapping[str, str]]]]:
    """Serve an action that sends what it was given, and the headers that came with it."""
    app, _ = make_app()
    seen: list[Mapping[str, str]] = []
    actions = StreamActions(app, url_prefix="/more")

    @actions.route("/by/<day>/of/<name>", methods=["GET", "POST"])
    async def by(input: Any, stream: Stream[Any]) -> None:
        await stream.send(input)

    @app.before_request
    async def note() -> None:
        seen.append(dict(request.headers))

    async with serving(app, **options) as server:
        yield server, seen


async def only_chunk(url: str, input: Any = None, **options: Any) -> Any:
    async with open_stream_action(url, input, **options) as stream:
        [chunk] = [chunk async for chunk in stream]
    return chunk


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "patch", "delete"])
async def test_the_input_arrives_whatever_the_method(method: str) -> None:
    given = {"text": "ä&=+ b", "none": None, "list": [1, "a"], "object": {"a": 1.5}, "yes": True}
    as_query = {"text": "ä&=+ b", "none": "", "list": '[1,"a"]', "object": '{"a":1.5}', "yes": "true"}
    async with echoing() as (server, _):
        chunk = await only_chunk(f"{server.url}{PREFIX}/echo", given, method=method)
    assert chunk == {"input": as_query if method == "GET" else given}


async def test_the_query_of_the_url_and_that_of_the_client_stay() -> None:
    async with echoing() as (server, _), httpx2.AsyncClient(params={"c": "3"}) as http:
        chunk = await only_chunk(f"{server.url}{PREFIX}/echo?a=1&b=x%20y", {"d": 4}, method="GET", http=http)
    assert chunk == {"input": {"a": "1", "b": "x y", "c": "3", "d": "4"}}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_variables_of_the_path_reach_the_action(method: str) -> None:
    action = StreamActionReference[Any, Any]("/more/by/{day}/of/{name}", method=method)
    async with echoing() as (server, _), httpx2.AsyncClient(base_url=server.url) as http:
        chunk = await only_chunk_of(action, {"day": date(2026, 2, 3), "name": "é ?#%", "n": "1"}, http)
    assert chunk == {"day": "2026-02-03", "name": "é ?#%", "n": "1"}


async def only_chunk_of(action: StreamActionReference[Any, Any], input: Any, http: httpx2.AsyncClient) -> Any:
    async with open_stream_action(action, input, http=http) as stream:
        [chunk] = [chunk async for chunk in stream]
    return chunk


async def test_an_input_that_lacks_what_the_path_needs_is_an_error_without_a_request() -> None:
    async with echoing() as (server, seen):
        error = await error_on_entering(f"{server.url}/more/by/{{day}}/of/x", input={"name": 1})
    assert (error.code, error.status_code, seen) == ("INVALID_INPUT", 400, [])


async def test_the_headers_are_those_of_a_stream_and_the_user_s() -> None:
    calls = []

    def given() -> dict[str, str]:
        calls.append(1)
        return {"Authorization": f"Bearer {len(calls)}", "accept": "*/*"}

    async def given_later() -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return given()

    async with echoing() as (server, seen):
        url = f"{server.url}{PREFIX}/echo"
        await only_chunk(url)
        await only_chunk(url, headers={"X-Own": "1"})
        runner = use_stream_action(url, headers=given)
        await runner.execute()
        await runner.execute()
        await only_chunk(url, headers=given_later)
    assert [headers.get("Authorization") for headers in seen] == [None, None, "Bearer 1", "Bearer 2", "Bearer 3"]
    assert seen[1]["X-Own"] == "1"
    for headers in seen:
        assert headers["Accept"] == "text/event-stream"
        assert headers["Accept-Encoding"] == "identity"
        assert headers["Content-Type"] == "application/json"


async def test_the_user_s_own_client_brings_its_authentication_and_its_headers() -> None:
    async with echoing() as (server, seen):
        own = {"base_url": f"{server.url}{PREFIX}", "auth": ("user", "word"), "headers": {"X-Own": "1"}}
        async with httpx2.AsyncClient(**own) as http:  # type: ignore[arg-type]  # they are all of different types
            await only_chunk("/echo", http=http)
            await only_chunk("echo", http=http)
            assert not http.is_closed
    for headers in seen:
        assert headers["Authorization"] == "Basic dXNlcjp3b3Jk"
        assert headers["X-Own"] == "1"


def redirecting(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_is_sent_to_where_a_redirect_leads_whatever_the_user_s_client_does(
    status: int, method: str
) -> None:
    async with raw_server(sending(STREAM_HEAD + DONE)) as elsewhere, httpx2.AsyncClient(follow_redirects=True) as http:
        for location in (elsewhere.url, "/elsewhere"):
            async with raw_server(sending(redirecting(status, location))) as server:
                for own in (http, None):
                    options: dict[str, Any] = {"http": own, "method": method, "headers": {"X-Api-Key": "secret"}}
                    error = await error_on_entering(server.url, **options)
                    assert (error.code, error.status_code) == ("REDIRECTED", 502)
                assert len(server.requests) == 2
        assert elsewhere.requests == []


async def test_a_redirect_is_followed_where_the_author_allows_it_to_another_origin_too() -> None:
    async with echoing() as (server, _):
        target = f"{server.url}{PREFIX}/echo"
        async with raw_server(sending(redirecting(307, target))) as old, httpx2.AsyncClient() as http:
            for own in (http, None):
                assert await only_chunk(old.url, {"a": 1}, http=own, follow_redirects=True) == {"input": {"a": 1}}


@pytest.mark.parametrize("response", responses(), ids=lambda response: response.name)
async def test_a_response_is_the_same_to_both_clients(response: RawResponse) -> None:
    async with raw_server(sending(response.data)) as server:
        runner = use_stream_action(server.url)
        await runner.execute()
    assert (runner.error and runner.error.as_json()) == response.error
    assert runner.status == ("done" if response.error is None else "error")


async def test_a_compressed_stream_is_read_all_the_same() -> None:
    head = STREAM_HEAD.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
    async with raw_server(sending(head + gzip.compress(encode_chunk(1) + DONE))) as server:
        assert await only_chunk(server.url) == 1


async def test_what_is_not_compressed_as_it_says_breaks_off() -> None:
    head = STREAM_HEAD.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
    async with raw_server(sending(head + encode_chunk(1) + DONE)) as server:
        with pytest.raises(ActionError, match="STREAM_INCOMPLETE"):
            await only_chunk(server.url)


async def test_a_connection_of_the_user_s_client_is_used_again() -> None:
    """Behind the last frame comes the end of the response, which is waited for where it matters."""
    for http2 in (False, True):
        app, journal = make_app()
        async with serving(app) as server, httpx2.AsyncClient(http1=not http2, http2=http2) as http:
            before = await tasks_at_rest()
            for path in ("/words", "/refused") * 5:
                runner = use_stream_action(f"{server.url}{PREFIX}{path}", http=http)
                await runner.execute({"prompt": "a"})
            [connection] = http._transport._pool.connections  # type: ignore[attr-defined]  # there is no other way
            assert "Request Count: 10" in repr(connection)
            # The server's tasks of one connection, however many there are.
            assert await tasks_at_rest() - before < 8
            await journal.wait_for(reports=10)
        assert {report.outcome for report in journal.reports} == {"done", "error"}


async def test_a_server_that_does_not_end_its_response_is_not_waited_for() -> None:
    unended = CHUNKED_HEAD + chunked([DONE]).removesuffix(b"0\r\n\r\n")
    async with raw_server(sending(unended, then_hold=True)) as server, httpx2.AsyncClient() as http:
        with trio.fail_after(DEADLINE_S):
            async with open_stream_action(server.url, http=http) as stream:
                assert [chunk async for chunk in stream] == []
        await server.hung_up.wait()


async def test_an_asgi_transport_gives_a_stream_that_ends() -> None:
    app, journal = make_app()
    transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]  # its idea of a message is its own
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        async with open_stream_action(f"{PREFIX}/words", Prompt("a b"), chunk=Token, http=http) as stream:
            assert [chunk async for chunk in stream] == [Token("a"), Token("b")]
        with pytest.raises(ActionError, match="NOT_FOUND"):
            async with open_stream_action(f"{PREFIX}/refused", http=http) as stream:
                assert [await anext(stream), await anext(stream)] == [1]
        # It gives no response before that is complete; so much the app hears of it, and no more.
        assert (await error_on_entering(f"{PREFIX}/idle", http=http, timeout=0.1)).code == "TIMEOUT_ERROR"
        assert journal.cancelled == 1


# Backpressure


@pytest.mark.parametrize("reading", ["not at all", "slowly"])
async def test_a_slow_reader_slows_the_handler(protocol: str, reading: str) -> None:
    app, journal = make_app(Limits(stall_s=60))
    async with serving(app) as server, called_by(protocol) as http:
        async with open_stream_action(f"{server.url}{PREFIX}/flood", http=http) as stream:
            for _ in range(20):
                await trio.sleep(0.02)
                if reading == "slowly":
                    await anext(stream)
        await cancelled(journal)
        await journal.wait_for(reports=1)
    # What the kernel takes on the way, which is some megabytes; a handler that is not held makes hundreds.
    assert journal.reports[0].bytes < 20_000_000
    assert journal.reports[0].waited_s > 0.1


# HTTP/2


async def test_siblings_on_a_connection_of_http2_go_on_when_one_is_left() -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by("HTTP/2") as http:
        url = f"{server.url}{PREFIX}"
        async with open_stream_action(f"{url}/ticks", http=http) as sibling:
            for number in range(20):
                async with open_stream_action(f"{url}/{('ticks', 'flood', 'idle')[number % 3]}", http=http) as other:
                    if number % 3 != 2:
                        await anext(other)
                await cancelled(journal, number + 1)
                assert await anext(sibling) == number
            assert journal.finished == 20


async def test_what_a_stream_of_http2_had_sent_when_it_was_left_costs_the_connection_nothing() -> None:
    """Where nobody gives back the window that it took, little moves on the connection after 16 MiB of it."""
    app, journal = make_app()
    async with serving(app) as server, called_by("HTTP/2") as http:
        assert http is not None
        url = f"{server.url}{PREFIX}"
        sibling = use_stream_action(f"{url}/ticks", http=http)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sibling.execute)  # which fetches what the others are not asked for
            await journal.wait_for(started=1)
            while sum(report.bytes for report in journal.reports) < 24 * MIB:
                over = journal.finished
                async with open_stream_action(f"{url}/flood", http=http) as flood:
                    await anext(flood)
                    await trio.sleep(0.1)
                await cancelled(journal, over + 1)
                await journal.wait_for(reports=over + 1)
            [connection] = http._transport._pool.connections  # type: ignore[attr-defined]  # there is no other way
            assert connection._connection._h2_state.remote_flow_control_window(1) > 8 * MIB
            assert await only_chunk(f"{url}/words", Prompt("a"), http=http) == {"text": "a"}
            assert sibling.status == "streaming"
            sibling.stop()


async def test_a_request_that_is_cancelled_anywhere_leaves_a_new_connection_of_http2_whole() -> None:
    app, journal = make_app()
    async with serving(app) as server:
        for ticks in range(150):
            async with called_by("HTTP/2") as http:
                runner = use_stream_action(f"{server.url}{PREFIX}/ticks", http=http)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(runner.execute)
                    await until_running(runner)
                    for _ in range(ticks):
                        await trio.lowlevel.checkpoint()
                    runner.stop()
                with trio.fail_after(DEADLINE_S):
                    assert await only_chunk(f"{server.url}{PREFIX}/words", Prompt("a"), http=http) == {"text": "a"}
        await journal.wait_for(finished=journal.started)


async def test_without_the_repair_a_stream_of_http2_that_was_left_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once httpcore2 resets it: then `client/http2.py` can go."""

    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr("trio_streamact._client.http2.Http2Request.trace", nothing)
    app, journal = make_app()
    async with serving(app) as server, called_by("HTTP/2") as http:
        async with open_stream_action(f"{server.url}{PREFIX}/ticks", http=http) as stream:
            await anext(stream)
        await trio.sleep(0.5)
        assert journal.finished == 0


@attrs.define
class Wrapping(httpx2.AsyncBaseTransport):
    """A transport of the user's own, round that of httpx2."""

    inner: httpx2.AsyncBaseTransport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_where_a_connection_of_http2_cannot_be_found_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, journal = make_app()
    transport = Wrapping(httpx2.AsyncHTTPTransport(http1=False, http2=True))
    async with serving(app) as server:
        async with httpx2.AsyncClient(transport=transport) as http:
            for _ in range(2):
                async with open_stream_action(f"{server.url}{PREFIX}/ticks", http=http) as stream:
                    await anext(stream)
        await journal.wait_for(finished=2)  # with the connection
    assert len([record for record in caplog.records if record.name == "trio_streamact.client"]) == 1


async def test_http2_over_tls_is_left_in_the_same_way(certificate: tuple[str, str]) -> None:
    app, journal = make_app()
    key, cert = certificate
    async with serving(app, keyfile=key, certfile=cert) as server, httpx2.AsyncClient(verify=False, http2=True) as http:
        url = f"https://{server.host}:{server.port}{PREFIX}"
        for number in range(1, 4):
            async with open_stream_action(f"{url}/ticks", http=http) as stream:
                assert await anext(stream) == 0
            await cancelled(journal, number)
        assert await only_chunk(f"{url}/words", Prompt("a"), http=http) == {"text": "a"}


# Holding the state


def stated(runner: StreamActionRunner[Any, Any]) -> tuple[str, Sequence[Any], Any, str | None]:
    return runner.status, runner.chunks, runner.data, None if runner.error is None else runner.error.code


async def test_a_runner_holds_what_has_come_of_its_run() -> None:
    app, _ = make_app()
    told: list[Any] = []
    async with serving(app) as server:
        url = f"{server.url}{PREFIX}"
        runner: StreamActionRunner[Any, Any] = use_stream_action(
            f"{url}/words",
            chunk=Token,
            on_chunk=lambda chunk: told.append((chunk, runner.status, list(runner.chunks), runner.data)),
            on_done=lambda chunks: told.append(("done", runner.status, chunks is runner.chunks)),
            on_error=lambda error: told.append(("error", runner.status, error is runner.error)),
        )
        assert stated(runner) == ("idle", [], None, None)
        await runner.execute(Prompt("a b"))
        a, b = Token("a"), Token("b")
        assert stated(runner) == ("done", [a, b], b, None)
        assert told == [(a, "streaming", [a], a), (b, "streaming", [a, b], b), ("done", "done", True)]

        told.clear()
        await runner.execute({"prompt": ""})
        assert stated(runner) == ("error", [], None, "VALIDATION_ERROR")
        assert told == [("error", "error", True)]

        await runner.execute(Prompt("c"))
        assert stated(runner) == ("done", [Token("c")], Token("c"), None)


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [("/nowhere", "POST", "HTTP_ERROR"), ("/words", "GET", "HTTP_ERROR"), ("/{id}", "POST", "INVALID_INPUT")],
)
async def test_execute_never_raises(path: str, method: str, code: str) -> None:
    app, _ = make_app()
    async with serving(app) as server:
        runner = use_stream_action(f"{server.url}{PREFIX}{path}", method=method)
        await runner.execute()
        assert stated(runner) == ("error", [], None, code)
    await runner.execute(object())
    assert runner.status == "error"


async def test_a_function_for_headers_that_fails_ends_the_run_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, str]:
        raise LookupError("secret")

    def refusing() -> dict[str, str]:
        raise ActionError("UNAUTHORIZED", "Sign in first", 401)

    runner = use_stream_action("http://127.0.0.1:1", headers=broken)
    await runner.execute()
    assert stated(runner) == ("error", [], None, "INVALID_INPUT")
    assert runner.error is not None
    assert isinstance(runner.error.__cause__, LookupError)
    assert "secret" not in str(runner.error)
    assert "secret" in caplog.text
    with pytest.raises(LookupError):
        async with open_stream_action("http://127.0.0.1:1", headers=broken):
            pass
    runner = use_stream_action("http://127.0.0.1:1", headers=refusing)
    await runner.execute()
    assert stated(runner) == ("error", [], None, "UNAUTHORIZED")


async def test_stop_in_a_callback_is_at_once(protocol: str) -> None:
    """Also where the next chunks have come in the same read."""
    app, journal = make_app()
    seen: list[Any] = []
    async with serving(app) as server, called_by(protocol) as http:

        def stop_at(chunk: Any) -> None:
            seen.append(chunk)
            runner.stop()
            assert runner.status == "done"
            runner.stop()

        runner = use_stream_action(
            f"{server.url}{PREFIX}/flood", http=http, on_chunk=stop_at, on_done=seen.append, on_error=seen.append
        )
        await runner.execute()
        assert len(seen) == len(runner.chunks) == 1
        assert runner.status == "done"
        await cancelled(journal)


async def test_stop_in_the_callback_of_the_last_chunk_is_a_stop() -> None:
    seen: list[Any] = []

    def stop_at_2(chunk: int) -> None:
        if chunk == 2:
            runner.stop()

    async with raw_server(sending(STREAM_HEAD + encode_chunk(1) + encode_chunk(2) + DONE)) as server:
        runner = use_stream_action(server.url, on_chunk=stop_at_2, on_done=seen.append, on_error=seen.append)
        await runner.execute()
    assert (stated(runner), seen) == (("done", [1, 2], 2, None), [])


async def test_stop_from_another_task_is_at_once(protocol: str) -> None:
    app, journal = make_app()
    seen: list[Any] = []
    async with serving(app) as server, called_by(protocol) as http:
        for path in ("/ticks", "/idle", "/slow-middleware"):
            over = journal.finished
            runner = use_stream_action(f"{server.url}{PREFIX}{path}", http=http, on_done=seen.append)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.execute)
                await journal.wait_for(started=over + 1)
                await trio.sleep(0.05)
                runner.stop()
                assert runner.status == "done"
                chunks = list(runner.chunks)
            assert (runner.status, runner.chunks, runner.error, seen) == ("done", chunks, None, [])
            await cancelled(journal, over + 1)


async def test_stop_when_nothing_runs_is_nothing() -> None:
    runner = use_stream_action("http://127.0.0.1:1")
    runner.stop()
    assert stated(runner) == ("idle", [], None, None)
    await runner.execute()
    runner.stop()
    assert stated(runner) == ("error", [], None, "NETWORK_ERROR")


@pytest.mark.parametrize("path", ["/ticks", "/idle"])
async def test_a_new_run_aborts_the_old_one_which_returns(protocol: str, path: str) -> None:
    app, journal = make_app()
    done: list[Any] = []
    async with serving(app) as server, called_by(protocol) as http, trio.open_nursery() as nursery:
        runner = use_stream_action(f"{server.url}{PREFIX}{path}", http=http, on_done=done.append)
        returned = trio.Event()

        async def first() -> None:
            await runner.execute()
            returned.set()

        nursery.start_soon(first)
        await journal.wait_for(started=1)
        nursery.start_soon(runner.execute)
        with trio.fail_after(DEADLINE_S):
            await returned.wait()
        await cancelled(journal)
        await journal.wait_for(started=2)
        assert (runner.status, done) == ("streaming", [])
        runner.stop()
        await cancelled(journal, 2)


async def test_runs_that_race_never_mix(protocol: str) -> None:
    """Many runs, each started at another moment in the life of the one before it."""
    app, _ = make_app()
    seen: list[int] = []
    done: list[int] = []

    def note(chunk: Any) -> None:
        assert runner.status == "streaming"
        assert chunk is runner.chunks[-1] is runner.data
        seen.append(int(chunk["text"]))

    async with serving(app) as server, called_by(protocol) as http:
        runner = use_stream_action(
            f"{server.url}{PREFIX}/words",
            http=http,
            on_chunk=note,
            on_done=lambda chunks: done.append(*{int(chunk["text"]) for chunk in chunks}),
            on_error=lambda error: pytest.fail(repr(error.__cause__)),
        )
        # httpcore2 loses a connection of HTTP/2 when the first of several requests that wait for it is cancelled.
        await runner.execute({"prompt": "-1"})
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(runner.execute, {"prompt": f"{number} {number}"})
                for _ in range(number % 40):
                    await trio.lowlevel.checkpoint()
                await trio.sleep(0.001 * (number % 7))
    assert runner.status == "done"
    assert runner.chunks == [{"text": "199"}] * 2
    assert seen == sorted(seen)
    assert done == sorted(set(done))
    assert done[-1] == 199
    assert len(done) < 200  # some were aborted


async def test_stops_that_race_are_all_obeyed(protocol: str) -> None:
    app, journal = make_app()
    done: list[Any] = []
    async with serving(app) as server, called_by(protocol) as http:
        runner = use_stream_action(f"{server.url}{PREFIX}/burst", http=http, on_done=done.append)
        for number in range(200):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.execute, {"count": 50})
                for _ in range(number % 50):
                    await trio.lowlevel.checkpoint()
                running, count = runner.status == "streaming", len(done)
                runner.stop()
                kept = list(runner.chunks)
            assert runner.status == "done" or not running
            assert runner.chunks == kept or not running
            assert len(done) == count or not running
        await only_chunk(f"{server.url}{PREFIX}/echo", http=http)  # the connection, where there is one, is whole
        await journal.wait_for(finished=journal.started)


async def test_execute_that_is_cancelled_is_a_stop(protocol: str) -> None:
    app, journal = make_app()
    async with serving(app) as server, called_by(protocol) as http:
        runner = use_stream_action(f"{server.url}{PREFIX}/ticks", http=http)
        with trio.move_on_after(0.15) as scope:
            await runner.execute()
        assert scope.cancelled_caught
        assert runner.status == "done"
        assert runner.chunks
        await cancelled(journal)


# Callbacks


async def test_a_callback_that_raises_is_logged_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise LookupError("of the callback")

    async def broken_later(_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("of the callback")

    async with raw_server(sending(STREAM_HEAD + encode_chunk(1) + encode_chunk(2) + DONE)) as server:
        for callback in (broken, broken_later):
            caplog.clear()
            runner = use_stream_action(server.url, on_chunk=callback, on_done=callback)
            await runner.execute()
            assert stated(runner) == ("done", [1, 2], 2, None)
            records = [record for record in caplog.records if record.name == "trio_streamact.client"]
            assert [record.exc_info is not None for record in records] == [True] * 3
    async with raw_server(sending(STREAM_HEAD)) as server:
        runner = use_stream_action(server.url, on_error=broken)
        await runner.execute()
        assert runner.status == "error"


async def test_async_callbacks_are_awaited_and_the_stream_waits_for_them() -> None:
    at_once, most = 0, 0
    seen: list[Any] = []

    async def show(chunk: Any) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.sleep(0.01)
        at_once -= 1
        seen.append(chunk)

    async def finish(chunks: list[Any]) -> None:
        await trio.sleep(0.01)
        seen.append(list(chunks))

    async with raw_server(sending(STREAM_HEAD + encode_chunk(1) + encode_chunk(2) + DONE)) as server:
        await use_stream_action(server.url, on_chunk=show, on_done=finish).execute()
    assert (seen, most) == ([1, 2, [1, 2]], 1)


async def test_a_stop_cancels_an_async_callback_where_it_waits() -> None:
    app, journal = make_app()
    async with serving(app) as server, trio.open_nursery() as nursery:

        async def wait_long(_: object) -> None:
            await trio.sleep(60)

        runner = use_stream_action(f"{server.url}{PREFIX}/ticks", on_chunk=wait_long)
        nursery.start_soon(runner.execute)
        while runner.data is None:  # noqa: ASYNC110 - its callback is what this is about
            await trio.sleep(0.01)
        runner.stop()
        await cancelled(journal)
        assert runner.chunks == [0]


async def test_a_run_may_be_started_by_the_end_of_another_but_not_awaited_within_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    prompts = ["b", "c"]

    async def again(_: object) -> None:
        if prompts:
            await runner.execute({"prompt": prompts.pop(0)})

    app, journal = make_app()
    async with serving(app) as server:
        runner = use_stream_action(f"{server.url}{PREFIX}/words", on_done=again)
        await runner.execute({"prompt": "a"})
        assert runner.chunks == [{"text": "c"}]
        assert journal.started == 3

        prompts.append("d")
        runner = use_stream_action(f"{server.url}{PREFIX}/words", on_chunk=again)
        await runner.execute({"prompt": "a"})
        assert (runner.status, runner.chunks) == ("done", [{"text": "a"}])
        assert "start the run in a nursery" in caplog.text


async def test_a_run_that_was_aborted_calls_nobody_any_more() -> None:
    seen: list[Any] = []
    async with (
        raw_server(sending(STREAM_HEAD + encode_chunk(1) + encode_error(ActionError("A", "a"), "marked"))) as server,
        trio.open_nursery() as nursery,
    ):

        def start_another(chunk: Any) -> None:
            seen.append(chunk)
            if len(seen) == 1:
                nursery.start_soon(runner.execute)
                runner.stop()

        runner = use_stream_action(server.url, on_chunk=start_another, on_error=lambda error: seen.append(error.code))
        nursery.start_soon(runner.execute)
    assert seen == [1, 1, "A"]


# Whatever the bytes, wherever they are cut


@attrs.define
class Parts(httpx2.AsyncBaseTransport, httpx2.AsyncByteStream):
    """Gives a response in just these parts."""

    parts: list[bytes] = attrs.field(factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


@pytest.mark.parametrize("run", runs(), ids=lambda run: run.name)
async def test_a_runner_holds_the_same_wherever_the_bytes_were_cut(run: Run) -> None:
    transport = Parts()
    limit = {} if run.max_event_bytes is None else {"max_event_bytes": run.max_event_bytes}
    async with httpx2.AsyncClient(transport=transport) as http:
        runner = use_stream_action("http://test", http=http, **limit)  # type: ignore[call-overload]
        for place in range(0, len(run.data) + 1, 1 + len(run.data) // 200):
            transport.parts = [run.data[:place], run.data[place:]]
            await runner.execute()
            error = runner.error and runner.error.as_json()
            if error is not None and run.error is not None and "message" not in run.error:
                del error["message"]
            assert (runner.status, runner.chunks, error) == (run.status, run.chunks, run.error), place
            assert runner.data == (run.chunks[-1] if run.chunks else None)


async def test_on_chunk_cannot_await_another_run_not_even_behind_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    app, _ = make_app()
    async with serving(app) as server:

        async def again(_: Any) -> None:
            runner.stop()
            await runner.execute({"prompt": "c"})

        runner = use_stream_action(f"{server.url}{PREFIX}/words", on_chunk=again)
        await runner.execute({"prompt": "a b"})
    assert (runner.status, runner.chunks) == ("done", [{"text": "a"}])
    assert any(record.exc_info and isinstance(record.exc_info[1], RuntimeError) for record in caplog.records)


async def test_the_timeout_covers_a_function_that_gives_headers() -> None:
    async def headers() -> dict[str, str]:
        await trio.sleep(60)
        return {}

    runner = use_stream_action("http://127.0.0.1:1/never", headers=headers, timeout=0.05)
    with trio.fail_after(DEADLINE_S):
        await runner.execute()
    assert runner.error is not None
    assert runner.error.code == "TIMEOUT_ERROR"
