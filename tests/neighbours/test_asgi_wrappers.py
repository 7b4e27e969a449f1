"""ASGI middleware outside the app: all that a stream needs of its connection holds behind it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypercorn.middleware import ProxyFixMiddleware
from hypercorn.middleware.dispatcher import TrioDispatcherMiddleware
from hypercorn.protocol.http_stream import HTTPStream
from quart import Quart

from tests.apps import PREFIX, make_app
from tests.neighbours.promises import ON_EACH_PROTOCOL, ON_ONE, Wrap
from tests.neighbours.protocols import Http, on_each_protocol, reading
from tests.neighbours.wrappers import closure, from_a_task, with_scope
from tests.servers import call, serving


def bare_scope(scope: Any) -> Any:
    """A scope built name by name, as ASGI has them."""
    names = ("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path")
    return {name: scope[name] for name in (*names, "headers", "client", "server")}


WRAPPERS: dict[str, Wrap] = {
    "nothing": lambda app: app,
    "closure": closure,
    "deep copy": with_scope(copy.deepcopy),
    "no extensions": with_scope(lambda scope: {**scope, "extensions": {}}),
    "new scope": with_scope(bare_scope),
    "task": from_a_task(0),
    "proxy fix": ProxyFixMiddleware,
    "dispatcher": lambda app: TrioDispatcherMiddleware({"/unused": app, "": app}),
    "all at once": lambda app: ProxyFixMiddleware(
        closure(TrioDispatcherMiddleware({"": from_a_task(0)(with_scope(copy.deepcopy)(app))}))
    ),
}
behind_each_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())


@on_each_protocol
@behind_each_wrapper
@pytest.mark.parametrize("promise", ON_EACH_PROTOCOL, ids=lambda promise: promise.__name__)
async def test_behind_a_wrapper(
    promise: Callable[[Wrap, Http, dict[str, str]], Awaitable[None]], wrap: Wrap, http: Http, tls: dict[str, str]
) -> None:
    await promise(wrap, http, tls)


@behind_each_wrapper
@pytest.mark.parametrize("promise", ON_ONE, ids=lambda promise: promise.__name__)
async def test_behind_a_wrapper_too(promise: Callable[[Wrap], Awaitable[None]], wrap: Wrap) -> None:
    await promise(wrap)


# What is patched, and not wrapped: no app and no middleware is to be seen then.


def patch_send(owner: Any, name: str, seen: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the method *name* of *owner*, an ASGI app, show what it sends; as an agent does, with the names kept."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def patched(self: Any, scope: Any, receive: Any, send: Any) -> None:
        async def traced_send(message: Any) -> None:
            seen.append(message.get("body", b""))
            await send(message)

        await original(self, scope, receive, traced_send)

    monkeypatch.setattr(owner, name, patched)


@on_each_protocol
@pytest.mark.parametrize("promise", ON_EACH_PROTOCOL, ids=lambda promise: promise.__name__)
async def test_behind_a_patched_quart(
    promise: Callable[[Wrap, Http, dict[str, str]], Awaitable[None]],
    http: Http,
    tls: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patch_send(Quart, "__call__", [], monkeypatch)
    await promise(lambda app: app, http, tls)


@pytest.mark.parametrize("promise", ON_ONE, ids=lambda promise: promise.__name__)
async def test_behind_a_patched_quart_too(
    promise: Callable[[Wrap], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_send(Quart, "__call__", [], monkeypatch)
    await promise(lambda app: app)


@pytest.mark.parametrize("patched", ["Quart.__call__", "Quart.asgi_app", "HTTPStream.app_send"])
async def test_who_patches_sees_every_byte(patched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that is written to the socket at once passes nobody by."""
    seen: list[bytes] = []
    if patched == "HTTPStream.app_send":
        original = HTTPStream.app_send

        @functools.wraps(original)
        async def traced(self: HTTPStream, message: Any) -> None:
            seen.append((message or {}).get("body", b""))
            await original(self, message)

        monkeypatch.setattr(HTTPStream, "app_send", traced)
    else:
        patch_send(Quart, patched.removeprefix("Quart."), seen, monkeypatch)
    app, _ = make_app()
    async with serving(app) as server:
        async with reading(server, "http1", f"{PREFIX}/ticks") as reader:
            await reader.until(b"data: 5\n\n")
        assert b"data: 5\n\n" in b"".join(seen)
        seen.clear()
        body = await call(server, f"{PREFIX}/words", body=b'{"prompt":"a b"}')
        assert b"".join(seen) == body
