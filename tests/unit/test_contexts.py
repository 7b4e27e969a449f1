"""Quart's contexts around a handler: what is torn down and when, and contexts of classes that are the app's own."""

from __future__ import annotations

import gc
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any

import pytest
import quart.ctx
import trio
import trio.testing
from quart import Request, Response, g, request
from quart.ctx import AppContext
from quart.signals import appcontext_popped, appcontext_tearing_down, request_tearing_down
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest

from tests.apps import PREFIX, make_app
from tests.quarts import HOLDS_CONTEXTS, RequestContext, current_request_context
from trio_streamact import Stream, StreamActions
from trio_streamact.testing import open_stream


class Journal:
    """Notes what was ended, each of which takes its time."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def end(self, what: str) -> None:
        await trio.sleep(0.1)
        self.ended.append(what)


def app_with_own(where: str, journal: Journal) -> QuartTrio:
    """Make an app that does something of its own where a request ends."""

    class OwnRequest(TrioRequest):
        async def close(self) -> None:
            await journal.end(where)

    class OwnContext(RequestContext):  # type: ignore[misc]  # one of two classes, see tests.quarts
        async def pop(self, exc: Any = None) -> None:
            await super().pop(exc)
            if not is_pushed(self):
                await journal.end(where)

    class OwnAppContext(AppContext):
        async def pop(self, exc: Any = None) -> None:
            await journal.end(where)
            await super().pop(exc)

    class App(QuartTrio):
        async def do_teardown_request(self, *arguments: Any) -> None:
            if where == "do_teardown_request":
                await journal.end(where)
            await super().do_teardown_request(*arguments)

        async def do_teardown_appcontext(self, *arguments: Any) -> None:
            if where == "do_teardown_appcontext":
                await journal.end(where)
            await super().do_teardown_appcontext(*arguments)

        def request_context(self, request: Request) -> Any:
            if where != "context":
                return super().request_context(request)
            return OwnContext(self, request=request) if HOLDS_CONTEXTS else OwnContext(self, request)

        def app_context(self) -> AppContext:
            return OwnAppContext(self) if where == "app context" else super().app_context()

    app = App(__name__) if where.startswith("do_") or "context" in where else QuartTrio(__name__)
    if where == "request":
        app.request_class = OwnRequest
    return app


def is_pushed(context: Any) -> bool:
    return bool(context._push_count if HOLDS_CONTEXTS else context._cv_tokens)


SIGNALS = {
    "request_tearing_down": request_tearing_down,
    "appcontext_tearing_down": appcontext_tearing_down,
    "appcontext_popped": appcontext_popped,
}
OWN = ["do_teardown_request", "do_teardown_appcontext", "context", "request", *SIGNALS]


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("where", OWN if HOLDS_CONTEXTS else [*OWN, "app context"])
async def test_whatever_ends_with_a_context_runs_to_its_end(
    autojump_clock: trio.testing.MockClock, where: str, leaves: bool
) -> None:
    journal = Journal()
    app = app_with_own(where, journal)
    actions = StreamActions(app)

    async def receive(_: Any, **about: Any) -> None:
        await journal.end(where)

    if where in SIGNALS:
        SIGNALS[where].connect(receive, app)

    @actions.post("/it")
    async def it(stream: Stream[int]) -> None:
        await stream.send(1)
        await trio.sleep(10)

    async with open_stream(app, f"{PREFIX}/it") as stream:
        await stream.next_chunk()
        before = len(journal.ended)
        assert not HOLDS_CONTEXTS or not before, "not after the view"
        if not leaves:
            await stream.rest()
    assert journal.ended[before:] == [where], "after the handler"


async def test_a_handler_finds_all_that_a_context_holds(autojump_clock: trio.testing.MockClock) -> None:
    class OwnContext(RequestContext):  # type: ignore[misc]  # one of two classes, see tests.quarts
        __slots__ = ("tenant",)

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.tenant = "acme"
            self.__dict__["user"] = "ann"

        @property
        def user(self) -> Any:
            return vars(self)["user"]

    class App(QuartTrio):
        def request_context(self, request: Request) -> Any:
            return OwnContext(self, request=request) if HOLDS_CONTEXTS else OwnContext(self, request)

    app = App(__name__)
    actions = StreamActions(app)

    @actions.post("/it")
    async def it(stream: Stream[list[str]]) -> None:
        context = current_request_context()
        await stream.send([context.tenant, context.user, request.path])

    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert await stream.rest() == [["acme", "ann", f"{PREFIX}/it"]]


def count_teardowns(app: QuartTrio) -> list[str]:
    """Note each teardown function that runs, and what it can see."""
    torn_down: list[str] = []

    @app.teardown_request
    async def teardown_request(_: BaseException | None) -> None:
        torn_down.append(f"request {request.path} {g.get('user')}")

    @app.teardown_appcontext
    async def teardown_app(_: BaseException | None) -> None:
        torn_down.append("app")

    return torn_down


ONCE = [f"request {PREFIX}/it None", "app"]


@pytest.mark.parametrize("way", ["after_request", "replaced"])
async def test_teardown_functions_run_once_where_the_stream_never_opens(
    autojump_clock: trio.testing.MockClock, way: str
) -> None:
    """The body is made, and dropped: by an after_request function that fails, or that answers with something else."""
    app = QuartTrio(__name__)
    torn_down = count_teardowns(app)
    actions = StreamActions(app)

    @app.after_request
    async def after(response: Response) -> Response:
        if way == "replaced":
            return Response("instead")
        if response.mimetype == "text/event-stream":
            raise RuntimeError("this function fails")
        return response

    @actions.post("/it")
    async def it(stream: Stream[int]) -> None:
        await stream.send(1)

    async with open_stream(app, f"{PREFIX}/it") as stream:
        body = await stream.next_bytes()
        assert b"data: " not in body
    gc.collect()
    await trio.sleep(1)
    assert torn_down == ONCE


async def test_teardown_functions_run_once_where_the_client_leaves_before_the_head(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = QuartTrio(__name__)
    torn_down = count_teardowns(app)
    actions = StreamActions(app)
    gone = trio.Event()

    @actions.post("/it")
    async def it(stream: Stream[int]) -> None:
        await stream.send(1)

    async def receive() -> Any:
        if not gone.is_set():
            gone.set()
        else:
            await trio.sleep_forever()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        raise OSError("the connection is gone")

    scope: Any = {
        "type": "http", "asgi": {}, "http_version": "1.1", "method": "POST", "scheme": "http", "root_path": "",
        "path": f"{PREFIX}/it", "raw_path": b"", "query_string": b"", "headers": [], "client": None, "server": None,
    }  # fmt: skip
    with suppress(BaseExceptionGroup):  # what older releases of Quart let out
        await app(scope, receive, send)
    gc.collect()
    await trio.sleep(1)
    assert torn_down == ONCE if HOLDS_CONTEXTS else torn_down[: len(ONCE)] == ONCE


@pytest.mark.skipif(not HOLDS_CONTEXTS, reason="older releases tear down after the view, too")
@pytest.mark.parametrize("leaves", [False, True])
async def test_teardown_functions_run_once_after_the_handler(
    autojump_clock: trio.testing.MockClock, leaves: bool
) -> None:
    app, _ = make_app()
    torn_down = count_teardowns(app)
    path, prompt = ("/ticks", None) if leaves else ("/words", {"prompt": "a"})
    async with open_stream(app, PREFIX + path, json=prompt) as stream:
        await stream.next_chunk()
        assert not leaves or torn_down == [], "not while the handler runs"
        if not leaves:
            await stream.rest()
    assert torn_down == [f"request {PREFIX}{path} None", "app"]


async def test_a_variable_that_the_view_has_set_can_be_reset_in_the_handler(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The handler may run in a task of its own; its ``contextvars.Context`` is the request's all the same."""
    app = QuartTrio(__name__)
    actions = StreamActions(app)
    user: ContextVar[str] = ContextVar("user", default="nobody")
    tokens: list[Token[str]] = []

    async def sign_in() -> dict[str, Any]:
        tokens.append(user.set("ada"))
        return {}

    @actions.post("/it", middleware=[sign_in])
    async def it(stream: Stream[str]) -> None:
        await stream.send(user.get())
        user.reset(tokens.pop())
        await stream.send(user.get())

    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert await stream.rest() == ["ada", "nobody"]


def test_the_two_kinds_of_contexts_are_told_apart_by_what_quart_has() -> None:
    assert hasattr(quart.ctx, "RequestContext") is not HOLDS_CONTEXTS
