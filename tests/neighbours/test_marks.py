"""Decorators that only mark a function: quart-rate-limiter and quart-schema find their marks wherever they were put."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from quart import Blueprint
from quart_rate_limiter import RateLimiter, rate_limit
from quart_schema import QuartSchema, hide, tag
from quart_trio import QuartTrio

from tests.apps import PREFIX
from trio_streamact import Stream, StreamActions, define_stream_action
from trio_streamact.testing import open_stream

Mark = Callable[[Any], Any]


def handler() -> Any:
    async def words(stream: Stream[str]) -> None:
        """Send a word."""
        await stream.send("word")

    return words


def on_the_handler(app: QuartTrio, actions: StreamActions, mark: Mark) -> None:
    actions.post("/it")(mark(handler()))


def on_the_view(app: QuartTrio, actions: StreamActions, mark: Mark) -> None:
    actions.post("/it")(mark(define_stream_action(handler())))


def on_what_is_registered(app: QuartTrio, actions: StreamActions, mark: Mark) -> None:
    mark(actions.post("/it")(handler()))


def by_app_post(app: QuartTrio, actions: StreamActions, mark: Mark) -> None:
    app.post(f"{PREFIX}/it")(define_stream_action(mark(handler())))


def on_a_blueprint(app: QuartTrio, actions: StreamActions, mark: Mark) -> None:
    blueprint = Blueprint("it", __name__)
    blueprint.post("/it")(mark(define_stream_action(handler())))
    app.register_blueprint(blueprint, url_prefix=PREFIX)


PLACES = [on_the_handler, on_the_view, on_what_is_registered, by_app_post, on_a_blueprint]


@pytest.mark.parametrize("place", PLACES)
async def test_a_rate_limit_limits(place: Callable[..., None]) -> None:
    app = QuartTrio(__name__)
    RateLimiter(app)
    place(app, StreamActions(app), rate_limit(1, timedelta(minutes=1)))

    async with app.test_app():
        async with open_stream(app, f"{PREFIX}/it") as stream:
            assert await stream.rest() == ["word"]
        async with open_stream(app, f"{PREFIX}/it") as stream:
            assert stream.status == 429


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_hidden_is_in_no_document_and_what_has_tags_shows_them(place: Callable[..., None]) -> None:
    documents = {}
    for name, mark in {"hidden": hide, "tagged": tag(["chat"])}.items():
        app = QuartTrio(__name__)
        QuartSchema(app)
        place(app, StreamActions(app), mark)
        response = await app.test_client().get("/openapi.json")
        documents[name] = await response.get_json()

    assert f"{PREFIX}/it" not in documents["hidden"]["paths"]
    assert documents["tagged"]["paths"][f"{PREFIX}/it"]["post"]["tags"] == ["chat"]
    assert documents["tagged"]["paths"][f"{PREFIX}/it"]["post"]["summary"] == "Send a word."
