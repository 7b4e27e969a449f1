"""Quart-Auth's ``login_required`` guards an action in whatever order it is written, or is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio.testing
from quart import Quart, redirect, request
from quart_auth import AuthUser, QuartAuth, Unauthorized, login_required, login_user
from quart_trio import QuartTrio

from tests.apps import PREFIX
from trio_streamact import ActionError, Stream, StreamActions, define_stream_action
from trio_streamact.testing import StreamClient, open_stream


async def secret(stream: Stream[str]) -> None:
    await stream.send("the secret")


def around_the_view(app: QuartTrio, actions: StreamActions) -> None:
    actions.post("/secret")(login_required(define_stream_action(secret)))


def on_the_handler(app: QuartTrio, actions: StreamActions) -> None:
    actions.post("/secret")(login_required(secret))


def on_the_handler_of_a_view(app: QuartTrio, actions: StreamActions) -> None:
    actions.post("/secret")(define_stream_action(login_required(secret)))


def by_app_post(app: QuartTrio, actions: StreamActions) -> None:
    app.post(f"{PREFIX}/secret")(login_required(define_stream_action(secret)))


def twice(app: QuartTrio, actions: StreamActions) -> None:
    actions.post("/secret")(login_required(define_stream_action(login_required(secret))))


def as_a_guard(app: QuartTrio, actions: StreamActions) -> None:
    @login_required
    async def signed_in() -> None: ...

    actions.post("/secret", guards=[signed_in])(secret)


ORDERS = [around_the_view, on_the_handler, on_the_handler_of_a_view, by_app_post, twice, as_a_guard]


def guarded_app(register: Callable[[QuartTrio, StreamActions], None], mode: str = "bearer") -> QuartTrio:
    app = QuartTrio(__name__)
    app.secret_key = "for the tests"
    app.config.update(QUART_AUTH_MODE=mode, QUART_AUTH_COOKIE_SECURE=False)
    auth = QuartAuth(app)
    app.config["TOKEN"] = auth.dump_token("ada", app=app)
    register(app, StreamActions(app))
    return app


async def read(client: StreamClient) -> list[Any] | int:
    """Return what is streamed, or the status of the refusal, in the response's head or in its error frame."""
    if client.status != 200:
        return client.status
    try:
        return await client.rest()
    except ActionError as error:
        return 401 if (error.code, error.status_code) == ("UNAUTHORIZED", 401) else 0


@pytest.mark.parametrize("register", ORDERS)
async def test_a_stranger_reads_nothing_and_a_user_reads_all(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    register: Callable[[QuartTrio, StreamActions], None],
) -> None:
    app = guarded_app(register)

    async with open_stream(app, f"{PREFIX}/secret") as client:
        assert await read(client) == 401
        assert b"the secret" not in client.body
    assert caplog.records == [], "it is no failure of the server's"

    headers = {"Authorization": f"Bearer {app.config['TOKEN']}"}
    async with open_stream(app, f"{PREFIX}/secret", headers=headers) as client:
        assert await read(client) == ["the secret"]


def test_above_the_registration_it_would_guard_nothing_and_is_refused() -> None:
    app = QuartTrio(__name__)
    registered = StreamActions(app).post("/secret")(secret)
    with pytest.raises(TypeError, match=f"login_required.* above .* POST {PREFIX}/secret, where it would never run"):
        login_required(registered)


async def test_an_error_handler_of_the_app_s_answers_what_a_view_s_decorator_refuses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = guarded_app(around_the_view)

    @app.errorhandler(Unauthorized)
    async def to_login(_: Exception) -> Any:
        return redirect("/login")

    async with open_stream(app, f"{PREFIX}/secret") as client:
        assert (client.status, client.headers["location"]) == (302, "/login")


async def test_a_user_who_signs_in_by_a_plain_route_is_known_to_a_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = guarded_app(on_the_handler, mode="cookie")

    @app.post("/login")
    async def login() -> str:
        login_user(AuthUser(request.args["user"]))
        return "welcome"

    plain: Quart = app
    response = await plain.test_client().post("/login?user=ada")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    async with open_stream(app, f"{PREFIX}/secret", headers={"Cookie": cookie}) as client:
        assert await read(client) == ["the secret"]
