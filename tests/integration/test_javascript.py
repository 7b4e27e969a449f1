"""The JavaScript client in Node: by itself, against our server on hypercorn, and as the package that npm installs."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.apps import PREFIX, make_app
from tests.cli import hypercorn
from tests.nodejs import MODULES, node
from tests.servers import serving
from trio_streamact import Limits

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[2]
BROWSER = ROOT / "trio_streamact" / "browser"
TESTS = ROOT / "tests" / "javascript"
SCRIPTS = sorted(TESTS.glob("*.test.mjs"))
TSC = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"]
DEADLINE_S = 120


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run *command*, which must succeed, and give what it prints."""
    result = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_is_promised_in_javascript_holds(script: Path) -> None:
    assert "# fail 0" in run(node(), "--test", "--test-reporter=tap", script)


def test_the_core_is_small_and_stands_alone() -> None:
    core = (BROWSER / "streamact.js").read_bytes()

    assert len(gzip.compress(core, mtime=0)) < 5 * 1024, "that is promised"
    assert b"import " not in core.replace(b'import("./streamact.js")', b"")


@pytest.mark.parametrize("compiler", ["typescript", "typescript-5"])
def test_types_are_what_is_declared(compiler: str) -> None:
    tsc = [node(), str(MODULES / compiler / "bin" / "tsc"), *TSC, "--module", "nodenext"]

    run(*tsc, "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", TESTS / "types.ts")
    run(*tsc, "--allowJs", "--checkJs", "--noImplicitAny", "false", BROWSER / "streamact.js")


# Against our server


@attrs.define(eq=False)
class RunningClient:
    """One `execute` in a process of its own."""

    process: trio.Process

    async def until_chunk(self, count: int) -> None:
        said = b""
        assert self.process.stderr is not None
        while f"chunk {count}\n".encode() not in said:
            part = await self.process.stderr.receive_some()
            assert part, said.decode()
            said += part

    async def state(self) -> dict[str, Any]:
        """Wait for the end, and give what the client holds then."""
        said = b""
        assert self.process.stdout is not None
        async for part in self.process.stdout:
            said += part
        assert await self.process.wait() == 0
        state: dict[str, Any] = json.loads(said)
        return state


@asynccontextmanager
async def running(url: str, input: Any = None, *, cwd: Path = TESTS, **given: Any) -> AsyncIterator[RunningClient]:
    """Run one `execute`; the process is gone when the block is left."""
    executable = await trio.to_thread.run_sync(node)
    command = [executable, str(TESTS / "run.mjs"), url, json.dumps({"input": input, **given})]
    process = await trio.lowlevel.open_process(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        with trio.fail_after(30):
            yield RunningClient(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def state_of(url: str, input: Any = None, **given: Any) -> dict[str, Any]:
    async with running(url, input, **given) as client:
        return await client.state()


async def test_it_reads_chunks_and_the_end() -> None:
    app, journal = make_app()
    async with serving(app) as server:
        state = await state_of(f"{server.url}{PREFIX}/words", {"prompt": "a b"})
        await journal.wait_for(reports=1)
    chunks = [{"text": "a"}, {"text": "b"}]
    assert state == {
        "status": "done",
        "chunks": chunks,
        "data": chunks[-1],
        "error": None,
        "called": [["chunk", chunks[0]], ["chunk", chunks[1]], ["done", 2]],
    }
    assert journal.reports[0].outcome == "done"


@pytest.mark.parametrize("dialect", ["marked", "named"])
@pytest.mark.parametrize(
    ("path", "input", "chunks", "error"),
    [
        ("/refused", None, [1], {"code": "NOT_FOUND", "message": "No such thing", "statusCode": 404}),
        ("/private", None, [], {"code": "UNAUTHORIZED", "message": "Sign in first", "statusCode": 401}),
        ("/crash", None, [1], {"code": "STREAM_ERROR", "message": "Stream handler error", "statusCode": 500}),
        (
            "/words",
            {"prompt": ""},
            [],
            {
                "code": "VALIDATION_ERROR",
                "message": "Input validation failed",
                "statusCode": 422,
                "fieldErrors": {"prompt": ["Length of 'prompt' must be >= 1: 0"]},
            },
        ),
    ],
)
async def test_it_reads_every_error(
    dialect: str, path: str, input: Any, chunks: list[Any], error: dict[str, Any]
) -> None:
    app, _ = make_app(dialect=dialect)
    async with serving(app) as server:
        state = await state_of(f"{server.url}{PREFIX}{path}", input)
    assert (state["status"], state["chunks"], state["error"]) == ("error", chunks, error)
    assert state["called"][-1] == ["error", error["code"]]


async def test_it_is_told_when_to_come_back() -> None:
    app, journal = make_app(Limits(streams=1))
    async with serving(app) as server, running(f"{server.url}{PREFIX}/idle"):
        await journal.wait_for(started=1)
        state = await state_of(f"{server.url}{PREFIX}/words", {"prompt": "a"})
    assert (state["error"]["code"], state["error"]["retryAfter"]) == ("TOO_MANY_STREAMS", 5)


async def test_an_action_that_is_not_there_and_a_page_that_is_none() -> None:
    app, _ = make_app()
    async with serving(app) as server:
        missing = await state_of(f"{server.url}{PREFIX}/missing")
        plain = await state_of(f"{server.url}/plain", options={"method": "GET"})
    assert (missing["error"]["code"], missing["error"]["statusCode"]) == ("HTTP_ERROR", 404)
    assert missing["error"]["message"].startswith("HTTP 404")
    assert (plain["error"]["code"], plain["error"]["statusCode"]) == ("NOT_A_STREAM", 502)


async def test_it_sends_the_input_of_a_get_as_a_query() -> None:
    app, _ = make_app()
    async with serving(app) as server:
        given = {"page": 2, "filter": {"a": [1, 2]}, "none": None, "text": "ä &"}
        state = await state_of(f"{server.url}{PREFIX}/echo", given, options={"method": "GET"})
    assert state["chunks"] == [{"input": {"page": "2", "filter": '{"a":[1,2]}', "none": "", "text": "ä &"}}]


async def test_heartbeats_keep_its_watchdog_quiet() -> None:
    app, journal = make_app(Limits(heartbeat_s=0.05))
    async with serving(app) as server:
        url = f"{server.url}{PREFIX}/idle"
        async with running(url, options={"timeout": 10_000, "watchdogS": 1}) as client:
            await journal.wait_for(started=1)
            await trio.sleep(2)
            assert client.process.returncode is None
            server.stop()
            assert (await client.state())["error"]["code"] == "SERVER_SHUTDOWN"


async def test_a_server_without_heartbeats_trips_its_watchdog() -> None:
    app, journal = make_app(Limits(heartbeat_s=60))
    async with serving(app) as server:
        state = await state_of(f"{server.url}{PREFIX}/idle", options={"watchdogS": 1})
        await journal.wait_for(finished=1, reports=1)
    assert (state["error"]["code"], state["error"]["statusCode"]) == ("STREAM_SILENT", 504)
    assert journal.reports[0].outcome == "disconnected"


async def test_its_stop_cancels_the_handler() -> None:
    app, journal = make_app()
    async with serving(app) as server, running(f"{server.url}{PREFIX}/ticks", stopAfter=3) as client:
        await journal.wait_for(finished=1, reports=1)  # no heartbeat would find it, nor a stall
        state = await client.state()
    assert (state["status"], state["chunks"]) == ("done", [0, 1, 2])
    assert state["called"] == [["chunk", 0], ["chunk", 1], ["chunk", 2]]
    assert (journal.cancelled, journal.reports[0].outcome) == (1, "disconnected")


async def test_a_server_that_is_killed_is_an_error() -> None:
    async with hypercorn("tests.cli_app:app") as cli, running(f"{cli.server.url}{PREFIX}/ticks") as client:
        await client.until_chunk(3)
        for worker in cli.workers:
            worker.kill()
        state = await client.state()
    assert (state["status"], state["error"]["code"]) == ("error", "STREAM_INCOMPLETE")
    assert state["chunks"] == list(range(len(state["chunks"])))
    assert state["called"][-1] == ["error", "STREAM_INCOMPLETE"]


# The package


MODULE_FILES = [f"{name}.{kind}" for name in ("react", "streamact", "vue") for kind in ("d.ts", "js")]
PACKED = ["LICENSE", "README.md", "package.json", *MODULE_FILES]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project into which the package was installed, by npm, from the file that npm made of it."""
    node()
    npm = shutil.which("npm") or "npm"
    project = tmp_path_factory.mktemp("project")
    cache = ["--cache", str(project / "cache"), "--offline", "--no-audit", "--no-fund", "--loglevel=error"]
    run(npm, "pack", BROWSER, "--pack-destination", project, *cache, cwd=project)
    [tarball] = project.glob("*.tgz")
    (project / "package.json").write_text('{"name": "empty", "private": true, "type": "module"}')
    run(npm, "install", tarball, "--no-package-lock", *cache, cwd=project)
    return project


def test_the_package_holds_what_it_needs_and_no_more(installed: Path) -> None:
    package = installed / "node_modules" / "trio-streamact"

    assert sorted(path.name for path in package.iterdir()) == PACKED
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    # Vue and React are for those who have them.
    assert [path.name for path in package.parent.iterdir() if not path.name.startswith(".")] == ["trio-streamact"]


async def test_the_installed_package_runs_a_stream(installed: Path) -> None:
    app, _ = make_app()
    shutil.copy(TESTS / "run.mjs", installed)
    async with serving(app) as server:
        url = f"{server.url}{PREFIX}/words"
        command = [node(), "run.mjs", url, json.dumps({"input": {"prompt": "a b"}, "module": "trio-streamact"})]
        with trio.fail_after(30):
            result = await trio.run_process(command, cwd=installed, capture_stdout=True, capture_stderr=True)
    assert json.loads(result.stdout)["chunks"] == [{"text": "a"}, {"text": "b"}]


def test_the_compiler_finds_the_types_of_the_installed_package(installed: Path) -> None:
    source = (TESTS / "types.ts").read_text().replace("../../trio_streamact/browser/streamact.js", "trio-streamact")
    (installed / "types.ts").write_text(source)
    tsc = [node(), str(MODULES / "typescript" / "bin" / "tsc"), *TSC]

    for resolution in (["--module", "nodenext"], ["--module", "esnext", "--moduleResolution", "bundler"]):
        run(*tsc, *resolution, "types.ts", cwd=installed)


def test_npm_and_python_release_the_same_version_under_the_same_license() -> None:
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    npm = json.loads((BROWSER / "package.json").read_text())

    assert (npm["name"], npm["version"], npm["license"]) == (python["name"], python["version"], python["license"])
    for entry in npm["exports"].values():
        if isinstance(entry, dict):
            assert next(iter(entry)) == "types"  # the first condition that fits is taken
            assert all((BROWSER / path).is_file() for path in entry.values())


def test_the_wheel_brings_the_browser_client(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        for name in PACKED:
            assert files.read(f"trio_streamact/browser/{name}") == (BROWSER / name).read_bytes()
