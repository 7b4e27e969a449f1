"""The rules of the body: however a handler ends, the client is told once, the log hears of it, and nothing is left."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from quart import current_app, g, request, session
from quart.signals import got_request_exception
from quart.testing import make_test_headers_path_and_query_string, make_test_scope
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from tests.quarts import TEARDOWNS, current_request_context
from trio_streamact import ActionError, Limits, Stream, StreamActions, stream_ended, stream_opened
from trio_streamact.testing import open_stream

Handler = Callable[[Stream[Any]], Awaitable[None]]
STREAM_ERROR = {"code": "STREAM_ERROR", "message": "Stream handler error", "statusCode": 500}


def app_with(handler: Handler, **options: Any) -> QuartTrio:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/it", **options)
    async def it(stream: Stream[Any]) -> None:
        await handler(stream)

    return app


async def ending_of(handler: Handler, **options: Any) -> tuple[list[Any], dict[str, Any] | None]:
    """Run *handler*; give the chunks and the error, if there was one."""
    async with open_stream(app_with(handler, **options), f"{PREFIX}/it") as stream:
        chunks = []
        try:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401 - those before an error count
        except ActionError as error:
            assert not await stream.next_bytes(), "something came behind the ending"
            return chunks, error.as_json()
        assert not await stream.next_bytes(), "something came behind the ending"
        return chunks, None


def errors_in(caplog: pytest.LogCaptureFixture) -> list[BaseException]:
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    return [record.exc_info[1] for record in records if record.exc_info and record.exc_info[1]]


# The endings


async def test_a_return_without_close_closes(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await stream.send(1)

    assert await ending_of(handler) == ([1], None)


async def test_close_ends_the_stream_while_the_handler_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    went_on = False

    async def handler(stream: Stream[Any]) -> None:
        nonlocal went_on
        await stream.send(1)
        await stream.close()
        await stream.close()
        assert stream.closed
        with pytest.raises(trio.ClosedResourceError):
            await stream.send(2)
        await trio.sleep(1)
        went_on = True

    assert await ending_of(handler) == ([1], None)
    assert went_on


async def test_a_stream_is_a_send_channel_whose_aclose_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    async def produce(channel: trio.abc.SendChannel[int]) -> None:
        async with channel:
            for number in range(3):
                await channel.send(number)

    async def handler(stream: Stream[Any]) -> None:
        assert isinstance(stream, trio.abc.SendChannel)
        await produce(stream)
        assert stream.closed
        await stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await stream.send(3)

    assert await ending_of(handler) == ([0, 1, 2], None)


async def test_a_block_of_a_stream_that_raises_does_not_look_whole(autojump_clock: trio.testing.MockClock) -> None:
    async def fails(stream: Stream[Any]) -> None:
        async with stream:
            await stream.send(1)
            raise ActionError("UPSTREAM", "no answer", 502)

    async def goes_on(stream: Stream[Any]) -> None:
        with pytest.raises(ValueError):
            async with stream:
                await stream.send(1)
                raise ValueError
        await stream.send(2)

    async def is_cancelled(stream: Stream[Any]) -> None:
        with trio.move_on_after(1):
            async with stream:
                await stream.send(1)
                await trio.sleep_forever()
        assert not stream.closed

    chunks, error = await ending_of(fails)
    assert (chunks, error and error["code"]) == ([1], "UPSTREAM")
    assert await ending_of(goes_on) == ([1, 2], None)
    assert await ending_of(is_cancelled) == ([1], None)


async def test_an_error_after_close_is_logged_and_not_told(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await stream.close()
        raise RuntimeError("too late")

    assert await ending_of(handler) == ([], None)
    assert [str(error) for error in errors_in(caplog)] == ["too late"]


async def test_an_action_error_is_told_as_it_is_and_not_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        raise ActionError("QUOTA", "All used up", 429, {"prompt": ["too many"]})

    told = {"code": "QUOTA", "message": "All used up", "statusCode": 429, "fieldErrors": {"prompt": ["too many"]}}
    assert await ending_of(handler) == ([], told)
    assert not errors_in(caplog)


async def test_an_unexpected_error_says_nothing_of_itself_and_is_logged_once_with_its_traceback(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await stream.send(1)
        raise LookupError("secret")

    assert await ending_of(handler) == ([1], STREAM_ERROR)
    (error,) = errors_in(caplog)
    assert isinstance(error, LookupError)
    assert error.__traceback__ is not None
    assert "secret" in caplog.text


async def test_a_group_with_one_error_inside_is_that_error(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def child() -> None:
        raise ActionError("NOT_FOUND", "No such thing", 404)

    async def handler(stream: Stream[Any]) -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep, 60)
            inner.start_soon(child)

    assert await ending_of(handler) == ([], {"code": "NOT_FOUND", "message": "No such thing", "statusCode": 404})
    assert not errors_in(caplog)


async def test_a_group_of_several_is_one_server_error_and_logged_whole(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def child(error: Exception) -> None:
        raise error

    async def handler(stream: Stream[Any]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, ActionError("NOT_FOUND", "No such thing", 404))
            nursery.start_soon(child, ValueError("secret"))

    assert await ending_of(handler) == ([], STREAM_ERROR)
    (group,) = errors_in(caplog)
    assert isinstance(group, BaseExceptionGroup)
    assert {type(error) for error in group.exceptions} == {ActionError, ValueError}


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"code": "BUSY", "message": "Try later", "status_code": 503}, ("BUSY", "Try later", 503)),
        ({"code": "BUSY", "message": "Try later"}, ("BUSY", "Try later", 500)),
        (ActionError("BUSY", "Try later", 503), ("BUSY", "Try later", 503)),
        ({"message": "no code"}, ("STREAM_ERROR", "Stream handler error", 500)),
        (None, ("STREAM_ERROR", "Stream handler error", 500)),
    ],
)
async def test_handle_server_error_chooses_the_words(
    autojump_clock: trio.testing.MockClock, made: Any, told: tuple[str, str, int]
) -> None:
    seen = []

    def handle(error: Exception) -> Any:
        seen.append(error)
        return made

    async def handler(stream: Stream[Any]) -> None:
        raise LookupError("secret")

    _, error = await ending_of(handler, handle_server_error=handle)
    assert error is not None
    assert (error["code"], error["message"], error["statusCode"]) == told
    assert [type(error) for error in seen] == [LookupError]


async def test_a_handle_server_error_that_fails_itself_is_logged_and_tells_nothing(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(error: Exception) -> Any:
        raise KeyError("also secret")

    async def handler(stream: Stream[Any]) -> None:
        raise LookupError("secret")

    assert await ending_of(handler, handle_server_error=handle) == ([], STREAM_ERROR)
    assert "also secret" in caplog.text


async def test_error_trackers_hear_of_unexpected_errors_within_the_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard = []

    async def tracker(app: QuartTrio, exception: Exception) -> None:
        heard.append((request.path, exception))

    async def handler(stream: Stream[Any]) -> None:
        raise LookupError("secret")

    app = app_with(handler)
    with got_request_exception.connected_to(tracker, sender=app):
        async with open_stream(app, f"{PREFIX}/it") as stream:
            with pytest.raises(ActionError):
                await stream.rest()
    ((path, error),) = heard
    assert (path, str(error)) == (f"{PREFIX}/it", "secret")


async def test_an_error_tracker_that_fails_breaks_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async def tracker(app: QuartTrio, exception: Exception) -> None:
        raise RuntimeError("the tracker is down")

    async def handler(stream: Stream[Any]) -> None:
        raise LookupError("secret")

    with got_request_exception.connected_to(tracker):
        assert await ending_of(handler) == ([], STREAM_ERROR)


# Time


async def test_a_lifetime_that_is_over_cancels_the_handler_and_says_so(autojump_clock: trio.testing.MockClock) -> None:
    cleaned_up = False

    async def handler(stream: Stream[Any]) -> None:
        nonlocal cleaned_up
        await stream.send(1)
        try:
            await trio.sleep_forever()
        finally:
            cleaned_up = True

    chunks, error = await ending_of(handler, limits=Limits(lifetime_s=5))
    assert trio.current_time() == pytest.approx(5)
    assert chunks == [1]
    assert error is not None
    assert (error["code"], error["statusCode"]) == ("TIMEOUT_ERROR", 408)
    assert cleaned_up


async def test_a_handler_that_fails_while_its_lifetime_ends_it_is_a_timeout_and_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    _, error = await ending_of(handler, limits=Limits(lifetime_s=5))
    assert error is not None
    assert error["code"] == "TIMEOUT_ERROR"
    assert "in cleanup" in caplog.text


async def test_a_comment_says_that_an_idle_stream_is_still_there(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await trio.sleep(25)
        await stream.send(1)
        await trio.sleep(12)

    app = app_with(handler, limits=Limits(heartbeat_s=10))
    async with open_stream(app, f"{PREFIX}/it") as stream:
        arrivals = []
        while part := await stream.next_bytes():
            arrivals.append((round(trio.current_time()), part))
    assert arrivals == [
        (10, b":\n\n"),
        (20, b":\n\n"),
        (25, b"data: 1\n\n"),
        (35, b":\n\n"),
        (37, b'data: {"__actions_done":true}\n\n'),
    ]


async def test_a_busy_stream_has_no_heartbeats(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        for tick in range(100):
            await stream.send(tick)
            await trio.sleep(9)

    app = app_with(handler, limits=Limits(heartbeat_s=10))
    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert await stream.rest() == list(range(100))
        assert b":\n\n" not in stream.body


# The client that leaves


async def test_a_client_that_leaves_cancels_the_handler_and_waits_for_its_cleanup(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    saved: list[str] = []

    async def handler(stream: Stream[Any]) -> None:
        try:
            await stream.send(1)
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(2, shield=True):
                await trio.sleep(1)
                saved.append("draft")

    async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
        assert await stream.next_chunk() == 1
    assert saved == ["draft"]
    assert not caplog.records


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in a nursery"])
async def test_hazard_15_an_error_in_the_cleanup_of_a_cancelled_handler_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture, wrapped: bool
) -> None:
    async def sleeper() -> None:
        await trio.sleep_forever()

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    async def handler(stream: Stream[Any]) -> None:
        await stream.send(1)
        if not wrapped:
            await fails_when_cancelled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            nursery.start_soon(sleeper)

    async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
        assert await stream.next_chunk() == 1
    assert len(errors_in(caplog)) == 1
    assert "in cleanup" in caplog.text


async def test_swallowing_a_cancellation_for_a_while_is_harmless(autojump_clock: trio.testing.MockClock) -> None:
    swallowed = 0

    async def handler(stream: Stream[Any]) -> None:
        nonlocal swallowed
        await stream.send(1)
        for _ in range(5):
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                swallowed += 1

    async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
        await stream.next_chunk()
    assert swallowed == 5


async def test_send_notices_a_cancellation_even_where_it_need_not_wait(autojump_clock: trio.testing.MockClock) -> None:
    sent = 0

    async def handler(stream: Stream[Any]) -> None:
        nonlocal sent
        await stream.send(0)
        with trio.CancelScope() as scope:
            scope.cancel()
            for _ in range(10):
                await stream.send(1)
                sent += 1

    assert await ending_of(handler) == ([0], None)
    assert sent == 0


async def test_hazard_12_a_body_entered_in_a_cancelled_scope_leaves_no_nursery_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whatever awaits between opening the nursery and handing the body over would be cancelled there."""

    async def handler(stream: Stream[Any]) -> None:
        await trio.sleep_forever()

    app = app_with(handler)
    before = len(trio.lowlevel.current_task().child_nurseries)
    async with app.test_request_context(f"{PREFIX}/it", method="POST"):
        # The context goes by itself in Quart 0.23, and was an option before.
        response: Any = await app.full_dispatch_request(current_request_context())
    with trio.CancelScope() as scope:
        scope.cancel()
        async with response.response as body:
            with pytest.raises(trio.Cancelled):
                await body.__anext__()
    assert len(trio.lowlevel.current_task().child_nurseries) == before


async def test_a_stream_that_is_cut_from_outside_never_looks_whole(autojump_clock: trio.testing.MockClock) -> None:
    """As a shutdown cuts it whose time is over, while a write lasts that the server shields."""

    async def handler(stream: Stream[Any]) -> None:
        await stream.send(1)
        await trio.sleep_forever()

    app = app_with(handler)

    @app.after_request
    async def wrap(response: Any) -> Any:
        async def wrapped(body: Any) -> AsyncIterator[bytes]:
            async with body as parts:
                async for part in parts:
                    yield part
                yield b"whole"  # as what compresses does, say

        response.response = response.iterable_body_class(wrapped(response.response))
        return response

    sent: list[Any] = []
    requests: list[Any] = [{"type": "http.request"}]

    async def receive() -> Any:
        return requests.pop() if requests else await trio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body") == b"data: 1\n\n":
            outside.cancel()
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    headers, path, query = make_test_headers_path_and_query_string(app, f"{PREFIX}/it")
    with trio.CancelScope() as outside:
        await app(make_test_scope("http", path, "POST", headers, query, "http", "", "1.1", {}), receive, send)
    assert outside.cancelled_caught
    assert [message.get("body") for message in sent] == [None, b"data: 1\n\n"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_in_a_handler_surfaces_where_there_is_no_server_to_stop(
    autojump_clock: trio.testing.MockClock, interrupt: type[BaseException]
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await stream.send(1)
        raise interrupt

    with pytest.raises(interrupt):
        async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
            await stream.rest()


async def test_hazard_5_handlers_that_fail_at_random_moments_are_always_told_of(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The race that an `async with` on the channel loses three times in four."""
    rng = random.Random(5)

    async def handler(stream: Stream[Any]) -> None:
        for _ in range(rng.randrange(4)):
            await stream.send("x")
            if rng.random() < 0.5:
                await trio.lowlevel.checkpoint()
        raise LookupError("secret")

    app = app_with(handler)
    for _ in range(300):
        async with open_stream(app, f"{PREFIX}/it") as stream:
            with pytest.raises(ActionError, match="STREAM_ERROR"):
                await stream.rest()
    assert len(errors_in(caplog)) == 300


# Backpressure and fairness


async def test_a_handler_waits_when_the_chunks_that_may_wait_are_there(autojump_clock: trio.testing.MockClock) -> None:
    sent = 0

    async def handler(stream: Stream[Any]) -> None:
        nonlocal sent
        while True:
            await stream.send("x")
            sent += 1

    app = app_with(handler, limits=Limits(buffer_chunks=10, write_bytes=1))
    async with open_stream(app, f"{PREFIX}/it") as stream:
        await trio.testing.wait_all_tasks_blocked()
        assert sent == 11, "ten wait, and one is being written"
        await stream.next_chunk()
        await trio.testing.wait_all_tasks_blocked()
        assert sent == 12


async def test_a_handler_waits_when_the_bytes_that_may_wait_are_there(autojump_clock: trio.testing.MockClock) -> None:
    sent = 0

    async def handler(stream: Stream[Any]) -> None:
        nonlocal sent
        while True:
            await stream.send("x" * 90)  # 100 bytes as a frame
            sent += 1

    app = app_with(handler, limits=Limits(buffer_bytes=1000, write_bytes=1))
    async with open_stream(app, f"{PREFIX}/it"):
        await trio.testing.wait_all_tasks_blocked()
        assert sent == 10, "what is being written counts, too"


async def test_one_chunk_always_fits(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        for _ in range(3):
            await stream.send("x" * 10_000)

    limits = Limits(buffer_bytes=10, write_bytes=10)
    chunks, error = await ending_of(handler, limits=limits)
    assert ([len(chunk) for chunk in chunks], error) == ([10_000] * 3, None)


async def test_chunks_made_in_one_go_leave_in_one_write(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        for n in range(50):
            await stream.send(n)

    async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
        whole = await stream.next_bytes()
        assert whole.count(b"data:") == 51, "fifty chunks and the ending"
        assert await stream.next_bytes() == b""


async def test_a_write_takes_no_more_than_write_bytes(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        for _ in range(200):
            await stream.send("x" * 90)  # 100 bytes as a frame

    app = app_with(handler, limits=Limits(write_bytes=1000))
    async with open_stream(app, f"{PREFIX}/it") as stream:
        sizes = []
        while part := await stream.next_bytes():
            sizes.append(len(part))
    assert max(sizes) == 1000
    assert sum(sizes) > 20_000


async def test_a_paced_chunk_leaves_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        for _ in range(5):
            await stream.send(trio.current_time())
            await trio.sleep(1)

    async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
        async for sent_at in stream:
            assert trio.current_time() == sent_at


async def test_a_handler_that_only_sends_lets_others_run(autojump_clock: trio.testing.MockClock) -> None:
    sent = 0
    seen = [0]
    finished = trio.Event()

    async def handler(stream: Stream[Any]) -> None:
        nonlocal sent
        for _ in range(5000):
            await stream.send("x")
            sent += 1
        finished.set()

    async def other() -> None:
        while not finished.is_set():
            seen.append(sent)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        async with open_stream(app_with(handler), f"{PREFIX}/it") as stream:
            await stream.rest()
    steps = [after - before for before, after in itertools.pairwise(seen)]
    # Trio shuffles what is ready: the handler may come last in one round and first in the next.
    assert max(steps) <= 2 * (Limits().buffer_chunks + 1)  # with the chunk that waits for room


async def test_a_chunk_larger_than_chunk_bytes_is_refused_and_the_stream_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        with pytest.raises(ValueError, match="chunk of 102 bytes exceeds the limit of 100 bytes"):
            await stream.send("x" * 100)
        await stream.send("ok")

    assert await ending_of(handler, limits=Limits(chunk_bytes=100)) == (["ok"], None)


async def test_several_tasks_may_send(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        async def sender(name: str) -> None:
            for n in range(200):
                await stream.send([name, n])

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(sender, name)

    chunks, error = await ending_of(handler, limits=Limits(buffer_chunks=3))
    assert error is None
    for name in "abc":
        assert [n for sender, n in chunks if sender == name] == list(range(200))


# The request's contexts


async def test_hazard_13_the_handler_sees_the_request_and_its_contexts(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    app.secret_key = "test"
    actions = StreamActions(app)
    torn_down: list[str] = []

    @app.before_request
    async def before() -> None:
        g.user = "ada"
        session["seen"] = 1

    @app.teardown_request
    async def teardown(_: BaseException | None) -> None:
        torn_down.append(request.path)

    @actions.post("/it")
    async def it(stream: Stream[Any], request: Any) -> None:
        from quart import request as current

        await trio.sleep(1)
        assert current.path == request.path
        await stream.send([current_app.name, g.user, session["seen"], request.path])

    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert await stream.rest() == [[app.name, "ada", 1, f"{PREFIX}/it"]]
    assert torn_down == [f"{PREFIX}/it"] * TEARDOWNS


async def test_a_teardown_function_that_fails_after_the_handler_is_logged_and_the_stream_was_done(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app()
    torn_down = 0

    @app.teardown_request
    async def teardown(_: BaseException | None) -> None:
        nonlocal torn_down
        torn_down += 1
        if torn_down == TEARDOWNS:
            raise RuntimeError("cannot tear down")

    async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as stream:
        assert await stream.rest() == [{"text": "a"}]
    assert "cannot tear down" in caplog.text


@pytest.mark.parametrize("leaves", [False, True])
async def test_teardown_functions_run_to_their_end_whether_the_client_stays_or_leaves(
    autojump_clock: trio.testing.MockClock, leaves: bool
) -> None:
    app, _ = make_app()
    closed: list[str] = []

    @app.teardown_request
    async def teardown_request(_: BaseException | None) -> None:
        await trio.sleep(0.1)
        closed.append("request")

    @app.teardown_appcontext
    async def teardown_app(_: BaseException | None) -> None:
        await trio.sleep(0.1)
        closed.append("app")

    path, prompt = ("/ticks", None) if leaves else ("/words", {"prompt": "a"})
    async with open_stream(app, PREFIX + path, json=prompt) as stream:
        await stream.next_chunk()
        assert closed == ["request", "app"] * (TEARDOWNS - 1), "after the view"
        if not leaves:
            await stream.rest()
    assert closed == ["request", "app"] * TEARDOWNS, "after the handler"


async def test_a_cancellation_that_is_nobody_s_is_an_error(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        kept: list[trio.Cancelled] = []
        await stream.send(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:
                kept.append(cancelled)
        raise kept[0]

    assert await ending_of(handler) == ([1], STREAM_ERROR)
    assert len(errors_in(caplog)) == 1


# Reports


async def test_a_report_says_how_the_stream_went(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(stream: Stream[Any]) -> None:
        await trio.sleep(2)
        await stream.send("x")
        await trio.sleep(3)

    app = app_with(handler)
    opened: list[Any] = []
    ended: list[Any] = []

    def on_open(app: Any, action: str) -> None:
        opened.append(action)

    async def on_end(app: Any, report: Any) -> None:
        ended.append(report)

    with stream_opened.connected_to(on_open, sender=app), stream_ended.connected_to(on_end, sender=app):
        async with open_stream(app, f"{PREFIX}/it") as stream:
            await stream.rest()
            size = len(stream.body)
    assert opened == ["it"]
    (report,) = ended
    assert (report.action, report.outcome, report.code, report.chunks) == ("it", "done", None, 1)
    assert report.bytes == size
    assert report.first_chunk_s == pytest.approx(2)
    assert report.duration_s == pytest.approx(5)
    assert report.waited_s == 0


async def test_a_report_says_how_long_the_handler_waited_for_the_client(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        for _ in range(3):
            await stream.send("x")

    ended: list[Any] = []

    def on_end(app: Any, report: Any) -> None:
        ended.append(report)

    with stream_ended.connected_to(on_end):
        app = app_with(handler, limits=Limits(buffer_chunks=1, write_bytes=1))
        async with open_stream(app, f"{PREFIX}/it") as stream:
            await trio.sleep(7)
            await stream.rest()
    assert ended[0].waited_s == pytest.approx(7)


@pytest.mark.parametrize(
    ("path", "outcome", "code", "chunks"),
    [
        ("/words", "error", "VALIDATION_ERROR", 0),
        ("/private", "error", "UNAUTHORIZED", 0),
        ("/broken", "error", "INTERNAL_ERROR", 0),
        ("/refused", "error", "NOT_FOUND", 1),
        ("/crash", "error", "STREAM_ERROR", 1),
        ("/unsayable", "error", "STREAM_ERROR", 0),
        ("/endless", "timeout", "TIMEOUT_ERROR", 1),
    ],
)
async def test_every_ending_is_reported(
    autojump_clock: trio.testing.MockClock, path: str, outcome: str, code: str, chunks: int
) -> None:
    app, journal = make_app()
    async with open_stream(app, PREFIX + path) as stream:
        with pytest.raises(ActionError):
            await stream.rest()
    (report,) = journal.reports
    assert (report.outcome, report.code, report.chunks) == (outcome, code, chunks)


async def test_a_client_that_left_is_reported(autojump_clock: trio.testing.MockClock) -> None:
    app, journal = make_app()
    async with open_stream(app, f"{PREFIX}/ticks") as stream:
        await stream.next_chunk()
    (report,) = journal.reports
    assert (report.outcome, report.code) == ("disconnected", None)


async def test_a_receiver_that_fails_is_logged_and_breaks_nothing(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(app: Any, **_: Any) -> None:
        raise RuntimeError("no room in the metrics")

    app, _ = make_app()
    with stream_opened.connected_to(fails, sender=app), stream_ended.connected_to(fails, sender=app):
        async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as stream:
            assert await stream.rest() == [{"text": "a"}]
    assert len(errors_in(caplog)) == 2
