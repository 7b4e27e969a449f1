"""The pages of ``tests/clients`` in front of actions that tell how their handlers fared, in a thread of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import attrs
import trio
from playwright.sync_api import Page
from quart import Response, request, send_file, send_from_directory
from quart_trio import QuartTrio

from tests.apps import DEFAULTS, PREFIX, Journal, Prompt, Token, make_app
from tests.nodejs import react_module, vue_module
from tests.servers import DEADLINE_S, Server, serving
from trio_streamact import Limits, Stream
from trio_streamact.extension import all_of

MODULES: dict[str, Callable[[], Path]] = {
    "vue.js": vue_module,
    "vue-3.3.js": partial(vue_module, "vue-3.3"),
    "react.js": react_module,
    "react-18.js": partial(react_module, "react-18", "react-dom-18"),
}
"""The newest of each, and the oldest that our client is for."""
PAGES = Path(__file__).parent / "clients"
PACE_S = 0.05
T = TypeVar("T")

STREAM = {"Content-Type": "text/event-stream"}
ODD: dict[str, tuple[bytes, int, dict[str, str]]] = {
    "cut-off": (b"data: 1\n\n", 200, STREAM),
    "malformed": (b"data: {\n\n", 200, STREAM),
    "named": (b"data: 1\n\nevent: done\ndata: {}\n\n", 200, STREAM),
    "named-error": (
        b'event: error\ndata: {"code":"NO","message":"No","statusCode":418,"retryAfter":2}\n\n',
        200,
        STREAM,
    ),
    "teapot": (b"no", 418, {}),
}
"""Answers that no action of ours gives, each at ``/odd/<name>``."""


@attrs.define(eq=False)
class Site:
    """A running site."""

    server: Server
    journal: Journal
    token: trio.lowlevel.TrioToken
    closing: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        return self.server.url

    def wait(self, wait: Callable[..., Awaitable[T]], *args: Any, **named: Any) -> T:
        """Wait for something within the server's thread."""
        return trio.from_thread.run(partial(wait, *args, **named), trio_token=self.token)


def make_site(limits: Limits = DEFAULTS) -> tuple[QuartTrio, Journal]:
    """Make the app of ``tests.apps``, with the pages and with what only they ask for."""
    app, journal = make_app(limits)
    [actions] = all_of(app)

    @actions.post("/paced")
    async def paced(input: Prompt, stream: Stream[Token]) -> None:
        """Say the words of a prompt, slowly."""
        with journal:
            for word in input.prompt.split():
                await stream.send(Token(word))
                await trio.sleep(PACE_S)

    words, said = trio.open_memory_channel[str](100)

    @actions.post("/told")
    async def told(stream: Stream[Token]) -> None:
        """Say each word when it is told to, and not before."""
        with journal:
            while (word := await said.receive()) != "end":
                await stream.send(Token(word))

    @app.post("/say/<word>")
    async def say(word: str) -> str:
        words.send_nowait(word)
        return word

    @actions.route("/items/<int:number>", methods=["GET", "POST"])
    async def item(input: dict[str, Any], stream: Stream[dict[str, Any]]) -> None:
        with journal:
            await stream.send(input)

    @actions.post("/who")
    async def who(stream: Stream[str | None]) -> None:
        with journal:
            await stream.send(request.headers.get("X-Who"))

    @app.post("/silent")
    async def silent() -> Response:
        with journal:
            await trio.sleep_forever()

    @app.post("/odd/<name>")
    async def odd(name: str) -> Response:
        return Response(*ODD[name])

    @app.post("/moved")
    async def moved() -> Response:
        return Response(b"", int(request.args["status"]), {"Location": request.args["to"]})

    @app.get("/pages/<path:name>")
    async def page(name: str) -> Response:
        return await send_from_directory(PAGES, name)

    @app.get("/modules/<name>")
    async def module(name: str) -> Response:
        return await send_file(MODULES[name]())

    return app, journal


@contextmanager
def open_site(limits: Limits = DEFAULTS) -> Iterator[Site]:
    """Serve the site from a thread, for as long as the block lasts."""
    app, journal = make_site(limits)
    up: SimpleQueue[Site] = SimpleQueue()

    async def serve() -> None:
        async with serving(app) as server:
            site = Site(server, journal, trio.lowlevel.current_trio_token())
            up.put(site)
            await site.closing.wait()

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(trio.run, serve)
        site = up.get(timeout=DEADLINE_S)
        try:
            yield site
        finally:
            trio.from_thread.run_sync(site.closing.set, trio_token=site.token)
            served.result(DEADLINE_S)


def create_app() -> QuartTrio:
    """Make the site for a process of its own."""
    return make_site()[0]


@contextmanager
def site_process() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve the site from a process of its own, which may be killed; gives its address, too."""
    command = [
        sys.executable,
        "-m",
        "hypercorn",
        "-k",
        "trio",
        "-w",
        "0",
        "-b",
        "127.0.0.1:0",
        "tests.pages:create_app()",
    ]
    with subprocess.Popen(command, cwd=PAGES.parent.parent, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            running = re.search(r"Running on (http://\S+)", said)
            assert running is not None, said
            yield running[1], process
        finally:
            process.kill()


def go_to_client(page: Page, url: str, client: str) -> None:
    """Open the page with *client*, one of ``tests/clients``, from the site at *url*."""
    page.goto(f"{url}/pages/page.html?client={client}")
    page.locator("body[data-ready]").wait_for(state="attached")


def reload(page: Page) -> None:
    """Open the same page anew."""
    page.reload()
    page.locator("body[data-ready]").wait_for(state="attached")


def mount(page: Page, action: str, options: str = "{}") -> None:
    """Put a client of *action*, the path of one of the site's or a whole one, on the page; *options* in JavaScript."""
    path = action if action.startswith(("/", "http")) else f"{PREFIX}/{action}"
    page.evaluate(f"client.mount({path!r}, told({options}))")


def run(page: Page, script: str) -> Any:
    """Run *script*, the body of an async function of JavaScript, and give what it returns."""
    return page.evaluate(f"within(async () => {{ {script} }})")


def execute(page: Page, input: str = "") -> None:
    """Call ``execute`` with *input*, in JavaScript, and wait until the run is over."""
    run(page, f"await client.execute({input})")


def begin(page: Page, input: str = "") -> None:
    """Call ``execute`` with *input*, in JavaScript, and do not wait."""
    page.evaluate(f"void client.execute({input})")


def look(page: Page) -> dict[str, Any]:
    """What stands on the page."""
    state: dict[str, Any] = page.evaluate("look()")
    return state
