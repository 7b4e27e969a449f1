"""The browser client and the references to an app's actions, as the app serves them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
from quart import Response
from quart_trio import QuartTrio

from tests.apps import PREFIX, Prompt, Token, make_app
from tests.browsers import DESK, open_browser, open_page
from tests.nodejs import node
from tests.servers import Server, serving
from trio_streamact import Stream, StreamActions, define_stream_action
from trio_streamact.extension import all_of

FILES = {
    "actions.js": "text/javascript; charset=utf-8",
    "streamact.js": "text/javascript; charset=utf-8",
    "vue.js": "text/javascript; charset=utf-8",
    "react.js": "text/javascript; charset=utf-8",
    "actions.d.ts": "text/plain; charset=utf-8",
    "streamact.d.ts": "text/plain; charset=utf-8",
    "vue.d.ts": "text/plain; charset=utf-8",
    "react.d.ts": "text/plain; charset=utf-8",
}


@asynccontextmanager
async def client_of(app: QuartTrio, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(app, **settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client


@pytest.mark.parametrize(("name", "content_type"), FILES.items())
async def test_each_file_is_served_as_what_it_is(name: str, content_type: str) -> None:
    async with client_of(make_app()[0]) as client:
        found = await client.get(f"{PREFIX}/_client/{name}")
        head = await client.head(f"{PREFIX}/_client/{name}")

    assert found.status_code == head.status_code == 200
    assert found.headers["Content-Type"] == content_type
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Cache-Control"] == "no-cache"
    assert found.text
    assert head.content == b""
    for header in ("Content-Type", "Content-Length", "ETag"):
        assert head.headers[header] == found.headers[header]


@pytest.mark.parametrize("name", FILES)
async def test_a_copy_that_still_holds_is_not_sent_again(name: str) -> None:
    async with client_of(make_app()[0]) as client:
        etag = (await client.get(f"{PREFIX}/_client/{name}")).headers["ETag"]
        assert etag.startswith('"')
        for held in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await client.get(f"{PREFIX}/_client/{name}", headers={"If-None-Match": held})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == etag
            assert again.headers["Content-Type"] == FILES[name]
            assert again.headers["Cache-Control"] == "no-cache"
        stale = await client.get(f"{PREFIX}/_client/{name}", headers={"If-None-Match": '"other"'})
        assert stale.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/other.js", "/__init__.py", "/../extension.py", "/..%2fextension.py", "/%2e%2e/extension.py"),
        *("/..%5cextension.py", "//etc/passwd", "/%2fetc%2fpasswd", "/actions.js/", "/actions.js%00", "/Actions.js"),
    ],
)
async def test_there_is_nothing_else(path: str) -> None:
    app, _ = make_app()
    async with serving(app) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/_client{path}", method="GET", headers={"Connection": "close"})
        assert (await client.read_all()).startswith(b"HTTP/1.1 404")


async def test_it_is_only_to_be_read() -> None:
    async with client_of(make_app()[0]) as client:
        assert (await client.post(f"{PREFIX}/_client/actions.js")).status_code == 405


@pytest.mark.parametrize(("url_prefix", "path"), [("", ""), ("/", ""), ("/x/", "/x"), ("/a/b", "/a/b")])
async def test_the_files_are_behind_the_prefix_of_the_actions(url_prefix: str, path: str) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, url_prefix=url_prefix)

    @actions.post("/late")
    async def late(stream: Stream[int]) -> None: ...

    async with client_of(app) as client:
        for name in FILES:
            assert (await client.get(f"{path}/_client/{name}")).status_code == 200
        assert f'path: "{path}/late"' in (await client.get(f"{path}/_client/actions.js")).text


async def test_an_app_that_is_mounted_says_so_in_its_references() -> None:
    async with client_of(make_app()[0], root_path="/below") as client:
        found = await client.get(f"/below{PREFIX}/_client/actions.js")
        assert f'path: "/below{PREFIX}/words"' in found.text


def register(actions: StreamActions, name: str) -> None:
    async def handler(stream: Stream[int]) -> None: ...

    handler.__name__ = name
    actions.post(f"/{name}")(handler)


async def test_each_app_has_its_own_actions_and_those_that_it_shares() -> None:
    shared = StreamActions()
    register(shared, "shared")
    apps = [QuartTrio(name) for name in ("one", "two")]
    for app in apps:
        shared.init_app(app)
        register(StreamActions(app), app.name)  # behind the same prefix
        register(StreamActions(app, url_prefix="/other"), f"other_{app.name}")
    register(shared, "late")
    for app in apps:
        async with client_of(app) as client:
            found = (await client.get(f"{PREFIX}/_client/actions.js")).text
            other = (await client.get("/other/_client/actions.js")).text
        assert [line.split()[2] for line in found.splitlines()[2:]] == ["shared", "late", app.name]
        assert [line.split()[2] for line in other.splitlines()[2:]] == [f"other{app.name.title()}"]


async def test_a_route_of_the_user_s_own_wins() -> None:
    app, _ = make_app()
    [actions] = all_of(app)

    @app.get(f"{PREFIX}/_client/vue.js")
    async def own() -> Response:
        return Response("mine", content_type="text/javascript")

    @actions.get("/_client/actions.js")
    async def streamed(stream: Stream[int]) -> None:
        await stream.send(1)

    async with client_of(app) as client:
        assert (await client.get(f"{PREFIX}/_client/vue.js")).text == "mine"
        assert (await client.get(f"{PREFIX}/_client/actions.js")).text.startswith("data: 1")
        assert (await client.get(f"{PREFIX}/_client/react.js")).status_code == 200


@pytest.mark.parametrize("path", ["/_client/<name>", "/_client/<path:rest>"])
def test_an_action_that_could_not_be_told_from_the_files_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="_client"):
        StreamActions().get(path)


async def test_what_an_app_does_before_and_after_every_request_is_done_here_too() -> None:
    app, _ = make_app()

    @app.before_request
    async def refuse() -> tuple[str, int] | None:
        from quart import request

        return ("Sign in first", 401) if "Authorization" not in request.headers else None

    @app.after_request
    async def mark(response: Response) -> Response:
        await response.get_data()
        response.headers["X-Mark"] = "seen"
        return response

    async with client_of(app) as client:
        assert (await client.get(f"{PREFIX}/_client/actions.js")).status_code == 401
        found = await client.get(f"{PREFIX}/_client/actions.js", headers={"Authorization": "x"})
        assert (found.status_code, found.headers["X-Mark"]) == (200, "seen")


async def test_docstrings_are_for_colleagues_and_not_served() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/it")
    async def it(input: Prompt, stream: Stream[Token]) -> None:
        """Secret: skips the quota."""

    async with client_of(app) as client:
        for name in ("actions.js", "actions.d.ts"):
            found = (await client.get(f"{PREFIX}/_client/{name}")).text
            assert "Secret" not in found
            assert "it" in found


async def test_an_action_of_the_app_s_own_whose_name_another_has_is_another_constant() -> None:
    app = QuartTrio(__name__)
    register(StreamActions(app), "it")

    @app.post("/it")
    @define_stream_action
    async def it(stream: Stream[int]) -> None: ...

    async with client_of(app) as client:
        found = (await client.get(f"{PREFIX}/_client/actions.js")).text
    assert [line.split()[2] for line in found.splitlines()[2:]] == ["it", "it2"]


PAGE = """
const [url] = process.argv.slice(1);
const { words, item } = await import(`data:text/javascript,${encodeURIComponent(await (await fetch(url)).text())}`);
const response = await fetch(new URL(words.path, url), {
  method: words.method,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ prompt: "a b" }),
});
let frozen = false;
try { words.path = "/other"; } catch { frozen = true; }
console.log(JSON.stringify({ words, item, frozen, body: await response.text() }));
"""


@pytest.mark.node
async def test_node_imports_the_references_and_calls_what_they_name() -> None:
    app, _ = make_app()
    [actions] = all_of(app)

    @actions.get("/items/<int:id>")
    async def item(stream: Stream[int]) -> None: ...

    async with serving(app) as server:
        found = await run_in_node(server, PAGE, f"{server.url}{PREFIX}/_client/actions.js")

    assert found["words"] == {"name": "words", "path": f"{PREFIX}/words", "method": "POST"}
    assert found["item"] == {"name": "item", "path": f"{PREFIX}/items/{{id}}", "method": "GET"}
    assert found["frozen"]
    assert found["body"] == 'data: {"text":"a"}\n\ndata: {"text":"b"}\n\ndata: {"__actions_done":true}\n\n'


async def run_in_node(server: Server, program: str, *arguments: str) -> Any:
    """Run *program* as a module; give what it prints, as JSON."""
    executable = await trio.to_thread.run_sync(node)
    with trio.fail_after(60):
        done = await trio.run_process(
            [executable, "--input-type=module", "--eval", program, *arguments],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert done.returncode == 0, done.stdout.decode()
    return json.loads(done.stdout)


SCRIPT = f"""<!doctype html>
<link rel="icon" href="data:,">
<output></output>
<script type="module">
  import {{ createStreamAction }} from "{PREFIX}/_client/streamact.js";
  import {{ words }} from "{PREFIX}/_client/actions.js";
  const action = createStreamAction(words);
  await action.execute({{ prompt: "one script" }});
  document.querySelector("output").textContent = action.chunks.map((chunk) => chunk.text).join(" ");
</script>
"""


@pytest.mark.browser
async def test_a_page_needs_one_script_and_nothing_else() -> None:
    app, _ = make_app()
    complaints: list[str] = []

    @app.get("/")
    async def page() -> str:
        return SCRIPT

    def look(url: str) -> list[str]:
        with open_browser() as browser, open_page(browser, DESK, complaints) as page:
            seen = []
            for _ in range(2):  # the second time with what the browser has kept
                page.goto(url)
                page.wait_for_function("document.querySelector('output').textContent")
                seen.append(page.locator("output").inner_text())
            return seen

    async with serving(app) as server:
        assert await trio.to_thread.run_sync(look, server.url) == ["one script"] * 2
    assert complaints == []
