"""The real client of nuxt-actions, unchanged, against our server."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import trio

from tests.apps import PREFIX, make_app
from tests.nodejs import HERE, node
from tests.servers import Server, serving
from trio_streamact import Limits

pytestmark = pytest.mark.node


async def run_model(server: Server, path: str, input: Any = None, **given: Any) -> dict[str, Any]:
    """Run one `execute`, and give what the refs of the client hold afterwards."""
    command = [await trio.to_thread.run_sync(node), "--import", "./register.mjs", "model-client.mjs"]
    request = json.dumps({"input": input, **given})
    with trio.fail_after(30):
        result = await trio.run_process(
            [*command, f"{server.url}{PREFIX}{path}", request],
            cwd=HERE,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert result.returncode == 0, result.stdout.decode()
    state: dict[str, Any] = json.loads(result.stdout)
    return state


async def test_it_reads_chunks_and_the_end() -> None:
    app, _ = make_app()
    async with serving(app) as server:
        state = await run_model(server, "/words", {"prompt": "a b"})
    chunks = [{"text": "a"}, {"text": "b"}]
    assert state == {
        "status": "done",
        "chunks": chunks,
        "data": chunks[-1],
        "error": None,
        "called": [["chunk", chunks[0]], ["chunk", chunks[1]], ["done", 2]],
    }


@pytest.mark.parametrize(
    ("path", "input", "error"),
    [
        ("/refused", None, {"code": "NOT_FOUND", "message": "No such thing", "statusCode": 404}),
        ("/private", None, {"code": "UNAUTHORIZED", "message": "Sign in first", "statusCode": 401}),
        ("/crash", None, {"code": "STREAM_ERROR", "message": "Stream handler error", "statusCode": 500}),
        (
            "/words",
            {"prompt": ""},
            {
                "code": "VALIDATION_ERROR",
                "message": "Input validation failed",
                "statusCode": 422,
                "fieldErrors": {"prompt": ["Length of 'prompt' must be >= 1: 0"]},
            },
        ),
    ],
)
async def test_it_reads_every_error(path: str, input: Any, error: dict[str, Any]) -> None:
    app, _ = make_app()
    async with serving(app) as server:
        state = await run_model(server, path, input)
    assert (state["status"], state["error"]) == ("error", error)
    assert state["called"][-1] == ["error", error["code"]]


async def test_it_sends_the_input_of_a_get_as_a_query() -> None:
    app, _ = make_app()
    async with serving(app) as server:
        given = {"page": 2, "filter": {"a": [1, 2]}, "none": None, "text": "ä &"}
        state = await run_model(server, "/echo", given, options={"method": "GET"})
    assert state["chunks"] == [{"input": {"page": "2", "filter": '{"a":[1,2]}', "none": "", "text": "ä &"}}]


async def test_heartbeats_are_nothing_to_it() -> None:
    app, _ = make_app(Limits(heartbeat_s=0.03))
    async with serving(app) as server:
        state = await run_model(server, "/endless")
    assert (state["chunks"], state["error"]["code"]) == ([1], "TIMEOUT_ERROR")


async def test_its_stop_cancels_the_handler() -> None:
    app, journal = make_app()
    async with serving(app) as server:
        state = await run_model(server, "/ticks", stopAfter=3)
        await journal.wait_for(finished=1, reports=1)
    assert state["status"] == "done"
    assert journal.reports[0].outcome == "disconnected"
