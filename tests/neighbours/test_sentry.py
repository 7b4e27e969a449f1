"""``sentry_sdk.init()`` alone: it patches ``Quart.__call__``, so it stands outside of everything."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.apps import PREFIX
from tests.cli import Cli, hypercorn
from tests.http2 import http2
from tests.neighbours.promises import GOODBYE
from tests.neighbours.protocols import Http, on_each_protocol, reading, reading_nothing
from tests.servers import call

APP = "tests.neighbours.sentry_app:app"
GRACEFUL_S = 1


@pytest.fixture
def sentry_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the app writes what it would send to Sentry."""
    file = tmp_path / "sentry"
    file.touch()
    monkeypatch.setenv("SENTRY_FILE", str(file))
    monkeypatch.setenv("STALL_S", "60")
    return file


def sent(file: Path, kind: str) -> list[dict[str, Any]]:
    items = [json.loads(line) for line in file.read_text().splitlines()]
    return [item for item in items if item["kind"] == kind]


@asynccontextmanager
async def served(http: Http, tls: dict[str, str]) -> AsyncIterator[Cli]:
    options = ("--keyfile", tls["keyfile"], "--certfile", tls["certfile"]) if http == "tls" else ()
    async with hypercorn(APP, "--graceful-timeout", str(GRACEFUL_S), *options) as cli:
        yield cli
        assert b"Traceback" not in cli.output, cli.output.decode()
        assert b"was not found" not in cli.output, cli.output.decode()


async def outcomes_are(cli: Cli, http: Http, *outcomes: str) -> None:
    """So the streams have ended, in whatever order."""
    async with reading(cli.server, http, f"/outcomes/{len(outcomes)}", method="GET") as reader:
        await reader.until(" ".join(sorted(outcomes)).encode() + b".")


@on_each_protocol
async def test_a_sigterm_tells_every_stream_and_the_process_exits_in_time(
    http: Http, tls: dict[str, str], sentry_file: Path
) -> None:
    async with served(http, tls) as cli, AsyncExitStack() as clients:
        for _ in range(3):
            await clients.enter_async_context(reading_nothing(cli.server, http, f"{PREFIX}/flood"))
        # Those on HTTP/2 have a nursery each, and are left in order.
        readers = [await clients.enter_async_context(reading(cli.server, http, f"{PREFIX}/ticks")) for _ in range(3)]
        for reader in readers:
            await reader.until(b"data: 10\n\n")  # by then the floods are stuck
        cli.signal_master(signal.SIGTERM)
        for reader in readers:
            body = await reader.body()
            assert body.endswith(GOODBYE)
            assert body.count(b"__actions_error") == 1
        await cli.exits()
    assert sent(sentry_file, "event") == []


@on_each_protocol
async def test_clients_that_stall_or_leave_are_noticed(
    http: Http, tls: dict[str, str], sentry_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALL_S", "0.5")
    async with (
        served(http, tls) as cli,
        reading_nothing(cli.server, http, f"{PREFIX}/flood"),
        reading(cli.server, http, f"{PREFIX}/ticks") as reader,
        reading(cli.server, http, f"{PREFIX}/flood", reads=False) as stalled,
    ):
        await reader.until(b"data: 1\n\n")
        await reader.leave()
        await outcomes_are(cli, http, "disconnected", "stalled", "stalled")
        await stalled.cut()
    assert sent(sentry_file, "event") == []


async def test_connections_of_http2_are_repaired(tls: dict[str, str], sentry_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "hypercorn.toml"
    config.write_text("keep_alive_max_requests = 5\n")
    async with hypercorn(APP, "--config", str(config)) as cli, http2(cli.server) as client:
        ticks = await client.request(f"{PREFIX}/ticks")
        for _ in range(15):
            assert await client.until_ended(await client.request("/plain", "GET")) == b"plain"
        failing = await client.request("/fails", "GET")
        await client.until(lambda: failing in client.was_reset)
        size = len(client.bodies[ticks])
        await client.until(lambda: len(client.bodies[ticks]) > size + 30)


async def test_each_error_is_one_event_with_its_request_and_transaction(tls: dict[str, str], sentry_file: Path) -> None:
    async with hypercorn(APP) as cli:
        words = b'{"prompt":"a"}'
        assert b"STREAM_ERROR" in await call(cli.server, f"{PREFIX}/crash")
        assert b"INTERNAL_ERROR" in await call(cli.server, f"{PREFIX}/broken")
        assert b"Internal Server Error" in await call(cli.server, "/raises", method="GET")
        assert b"NOT_FOUND" in await call(cli.server, f"{PREFIX}/refused")
        assert b"UNAUTHORIZED" in await call(cli.server, f"{PREFIX}/private")
        assert b"VALIDATION_ERROR" in await call(cli.server, f"{PREFIX}/words", body=b"{}")
        assert b"__actions_done" in await call(cli.server, f"{PREFIX}/words", body=words)
        await outcomes_are(cli, "http1", "done", *["error"] * 5)
        cli.signal_master(signal.SIGTERM)
        await cli.exits()
    errors = sent(sentry_file, "event")
    assert [(error["request"]["url"].rpartition("/")[2], error["transaction"]) for error in errors] == [
        ("crash", "streamact.crash"),
        ("broken", "streamact.behind_broken"),
        ("raises", "raises"),
    ]
    assert [error["exception"]["values"][-1]["type"] for error in errors] == [
        "RuntimeError",
        "LookupError",
        "RuntimeError",
    ]
    transactions = [
        (each["transaction"], each["contexts"]["response"]["status_code"]) for each in sent(sentry_file, "transaction")
    ]
    assert ("streamact.words", 200) in transactions
    assert ("raises", 500) in transactions
