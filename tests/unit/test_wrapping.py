"""Guards before the body is read, and guards and middleware that wrap the handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, cast

import pytest
import trio
import trio.testing
from quart import Response, abort, current_app, g, redirect, request
from quart_trio import QuartTrio

from tests.apps import PREFIX, Prompt, make_app
from trio_streamact import ActionError, Limits, Stream, StreamActions, define_stream_action
from trio_streamact.testing import StreamClient, open_stream


class Log(list[Any]):
    """What happened, in order."""

    def wrapper(self, name: str) -> Callable[[], AsyncIterator[dict[str, Any]]]:
        """Make an async generator that notes when it begins and how it ends."""

        async def wrap() -> AsyncIterator[dict[str, Any]]:
            self.append(f"{name} begins")
            try:
                yield {name: True}
            except BaseException as error:
                self.append(f"{name} sees {type(error).__name__}")
                raise
            finally:
                with trio.move_on_after(1, shield=True):
                    await trio.sleep(0.1)
                self.append(f"{name} ends")

        return wrap


def app_with(handler: Callable[[Stream[Any]], Any], **options: Any) -> QuartTrio:
    app = QuartTrio(__name__)

    @StreamActions(app).post("/it", **options)
    async def it(stream: Stream[Any], ctx: dict[str, Any]) -> None:
        await handler(stream)

    return app


async def error_of(client: StreamClient) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await client.rest()
    return caught.value


# Guards


async def refuse() -> None:
    raise ActionError("UNAUTHORIZED", "Sign in first", 401)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b'{"prompt": ""}', "application/json"), (b"{", "application/json"), (b"x", "multipart/form-data")],
)
async def test_a_guard_refuses_before_anything_is_said_of_the_input(
    autojump_clock: trio.testing.MockClock, body: bytes, content_type: str
) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app).post("/it", guards=[refuse])
    async def it(input: Prompt, stream: Stream[Any]) -> None: ...

    async with open_stream(app, f"{PREFIX}/it", data=body, headers={"Content-Type": content_type}) as client:
        assert (await error_of(client)).code == "UNAUTHORIZED"


async def test_a_guard_refuses_before_the_body_has_come(autojump_clock: trio.testing.MockClock) -> None:
    """A stranger's upload is not waited for."""
    app = QuartTrio(__name__)
    read = []

    @StreamActions(app).post("/it", guards=[refuse])
    async def it(input: Prompt, stream: Stream[Any]) -> None: ...

    inner = app.asgi_app

    async def without_a_body(scope: Any, receive: Any, send: Any) -> None:
        async def never() -> Any:
            read.append("asked")
            await trio.sleep_forever()

        await inner(scope, never, send)

    app.asgi_app = without_a_body  # type: ignore[method-assign]
    with trio.fail_after(10):
        async with open_stream(app, f"{PREFIX}/it") as client:
            assert (await error_of(client)).code == "UNAUTHORIZED"


async def test_guards_come_before_the_input_and_middleware_after(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)

    async def guard(request: Any, metadata: Any, ctx: dict[str, Any]) -> dict[str, Any]:
        return {"user": request.headers["X-User"], "team": metadata["team"]}

    async def middleware(ctx: dict[str, Any], input: Prompt) -> dict[str, Any]:
        return {"asks": f"{ctx['user']}: {input.prompt}"}

    @StreamActions(app).post("/it", guards=[guard], middleware=[middleware], metadata={"team": "chat"})
    async def it(ctx: dict[str, Any], input: Prompt, stream: Stream[Any]) -> None:
        await stream.send(ctx)

    async with open_stream(app, f"{PREFIX}/it", json={"prompt": "hi"}, headers={"X-User": "ada"}) as client:
        assert await client.rest() == [{"user": "ada", "team": "chat", "asks": "ada: hi"}]


def test_a_guard_has_no_input() -> None:
    async def guard(input: Any) -> None: ...

    with pytest.raises(TypeError, match=r"guard: unknown parameter 'input'; expected any of ctx, metadata, request"):
        define_stream_action(guards=[guard])


# The way in and out


async def test_what_wraps_is_entered_in_order_and_left_in_reverse(autojump_clock: trio.testing.MockClock) -> None:
    log = Log()

    async def between() -> dict[str, Any]:
        log.append("between")
        return {"between": True}

    app = QuartTrio(__name__)
    options: Any = {"guards": [log.wrapper("a"), log.wrapper("b")], "middleware": [between, log.wrapper("c")]}

    @StreamActions(app).post("/it", **options)
    async def it(stream: Stream[Any], ctx: dict[str, Any]) -> None:
        log.append("handler")
        await stream.send(ctx)

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.rest() == [{"a": True, "b": True, "between": True, "c": True}]
    ways_in = ["a begins", "b begins", "between", "c begins", "handler"]
    assert log == [*ways_in, "c ends", "b ends", "a ends"]


async def returns(stream: Stream[Any]) -> None:
    await stream.send(1)


async def fails(stream: Stream[Any]) -> None:
    await stream.send(1)
    raise LookupError("secret")


async def refuses(stream: Stream[Any]) -> None:
    await stream.send(1)
    raise ActionError("NO", "no")


async def closes(stream: Stream[Any]) -> None:
    await stream.send(1)
    await stream.close()


async def sleeps(stream: Stream[Any]) -> None:
    await stream.send(1)
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("handler", "ending", "seen"),
    [
        (returns, None, []),
        (closes, None, []),
        (fails, "STREAM_ERROR", ["LookupError"]),
        (refuses, "NO", ["ActionError"]),
        (sleeps, "TIMEOUT_ERROR", ["Cancelled"]),
    ],
)
async def test_what_wraps_sees_how_the_handler_ended_and_ends_itself(
    autojump_clock: trio.testing.MockClock, handler: Any, ending: str | None, seen: list[str]
) -> None:
    log = Log()
    app = app_with(handler, middleware=[log.wrapper("it")], limits=Limits(lifetime_s=3))

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        if ending is None:
            assert await client.rest() == []
        else:
            assert (await error_of(client)).code == ending
    assert log == ["it begins", *(f"it sees {error}" for error in seen), "it ends"]


async def test_what_wraps_ends_where_the_client_leaves(autojump_clock: trio.testing.MockClock) -> None:
    log = Log()
    async with open_stream(app_with(sleeps, middleware=[log.wrapper("it")]), f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
    assert log == ["it begins", "it sees Cancelled", "it ends"]


async def test_a_guard_that_wraps_sees_an_invalid_input(autojump_clock: trio.testing.MockClock) -> None:
    log = Log()
    app = QuartTrio(__name__)

    @StreamActions(app).post("/it", guards=[log.wrapper("it")])
    async def it(input: Prompt, stream: Stream[Any]) -> None: ...

    async with open_stream(app, f"{PREFIX}/it", json={"prompt": ""}) as client:
        assert (await error_of(client)).code == "VALIDATION_ERROR"
    assert log == ["it begins", "it sees InvalidInput", "it ends"]


@pytest.mark.parametrize("way", ["raises", "answers"])
async def test_what_wraps_ends_where_the_stream_is_never_opened(
    autojump_clock: trio.testing.MockClock, way: str
) -> None:
    log = Log()
    app = app_with(returns, middleware=[log.wrapper("it")])

    @app.after_request
    async def after(response: Response) -> Response:
        if way == "raises" and response.mimetype == "text/event-stream":
            raise RuntimeError("this function fails")
        return Response("instead")

    async with open_stream(app, f"{PREFIX}/it") as client:
        await client.next_bytes()
    await trio.sleep(1)
    assert log == ["it begins", "it sees Cancelled", "it ends"]


async def test_what_wraps_ends_where_there_is_no_room(autojump_clock: trio.testing.MockClock) -> None:
    log = Log()
    app = app_with(sleeps, guards=[log.wrapper("it")], limits=Limits(streams_per_client=1))
    async with open_stream(app, f"{PREFIX}/it") as first:
        await first.next_chunk()
        del log[:]
        async with open_stream(app, f"{PREFIX}/it") as second:
            assert (await error_of(second)).code == "TOO_MANY_STREAMS"
        await trio.sleep(1)
        assert log == ["it begins", "it sees RejectedError", "it ends"]


async def test_the_client_is_told_of_a_commit_that_fails(autojump_clock: trio.testing.MockClock) -> None:
    """The way back is part of the run: what was not done is not told as done."""

    async def session() -> AsyncIterator[None]:
        yield
        raise ActionError("CONFLICT", "somebody was faster", 409)

    async with open_stream(app_with(returns, middleware=[session]), f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        assert (await error_of(client)).code == "CONFLICT"


async def test_what_wraps_can_put_another_error_in_place_of_the_handler_s(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def mapped() -> AsyncIterator[None]:
        try:
            yield
        except LookupError as error:
            raise ActionError("NOT_FOUND", "not there", 404) from error

    async with open_stream(app_with(fails, middleware=[mapped]), f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        assert (await error_of(client)).code == "NOT_FOUND"
    assert caplog.records == []


async def test_an_error_that_is_swallowed_is_told_all_the_same(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def careless() -> AsyncIterator[None]:
        with suppress(LookupError):
            yield

    async with open_stream(app_with(fails, middleware=[careless]), f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        assert (await error_of(client)).code == "STREAM_ERROR"
    assert "LookupError: secret" in caplog.text


async def test_the_way_back_is_bounded_and_the_next_one_has_its_own_time(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()

    async def endless() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await trio.sleep_forever()

    app = app_with(fails, middleware=[log.wrapper("outer"), endless])
    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        began = trio.current_time()
        assert (await error_of(client)).code == "STREAM_ERROR"
    assert trio.current_time() - began == pytest.approx(5.1, abs=0.2)
    assert log == ["outer begins", "outer sees LookupError", "outer ends"]
    assert "endless ran longer than 5.0 seconds and was cancelled" in caplog.text
    assert "LookupError: secret" in caplog.text


async def test_a_nursery_and_a_deadline_may_be_open_around_the_handler(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Trio allows that only where one task runs all of a generator."""
    over = []

    async def background() -> AsyncIterator[dict[str, Any]]:
        async with trio.open_nursery() as nursery:
            yield {"nursery": nursery}
            nursery.cancel_scope.cancel()
        over.append("nursery")

    async def deadline() -> AsyncIterator[None]:
        with trio.fail_after(2):
            yield

    app = QuartTrio(__name__)

    @StreamActions(app).post("/it", middleware=[background, deadline])
    async def it(stream: Stream[Any], ctx: dict[str, Any]) -> None:
        async def beside() -> None:
            await stream.send("beside")
            await trio.sleep_forever()

        ctx["nursery"].start_soon(beside)
        await trio.sleep(1)
        await stream.send("handler")

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.rest() == ["beside", "handler"]
    assert over == ["nursery"]

    slow = app_with(sleeps, middleware=[deadline])
    async with open_stream(slow, f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        assert (await error_of(client)).code == "STREAM_ERROR"


async def test_a_task_of_a_nursery_around_the_handler_that_fails_cancels_the_handler(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def background() -> AsyncIterator[None]:
        async def fail() -> None:
            await trio.sleep(1)
            raise ActionError("UPSTREAM", "no answer", 502)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            yield

    async with open_stream(app_with(sleeps, middleware=[background]), f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
        assert (await error_of(client)).code == "UPSTREAM"


async def test_the_contexts_are_there_on_the_way_in_and_back(autojump_clock: trio.testing.MockClock) -> None:
    seen = []
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    app = QuartTrio(__name__)

    @app.before_request
    async def before() -> None:
        g.user = "ada"

    async def session() -> AsyncIterator[None]:
        token = variable.set("set")
        seen.append((current_app.name, request.path, g.user))
        yield
        seen.append((current_app.name, request.path, g.user))
        variable.reset(token)

    @StreamActions(app).post("/it", middleware=[session])
    async def it(stream: Stream[str]) -> None:
        await stream.send(variable.get())

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.rest() == ["set"]
    assert seen == [(app.name, f"{PREFIX}/it", "ada")] * 2


async def test_the_contexts_are_there_on_the_way_back_where_the_stream_is_never_opened(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And what fails there is logged; only then is the request over."""
    app, seen, is_torn_down = QuartTrio(__name__), [], trio.Event()
    fails = True

    async def wrap() -> AsyncIterator[None]:
        g.session = "open"
        try:
            yield
        finally:
            await trio.sleep(0.1)
            seen.append((current_app.name, request.path, g.session))
            raise ValueError("the rollback failed")

    @StreamActions(app).post("/it", guards=[wrap])
    async def it(stream: Stream[Any]) -> None: ...

    @app.after_request
    async def fail(response: Response) -> Response:
        if fails:
            raise RuntimeError
        return response

    @app.teardown_appcontext
    async def tear_down(_: BaseException | None) -> None:
        if seen:
            is_torn_down.set()

    async with open_stream(app, f"{PREFIX}/it") as client:
        assert client.status == 500
    with trio.fail_after(10):
        await is_torn_down.wait()
    assert seen == [(app.name, f"{PREFIX}/it", "open")]
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info].count("the rollback failed") == 1


async def test_a_client_s_key_that_has_too_many_streams_is_refused_within_what_wraps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = Log()
    app = QuartTrio(__name__)
    actions = StreamActions(app, limits=Limits(streams_per_client=1), client_key=lambda request, ctx: ctx["user"])

    async def who() -> dict[str, str]:
        return {"user": "one"}

    @actions.post("/it", guards=[log.wrapper("session"), who])
    async def it(stream: Stream[Any]) -> None:
        await stream.send("begins")
        await trio.sleep_forever()

    async with open_stream(app, f"{PREFIX}/it") as first:
        await first.next_bytes()
        log.clear()
        async with open_stream(app, f"{PREFIX}/it") as second:
            assert (await error_of(second)).code == "TOO_MANY_STREAMS"
        assert log == ["session begins", "session sees RejectedError", "session ends"]


async def test_a_way_back_that_fails_where_the_client_has_left_before_the_stream_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = QuartTrio(__name__)
    is_reached, is_logged = trio.Event(), trio.Event()

    async def wrap() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise ValueError("the rollback failed")

    async def wait() -> None:
        is_reached.set()
        await trio.sleep_forever()

    @StreamActions(app).post("/it", guards=[wrap, wait])
    async def it(stream: Stream[Any]) -> None: ...

    @app.teardown_appcontext
    async def tear_down(_: BaseException | None) -> None:
        is_logged.set()

    async with trio.open_nursery() as nursery:

        async def call() -> None:
            async with open_stream(app, f"{PREFIX}/it"):
                pass

        nursery.start_soon(call)
        await is_reached.wait()
        nursery.cancel_scope.cancel()
    with trio.fail_after(10):
        await is_logged.wait()
    assert "the rollback failed" in caplog.text


@pytest.mark.parametrize(("count", "error"), [(0, "wrong did not yield"), (2, "wrong yielded twice")])
async def test_a_wrapper_that_does_not_yield_once_is_a_fault_of_the_program(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture, count: int, error: str
) -> None:
    async def wrong() -> AsyncIterator[None]:
        for _ in range(count):
            yield

    async with open_stream(app_with(returns, middleware=[wrong]), f"{PREFIX}/it") as client:
        if count == 0:
            assert client.status == 500
        else:
            assert await client.next_chunk() == 1
            assert (await error_of(client)).code == "STREAM_ERROR"
    assert error in caplog.text


async def test_what_is_yielded_must_be_a_mapping(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong() -> AsyncIterator[int]:
        yield 5

    async with open_stream(app_with(returns, middleware=[wrong]), f"{PREFIX}/it") as client:
        assert client.status == 500
    assert "wrong yielded int: it must yield a mapping or None" in caplog.text


async def test_errors_of_a_handler_that_is_cancelled_are_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        try:
            await sleeps(stream)
        finally:
            raise ValueError("while it was cancelled")

    log = Log()
    async with open_stream(app_with(handler, middleware=[log.wrapper("it")]), f"{PREFIX}/it") as client:
        assert await client.next_chunk() == 1
    assert "while it was cancelled" in caplog.text
    assert log == ["it begins", "it sees ValueError", "it ends"]


async def test_a_handler_that_swallows_its_cancellation_and_returns_is_done(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        try:
            await sleeps(stream)
        except trio.Cancelled:
            return

    async def wrap() -> AsyncIterator[None]:
        yield

    app = app_with(handler, middleware=[wrap], limits=Limits(lifetime_s=1))
    async with open_stream(app, f"{PREFIX}/it") as client:
        assert await client.rest() == [1]


async def test_wrapped_runs_leave_no_task_behind(autojump_clock: trio.testing.MockClock) -> None:
    log = Log()
    apps = [app_with(handler, middleware=[log.wrapper("it")]) for handler in (returns, fails, sleeps)]

    async def tasks() -> int:
        await trio.sleep(10)  # longer than the timer of the streams lingers
        return trio.lowlevel.current_statistics().tasks_living

    before = await tasks()
    for app in apps * 5:
        async with open_stream(app, f"{PREFIX}/it") as client:
            await client.next_chunk()
    assert await tasks() == before


# What exceptions become


async def test_an_http_exception_of_quart_s_is_the_client_s_error(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def only_for_admins() -> None:
        abort(403)

    async def missing(stream: Stream[Any]) -> None:
        await stream.send(request.args["missing"])

    async def described(stream: Stream[Any]) -> None:
        abort(409, "somebody was faster")

    for options, handler, expected in (
        ({"guards": [only_for_admins]}, returns, ("FORBIDDEN", 403)),
        ({"middleware": [only_for_admins]}, returns, ("FORBIDDEN", 403)),
        ({}, missing, ("BAD_REQUEST", 400)),
        ({}, described, ("CONFLICT", 409)),
    ):
        async with open_stream(app_with(handler, **options), f"{PREFIX}/it") as client:
            error = await error_of(client)
            assert (error.code, error.status_code) == expected
    assert error.message == "somebody was faster"
    assert caplog.records == []


async def test_an_exception_with_a_response_of_its_own_is_that_response_before_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def sign_in() -> None:
        abort(cast("Response", redirect("/login")))

    for options in ({"guards": [sign_in]}, {"middleware": [sign_in]}):
        async with open_stream(app_with(returns, **options), f"{PREFIX}/it") as client:
            assert (client.status, client.headers["location"]) == (302, "/login")


async def test_a_server_s_own_http_exception_is_a_server_error(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        abort(500, "a secret")

    async with open_stream(app_with(handler), f"{PREFIX}/it") as client:
        assert (await error_of(client)).code == "STREAM_ERROR"
        assert b"secret" not in client.body
    assert len(caplog.records) == 1


async def test_two_action_errors_at_once_are_the_first(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def upstream() -> None:
        raise ActionError("UPSTREAM", "no answer", 502)

    async def both(*_: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upstream)
            nursery.start_soon(upstream)

    async def as_middleware() -> None:
        await both()

    for options, handler in (({}, both), ({"middleware": [as_middleware]}, returns)):
        async with open_stream(app_with(handler, **options), f"{PREFIX}/it") as client:
            assert (await error_of(client)).code == "UPSTREAM"
    assert caplog.records == []


async def test_an_upstream_s_failure_is_a_warning_with_its_cause(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: Stream[Any]) -> None:
        try:
            raise TimeoutError("upstream is slow")
        except TimeoutError as error:
            raise ActionError("UPSTREAM", "no answer", 502) from error

    async with open_stream(app_with(handler), f"{PREFIX}/it") as client:
        assert (await error_of(client)).code == "UPSTREAM"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "TimeoutError: upstream is slow" in caplog.text


async def test_a_page_of_another_site_leaves_a_line_that_says_how_to_allow_it(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app()
    headers = {"Origin": "http://localhost:5173\x85", "Sec-Fetch-Site": "cross-site"}
    async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}, headers=headers) as client:
        assert (await error_of(client)).code == "CROSS_SITE_REQUEST"
    (record,) = caplog.records
    assert "allow_origins" in record.getMessage()
    assert "http://localhost:5173" in record.getMessage()
    assert "\x85" not in record.getMessage(), "escaped, since it is a stranger's"
