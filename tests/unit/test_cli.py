"""``quart streamact``, as it is run from a shell."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV32SpecValidator

APP = """
from attrs import define
from quart_trio import QuartTrio
from trio_streamact import Limits, Stream, StreamActions

@define
class Prompt:
    prompt: str

@define
class Token:
    text: str

app = QuartTrio("shop")
actions = StreamActions(app)
more = StreamActions(app, url_prefix="/v2")

@actions.post("/ai-chat", limits=Limits(streams=100, lifetime_s=60))
async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
    "Chat with the model."

@more.route("/ticks/<int:start>", methods=["GET", "POST"])
async def ticks(stream: Stream[int | None]) -> None: ...

def create_app():
    return app
"""

ROUTES = """\
Method    Path                   Name     Input   Chunk       Limits
--------  ---------------------  -------  ------  ----------  -------------------------
POST      /api/_actions/ai-chat  ai_chat  Prompt  Token       lifetime_s=60 streams=100
POST,GET  /v2/ticks/<int:start>  ticks    -       int | None  -
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def run(folder: Path, *arguments: str, app: str = "shop", status: int = 0) -> str:
    """Run the command, and give what it says: to its user, or of its failure."""
    quart = Path(sys.executable).with_name("quart")
    done = subprocess.run(
        [quart, "--app", app, "streamact", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(status)
    return done.stderr if status else done.stdout


@pytest.mark.parametrize("app", ["shop", "shop:app", "shop:create_app", "shop:create_app()"])
def test_routes_lists_the_actions_of_all_extensions(folder: Path, app: str) -> None:
    assert run(folder, "routes", app=app) == ROUTES


def test_routes_says_when_there_are_none(folder: Path) -> None:
    (folder / "empty.py").write_text(
        "from quart_trio import QuartTrio; from trio_streamact import StreamActions\n"
        "app = QuartTrio('empty'); StreamActions(app)"
    )

    assert run(folder, "routes", app="empty") == "No stream actions are registered.\n"
    assert "actions.js" in run(folder, "types", "out", app="empty")


def test_types_writes_what_a_page_imports(folder: Path) -> None:
    said = run(folder, "types", "made/here")

    files = {file.name: file.read_text() for file in (folder / "made" / "here").iterdir()}
    assert set(files) == {"actions.js", "actions.d.ts"}
    assert 'aiChat = Object.freeze({ name: "ai_chat", path: "/api/_actions/ai-chat"' in files["actions.js"]
    assert 'ticks = Object.freeze({ name: "ticks", path: "/v2/ticks/{start}"' in files["actions.js"]
    assert "/** Chat with the model. */" in files["actions.d.ts"]
    assert said.splitlines() == ["Wrote made/here/actions.js", "Wrote made/here/actions.d.ts"]


def test_types_leaves_alone_what_has_not_changed(folder: Path) -> None:
    run(folder, "types", "out")
    before = (folder / "out" / "actions.js").stat().st_mtime_ns
    (folder / "out" / "actions.d.ts").write_text("old")

    said = run(folder, "types", "out").splitlines()
    assert "Wrote out/actions.d.ts" in said
    assert "Unchanged out/actions.js" in said
    assert (folder / "out" / "actions.js").stat().st_mtime_ns == before


def test_types_writes_a_file_that_others_can_read_and_leaves_nothing_beside_it(folder: Path) -> None:
    run(folder, "types", "out")

    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((folder / "out" / "actions.js").stat().st_mode) == 0o666 & ~mask
    assert not [file for file in (folder / "out").iterdir() if file.name.startswith(".")]


def test_openapi_prints_a_document(folder: Path) -> None:
    document = json.loads(run(folder, "openapi"))

    OpenAPIV32SpecValidator(document).validate()
    assert document["info"]["title"] == "shop"
    assert set(document["paths"]) == {"/api/_actions/ai-chat", "/v2/ticks/{start}"}


def test_actions_of_one_name_in_two_extensions_have_the_prefix_in_front(folder: Path) -> None:
    (folder / "shop.py").write_text(APP.replace("async def ticks", "async def ai_chat"))
    run(folder, "types", "out")
    assert "export const v2AiChat =" in (folder / "out" / "actions.js").read_text()


def test_types_can_be_checked_without_a_write(folder: Path) -> None:
    said = run(folder, "types", "--check", "out", status=1)
    assert "Error: not up to date: out/actions.js, out/actions.d.ts; run the command without --check" in said
    assert not (folder / "out").exists()

    run(folder, "types", "out")
    assert run(folder, "types", "--check", "out") == ""
    (folder / "out" / "actions.js").write_text("")
    assert "Error: not up to date: out/actions.js; " in run(folder, "types", "--check", "out", status=1)


def test_types_know_where_the_app_is_mounted(folder: Path) -> None:
    run(folder, "types", "--root-path", "/shop/", "out")
    assert 'path: "/shop/api/_actions/ai-chat"' in (folder / "out" / "actions.js").read_text()


def test_types_says_where_it_cannot_write(folder: Path) -> None:
    (folder / "file").write_text("")
    assert "file" in run(folder, "types", "file", status=2)
    assert "Error: cannot write file/out/" in run(folder, "types", "file/out", status=1)

    (folder / "out" / "actions.js").mkdir(parents=True)
    assert "Error: cannot write out/actions.js: " in run(folder, "types", "out", status=1)
    assert not [file for file in (folder / "out").iterdir() if file.name.startswith(".")]


def test_the_commands_say_what_they_do(folder: Path) -> None:
    said = run(folder, "--help")

    for command in ("routes", "types", "openapi"):
        assert command in said
