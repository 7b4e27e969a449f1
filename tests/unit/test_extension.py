"""The Quart extension: registering, defaults, and what it asks of an app."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing
from quart import Quart
from quart_trio import QuartTrio

from tests.apps import PREFIX, Prompt
from trio_streamact import ActionError, Limits, Stream, StreamActions, define_stream_action
from trio_streamact.testing import open_stream


async def test_actions_can_be_registered_before_there_is_an_app(autojump_clock: trio.testing.MockClock) -> None:
    actions = StreamActions()

    @actions.post("/before")
    async def before(stream: Stream[str]) -> None:
        await stream.send("before")

    for _ in range(2):  # and for several apps
        app = QuartTrio(__name__)
        actions.init_app(app)
        async with open_stream(app, f"{PREFIX}/before") as stream:
            assert await stream.rest() == ["before"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_each_method_has_its_decorator(autojump_clock: trio.testing.MockClock, method: str) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @getattr(actions, method.lower())("/it")  # type: ignore[untyped-decorator]
    async def it(request: Any, stream: Stream[str]) -> None:
        await stream.send(request.method)

    async with open_stream(app, f"{PREFIX}/it", method=method) as stream:
        assert await stream.rest() == [method]
    other = "GET" if method == "POST" else "POST"
    async with open_stream(app, f"{PREFIX}/it", method=other) as stream:
        assert stream.status == 405


async def test_one_handler_can_stand_at_several_paths(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix="/x/")

    @define_stream_action
    async def it(request: Any, stream: Stream[str]) -> None:
        await stream.send(request.path)

    for path in ("/a", "/b", "/c"):
        actions.post(path)(it)
    for path in ("/a", "/b", "/c"):
        async with open_stream(app, f"/x{path}") as stream:
            assert await stream.rest() == [f"/x{path}"]


async def test_an_action_s_own_options_win_over_the_app_s(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(
        app,
        limits=Limits(lifetime_s=1),
        dialect="named",
        handle_server_error=lambda error: ActionError("APP", "app"),
    )

    async def fail(stream: Stream[Any]) -> None:
        await trio.sleep(2)
        raise LookupError

    actions.post("/app")(fail)
    actions.post(
        "/own", limits=Limits(), dialect="marked", handle_server_error=lambda error: ActionError("OWN", "own")
    )(fail)
    for path, frame in (
        ("/app", b'event: error\ndata: {"code":"TIMEOUT_ERROR"'),
        ("/own", b'data: {"__actions_error":{"code":"OWN"'),
    ):
        async with open_stream(app, PREFIX + path) as stream:
            with pytest.raises(ActionError):
                await stream.rest()
            assert stream.body.startswith(frame)


def test_the_limits_of_the_app_hold_for_views_that_were_made_without_it() -> None:
    limits = Limits(buffer_chunks=7)
    actions = StreamActions(limits=limits)

    @define_stream_action
    async def it(stream: Stream[Any]) -> None: ...

    actions.post("/it")(it)
    assert [route.limits for route in actions._routes] == [limits]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: StreamActions(Quart(__name__)), TypeError),  # type: ignore[arg-type]
        (lambda: StreamActions(url_prefix="x"), ValueError),
        (lambda: StreamActions(limits=5), TypeError),  # type: ignore[arg-type]
        (lambda: StreamActions(dialect="loud"), ValueError),  # type: ignore[arg-type]
        (lambda: StreamActions().post("x"), ValueError),
        (lambda: StreamActions().route("/x", methods="POST"), TypeError),
        (lambda: StreamActions().route("/x", methods=[]), ValueError),
    ],
)
def test_what_cannot_work_is_refused_at_once(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_options_beside_a_finished_view_are_refused() -> None:
    @define_stream_action
    async def it(stream: Stream[Any]) -> None: ...

    with pytest.raises(TypeError, match="limits"):
        StreamActions().post("/it", limits=Limits())(it)


async def test_two_extensions_can_share_an_app(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    wrapped_once = None
    for prefix in ("/one", "/two"):
        actions = StreamActions(app, url_prefix=prefix)
        wrapped_once = wrapped_once or app.asgi_app
        assert app.asgi_app is wrapped_once

        @actions.post("/it")
        async def it(input: Prompt, stream: Stream[str]) -> None:
            await stream.send(input.prompt)

    for prefix in ("/one", "/two"):
        async with open_stream(app, f"{prefix}/it", json={"prompt": "hi"}) as stream:
            assert await stream.rest() == ["hi"]


def test_an_app_that_is_given_twice_is_served_once() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/it")
    async def it(stream: Stream[Any]) -> None: ...

    rules = len(list(app.url_map.iter_rules()))
    actions.init_app(app)
    assert len(list(app.url_map.iter_rules())) == rules
