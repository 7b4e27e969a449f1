"""The examples: what their actions say, and how ``python -m examples`` starts and stops."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from examples.chat.words import answer_to
from examples.demo import create_app
from examples.vue import page as vue_page
from tests.demos import ROOT, running_demo
from tests.servers import RawClient, serving
from trio_streamact import ActionError
from trio_streamact.testing import open_stream

CHAT = "/api/_actions/ai-chat"
PROGRESS = "/api/_actions/process-files"


async def chunks_of(path: str, input: Any) -> list[Any]:
    app = create_app()
    async with app.test_app(), open_stream(app, path, json=input) as stream:
        return await stream.rest()


async def error_of(path: str, input: Any) -> ActionError:
    app = create_app()
    async with app.test_app(), open_stream(app, path, json=input) as stream:
        with pytest.raises(ActionError) as raised:
            await stream.rest()
    return raised.value


async def get(path: str) -> tuple[bytes, bytes]:
    async with serving(create_app()) as server, await server.connect() as client:
        await client.request(path, method="GET", headers={"Connection": "close"})
        head, _, body = (await client.read_all()).partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("prompt", ["Hi", "How does streaming work?", "Stop! " * 20, "an error in a Trio task"])
async def test_the_chat_answers_word_by_word_and_to_the_same_prompt_the_same(
    prompt: str, autojump_clock: trio.testing.MockClock
) -> None:
    words = [chunk["text"] for chunk in await chunks_of(CHAT, {"prompt": prompt})]
    assert len(words) > 20
    assert all(len(word.split()) == 1 for word in words)
    assert "".join(words) == answer_to(prompt)
    assert " ".join(prompt.split()[:8]) in answer_to(prompt)


async def test_the_chat_fails_when_asked_to(autojump_clock: trio.testing.MockClock) -> None:
    app = create_app()
    async with app.test_app(), open_stream(app, CHAT, json={"prompt": "Please fail!"}) as stream:
        assert await stream.next_chunk() == {"text": "You "}
        with pytest.raises(ActionError, match="GENERATOR_FAILED"):
            await stream.rest()


@pytest.mark.parametrize(
    ("path", "input", "field"),
    [
        (CHAT, {"prompt": ""}, "prompt"),
        (CHAT, {"prompt": " \n"}, "prompt"),
        (CHAT, {"prompt": "x" * 2001}, "prompt"),
        (CHAT, {}, "prompt"),
        (PROGRESS, {"files": []}, "files"),
        (PROGRESS, {"files": ["a"] * 101}, "files"),
        (PROGRESS, {"files": ["a", 1]}, "files.1"),
    ],
)
async def test_wrong_input_is_refused_by_field(path: str, input: Any, field: str) -> None:
    error = await error_of(path, input)
    assert error.code == "VALIDATION_ERROR"
    assert list(error.field_errors) == [field]


async def test_progress_only_grows_and_ends_with_all_files_done(autojump_clock: trio.testing.MockClock) -> None:
    names = ["a.pdf", "b.csv", "c.zip"]
    steps = await chunks_of(PROGRESS, {"files": names})
    assert steps[0] == {"file": "a.pdf", "done": 0, "total": 3, "percent": 0}
    assert steps[-1] == {"file": "c.zip", "done": 3, "total": 3, "percent": 100}
    assert [step["percent"] for step in steps] == sorted(step["percent"] for step in steps)
    assert [step["done"] for step in steps] == sorted(step["done"] for step in steps)
    assert list(dict.fromkeys(step["file"] for step in steps)) == names


async def test_a_broken_file_ends_the_job(autojump_clock: trio.testing.MockClock) -> None:
    error = await error_of(PROGRESS, {"files": ["a.pdf", "broken.pdf", "c.zip"]})
    assert error.message == "broken.pdf cannot be read"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", b"text/html"),
        ("/chat", b"text/html"),
        ("/progress", b"text/html"),
        ("/vue", b"text/html"),
        ("/vue/chat.js", b"text/javascript"),
        ("/vue/progress.js", b"text/javascript"),
        ("/static/files.js", b"text/javascript"),
        ("/api/_actions/_client/actions.js", b"text/javascript"),
        ("/static/demo.css", b"text/css"),
        ("/static/icon.svg", b"image/svg+xml"),
    ],
)
async def test_the_pages_are_served(path: str, kind: bytes) -> None:
    head, body = await get(path)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-type: " + kind in head
    assert body


def test_the_vue_page_needs_the_network_only_where_vue_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vue_page, "INSTALLED", (tmp_path / "vue.js",))
    assert vue_page.CDN in vue_page.page()
    (tmp_path / "vue.js").touch()
    assert vue_page.CDN not in vue_page.page()
    assert f'"vue": "{vue_page.LOCAL}"' in vue_page.page()


async def test_nothing_but_the_components_is_served_beside_the_vue_page() -> None:
    for path in ("/vue/page.py", "/vue/none.js", "/vue/index.html", "/vue/..%2Fstatic%2Ffiles.js"):
        assert (await get(path))[0].startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_the_demo_stops_without_a_traceback_also_in_the_middle_of_an_answer(how: signal.Signals) -> None:
    with running_demo() as demo:
        host, port = urlsplit(demo.url).hostname, urlsplit(demo.url).port
        assert host is not None
        assert port is not None
        async with RawClient(await trio.open_tcp_stream(host, port)) as client:
            await client.request(CHAT, body=b'{"prompt":"streaming slowly"}')
            await client.read_until(b'data: {"text":"You "}')
            assert await trio.to_thread.run_sync(demo.stop, how) == 0
        assert "Traceback" not in demo.log
        assert "ai_chat: " in demo.log


def test_the_demo_answers_as_soon_as_it_says_where() -> None:
    with running_demo() as demo:
        with urllib.request.urlopen(demo.url, timeout=20) as response:
            assert b"Streaming server actions" in response.read()
        assert demo.stop() == 0


def test_the_demo_takes_the_next_port_when_its_own_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running_demo(port) as demo:
            assert f"Port {port} is in use" in demo.log
            assert urlsplit(demo.url).port != port
            assert demo.stop() == 0


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_a_port_that_is_none_is_refused_in_words(port: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "examples"], cwd=ROOT, env={"PORT": port}, capture_output=True, text=True, timeout=20
    )
    assert result.returncode == 1
    assert result.stderr == f"PORT must be a number up to 65535, not '{port}'\n"
