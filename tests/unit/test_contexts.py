"""Contexts of classes that are the app's own: what they hold, and what is done where they end."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from quart import Request, request
from quart.ctx import AppContext, RequestContext
from quart.globals import request_ctx
from quart.signals import appcontext_popped, appcontext_tearing_down, request_tearing_down
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest

from tests.apps import PREFIX
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

    class OwnContext(RequestContext):
        async def pop(self, exc: Any = None) -> None:
            await journal.end(where)
            await super().pop(exc)

    class OwnAppContext(AppContext):
        async def pop(self, exc: Any = None) -> None:
            await journal.end(where)
            await super().pop(exc)

    class App(QuartTrio):
        async def do_teardown_request(self, exc: Any, request_context: Any = None) -> None:
            if where == "do_teardown_request":
                await journal.end(where)
            await super().do_teardown_request(exc, request_context)

        async def do_teardown_appcontext(self, exc: Any) -> None:
            if where == "do_teardown_appcontext":
                await journal.end(where)
            await super().do_teardown_appcontext(exc)

        def request_context(self, request: Request) -> RequestContext:
            return OwnContext(self, request) if where == "context" else super().request_context(request)

        def app_context(self) -> AppContext:
            return OwnAppContext(self) if where == "app context" else super().app_context()

    app = App(__name__) if where.startswith("do_") or "context" in where else QuartTrio(__name__)
    if where == "request":
        app.request_class = OwnRequest
    return app


SIGNALS = {
    "request_tearing_down": request_tearing_down,
    "appcontext_tearing_down": appcontext_tearing_down,
    "appcontext_popped": appcontext_popped,
}


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize(
    "where", ["do_teardown_request", "do_teardown_appcontext", "context", "app context", "request", *SIGNALS]
)
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
        if not leaves:
            await stream.rest()
    assert journal.ended[before:] == [where], "once more, behind the handler"


async def test_a_handler_finds_all_that_a_context_holds(autojump_clock: trio.testing.MockClock) -> None:
    class OwnContext(RequestContext):
        __slots__ = ("tenant",)

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.tenant = "acme"
            vars(self)["user"] = "ann"

        @property
        def user(self) -> Any:
            return vars(self)["user"]

    class App(QuartTrio):
        def request_context(self, request: Request) -> RequestContext:
            return OwnContext(self, request)

    app = App(__name__)
    actions = StreamActions(app)

    @actions.post("/it")
    async def it(stream: Stream[list[str]]) -> None:
        context = request_ctx._get_current_object()  # type: ignore[attr-defined]  # werkzeug's proxy hides it
        await stream.send([context.tenant, context.user, request.path])

    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert await stream.rest() == [["acme", "ann", f"{PREFIX}/it"]]
