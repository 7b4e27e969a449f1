"""Quart-CORS: what pages of other sites may read. Which of them may start actions, ``allow_origins`` says."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import httpx2
import pytest
from quart_cors import cors, route_cors
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from tests.servers import serving
from trio_streamact import Stream, StreamActions, define_stream_action

PAGE = "https://page.example"
STRANGER = "https://stranger.example"
WORDS = {"prompt": "a b"}
ALLOW_ORIGIN = "access-control-allow-origin"
IS_QUART_0_23 = version("quart").startswith("0.23.")


def cors_app(**options: Any) -> QuartTrio:
    app, _ = make_app(**options)
    return cors(app, allow_origin=[PAGE], allow_credentials=True, expose_headers=["x-accel-buffering"], max_age=60)


async def ask(app: QuartTrio, path: str, method: str = "POST", **headers: str) -> httpx2.Response:
    async with serving(app) as server, httpx2.AsyncClient(base_url=server.url) as http:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http.request(method, path, headers=fields, json=WORDS if method == "POST" else None)


async def test_a_stream_has_the_headers_of_cors() -> None:
    response = await ask(cors_app(allow_origins=[PAGE]), f"{PREFIX}/words", Origin=PAGE)
    assert response.headers[ALLOW_ORIGIN] == PAGE
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-expose-headers"] == "x-accel-buffering"
    assert "Origin" in response.headers["vary"]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.count("data: ") == 3
    assert "__actions_done" in response.text


async def test_what_refuses_a_stream_has_them_too() -> None:
    """Or the page could not read why."""
    response = await ask(cors_app(allow_origins=[PAGE]), f"{PREFIX}/private", Origin=PAGE)
    assert "UNAUTHORIZED" in response.text
    assert response.headers[ALLOW_ORIGIN] == PAGE


async def test_a_preflight_is_answered_for_an_action() -> None:
    response = await ask(
        cors_app(allow_origins=[PAGE]),
        f"{PREFIX}/words",
        "OPTIONS",
        Origin=PAGE,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type",
    )
    assert response.status_code == 200
    assert response.headers[ALLOW_ORIGIN] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"].lower() == "content-type"
    assert response.headers["access-control-max-age"] == "60"
    assert response.content == b""


async def test_cors_alone_lets_no_page_start_an_action() -> None:
    """A page of another site may send a POST without a preflight: that it cannot read the answer undoes nothing."""
    response = await ask(cors_app(), f"{PREFIX}/words", Origin=PAGE, Sec_Fetch_Site="cross-site")
    assert "CROSS_SITE_REQUEST" in response.text
    assert response.headers[ALLOW_ORIGIN] == PAGE


async def test_a_stranger_gets_neither() -> None:
    response = await ask(
        cors_app(allow_origins=[PAGE]), f"{PREFIX}/words", Origin=STRANGER, Sec_Fetch_Site="cross-site"
    )
    assert "CROSS_SITE_REQUEST" in response.text
    assert ALLOW_ORIGIN not in response.headers


def decorated_app() -> QuartTrio:
    app = QuartTrio(__name__)
    StreamActions(app)

    @define_stream_action
    async def words(stream: Stream[str]) -> None:
        await stream.send("a")

    app.get("/words")(route_cors(allow_origin=[PAGE])(words))
    return app


async def test_a_single_action_may_have_cors_by_its_decorator() -> None:
    response = await ask(decorated_app(), "/words", "GET", Origin=PAGE)
    assert response.text == 'data: "a"\n\ndata: {"__actions_done":true}\n\n'
    assert response.headers[ALLOW_ORIGIN] == PAGE


@pytest.mark.xfail(IS_QUART_0_23, reason="Quart-CORS 0.8 asks Quart 0.23 for the answer without its context")
async def test_a_preflight_is_answered_for_a_decorated_action() -> None:
    preflight = await ask(decorated_app(), "/words", "OPTIONS", Origin=PAGE, Access_Control_Request_Method="GET")
    assert preflight.headers[ALLOW_ORIGIN] == PAGE
    assert "GET" in preflight.headers["access-control-allow-methods"]
