"""An app that is called in-process, within a request: it never has the connection of that request."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
import trio
from quart import request
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from tests.http2 import http2
from tests.servers import call, serving
from trio_streamact import Stream, StreamActions
from trio_streamact._hypercorn.exchange import SCOPE_KEY

WORDS = b'data: {"text":"a"}\n\ndata: {"text":"b"}\n\ndata: {"__actions_done":true}\n\n'


def make_inner() -> QuartTrio:
    """An app that says whether it sees a connection."""
    inner, _ = make_app()

    @inner.route("/connection", methods=["GET", "POST"])
    async def connection() -> str:
        await request.get_data()  # httpx2 leaves a generator behind that is not read to its end
        exchange: Any = request.scope["extensions"][SCOPE_KEY]
        return "one" if exchange.connection.is_known else "none"

    return inner


async def by_client(inner: Any, path: str, **options: Any) -> bytes:
    """Call *inner* with httpx2's transport for ASGI."""
    transport = httpx2.ASGITransport(app=inner)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        return (await http.post(path, **options)).content


async def by_copied_scope(inner: Any, path: str, **options: Any) -> bytes:
    """Call *inner* with the scope of the current request, but for the path."""
    body: list[bytes] = []
    sent = [{"type": "http.request", "body": options.get("content", b""), "more_body": False}]

    async def receive() -> Any:
        if not sent:
            await trio.sleep_forever()
        return sent.pop()

    async def send(message: Any) -> None:
        body.append(message.get("body", b""))

    await inner({**request.scope, "path": path}, receive, send)
    return b"".join(body)


def bare(app: Any) -> Any:
    return app


def buffered(app: Any) -> Any:
    """Sends nothing until the app is over, so that the server knows of no response meanwhile."""

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await app(scope, receive, keep)
        for message in messages:
            await send(message)

    return outside


@pytest.mark.parametrize("call_inner", [by_client, by_copied_scope])
@pytest.mark.parametrize("multiplexed", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("wrap", [bare, buffered])
async def test_a_handler_may_call_an_app_with_streams(
    wrap: Callable[[Any], Any],
    call_inner: Callable[..., Awaitable[bytes]],
    multiplexed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = make_inner()
    outer, _ = make_app()
    actions = StreamActions(outer, url_prefix="")
    answers = []

    @actions.post("/calls")
    async def calls(stream: Stream[str]) -> None:
        await stream.send("before")
        answers.append(await call_inner(inner, "/connection"))
        headers = {"Content-Type": "application/json"}
        answers.append(await call_inner(inner, f"{PREFIX}/words", content=b'{"prompt":"a b"}', headers=headers))
        await stream.send("after")

    async with serving(wrap(outer)) as server:
        if multiplexed:
            async with http2(server) as client:
                # The length is the inner request's too, where the scope is copied.
                body = await client.until_ended(await client.request("/calls", body=b'{"prompt":"a b"}'))
        else:
            body = await call(server, "/calls", body=b'{"prompt":"a b"}')
    assert answers == [b"none", WORDS]
    assert body == b'data: "before"\n\ndata: "after"\n\ndata: {"__actions_done":true}\n\n'
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_view_may_call_an_app_with_streams_before_it_answers() -> None:
    inner = make_inner()
    outer, _ = make_app()

    @outer.post("/calls")
    async def calls() -> bytes:
        return await by_client(inner, "/connection") + b" " + await by_client(inner, "/connection")

    async with serving(outer) as server:
        assert await call(server, "/calls") == b"none none"


async def test_middleware_outside_may_call_an_app_with_streams_before_the_app() -> None:
    inner = make_inner()
    outer = make_inner()
    answers = []

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            answers.append(await by_client(inner, scope["path"], headers=scope["headers"]))
        await outer(scope, receive, send)

    async with serving(middleware) as server:
        assert await call(server, "/connection") == b"one"
    assert answers == [b"none"]


async def test_a_request_whose_connection_is_not_found_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    inner = make_inner()

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        """No middleware, but an app of its own."""
        if scope["type"] == "http":
            await by_client(inner, scope["path"])
            await by_client(inner, scope["path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await inner(scope, receive, send)

    async with serving(gateway) as server:
        await call(server, "/connection")
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "/connection" in warnings[0]
