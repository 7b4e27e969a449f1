"""A server that stops says goodbye to every open stream, whoever tells it to stop and however."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from tests.cli import Cli, hypercorn
from tests.http2 import http2
from tests.servers import RawClient, body_of, is_complete, serving
from trio_streamact import Limits, StreamActions

GOODBYE = (
    b'data: {"__actions_error":{"code":"SERVER_SHUTDOWN","message":"The server is shutting down","statusCode":503}}\n\n'
)
APP = "tests.cli_app:app"
PATIENT = ("--graceful-timeout", "60")
"""Longer than a test waits: who exits in time has not waited for that."""
STREAMS = 20


async def open_ticking(cli: Cli) -> list[RawClient]:
    clients = []
    for _ in range(STREAMS):
        client = await cli.server.connect()
        await client.request(f"{PREFIX}/ticks")
        await client.read_until(b"data: 1\n\n")
        clients.append(client)
    return clients


async def read_goodbyes(clients: list[RawClient]) -> None:
    """Each client reads its goodbye and the proper end of its response."""

    async def read(client: RawClient) -> None:
        async with client:
            response = await client.read_all()
        assert is_complete(response), response[-300:]
        assert body_of(response).endswith(GOODBYE)
        assert response.count(b"__actions_error") == 1

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(read, client)


@pytest.mark.parametrize(
    ("workers", "tell", "number"),
    [
        (1, Cli.signal_master, signal.SIGTERM),
        (2, Cli.signal_master, signal.SIGTERM),
        (0, Cli.signal_master, signal.SIGTERM),
        (1, Cli.signal_group, signal.SIGTERM),
        (2, Cli.signal_group, signal.SIGTERM),
        (1, Cli.signal_one_worker, signal.SIGTERM),
        (1, Cli.signal_master, signal.SIGINT),
        (1, Cli.signal_group, signal.SIGINT),
        (2, Cli.signal_group, signal.SIGINT),
        (0, Cli.signal_master, signal.SIGINT),
        (0, Cli.signal_master, signal.SIGHUP),
        (0, Cli.signal_group, signal.SIGHUP),
    ],
    ids=lambda value: getattr(value, "__name__", getattr(value, "name", str(value))),
)
async def test_hazard_6_every_open_stream_is_told_of_the_shutdown(
    workers: int, tell: Callable[[Cli, int], None], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_DIR", str(tmp_path))
    async with hypercorn(APP, *PATIENT, workers=workers) as cli:
        clients = await open_ticking(cli)
        tell(cli, number)
        await read_goodbyes(clients)
        if tell is not Cli.signal_one_worker:  # its master starts another one
            await cli.exits()
        assert len(os.listdir(tmp_path)) == STREAMS, "every handler ran its finally"
        assert b"Traceback" not in cli.output, cli.output.decode()


@pytest.mark.parametrize(
    ("workers", "tell"),
    [
        (1, Cli.signal_master),
        (2, Cli.signal_master),
        (1, Cli.signal_group),
        (2, Cli.signal_group),
        (1, Cli.signal_one_worker),
    ],
)
async def test_a_sighup_tells_every_stream_and_the_master_goes_on_with_new_workers(
    workers: int, tell: Callable[[Cli, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hypercorn has it: to its master a SIGHUP is a reload."""
    monkeypatch.setenv("JOURNAL_DIR", str(tmp_path))
    async with hypercorn(APP, *PATIENT, workers=workers) as cli:
        clients = await open_ticking(cli)
        tell(cli, signal.SIGHUP)
        await read_goodbyes(clients)
        again = await open_ticking(cli)
        cli.signal_master(signal.SIGTERM)
        await read_goodbyes(again)
        await cli.exits()
        if tell is not Cli.signal_group:  # which ends a helper of Python's, too
            assert b"Traceback" not in cli.output, cli.output.decode()


async def test_a_sighup_that_is_ignored_stays_ignored() -> None:
    """As under ``nohup``."""
    start = f"trap '' HUP; exec {sys.executable} -m hypercorn -k trio -b 127.0.0.1:0 -w 0 {APP}"
    async with hypercorn("", command=("sh", "-c", start), workers=0) as cli:
        clients = await open_ticking(cli)
        cli.signal_master(signal.SIGHUP)
        for client in clients:
            ticks = client.received.count(b"data: ")
            await client.read_until(b"data: %d\n" % (ticks + 10))
        cli.signal_master(signal.SIGTERM)
        await read_goodbyes(clients)
        await cli.exits()


async def test_a_handler_may_finish_within_the_drain_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAIN_S", "2")
    async with hypercorn(APP) as cli, await cli.server.connect() as soon, await cli.server.connect() as endless:
        await soon.request(f"{PREFIX}/finishes-soon")
        await soon.read_until(b"begun")
        await endless.request(f"{PREFIX}/ticks")
        await endless.read_until(b"data: 1\n\n")
        cli.signal_master(signal.SIGTERM)
        response = body_of(await soon.read_all())
        assert response.endswith(b'data: "finished"\n\ndata: {"__actions_done":true}\n\n')
        await read_goodbyes([endless])
        await cli.exits()


async def test_a_stalled_client_does_not_hold_up_the_exit() -> None:
    async with hypercorn(APP, "--graceful-timeout", "1") as cli, await cli.server.connect() as stalled:
        clients = await open_ticking(cli)
        await stalled.request(f"{PREFIX}/flood")
        await trio.sleep(0.5)
        cli.signal_master(signal.SIGTERM)
        await read_goodbyes(clients)
        await cli.exits()


async def test_a_system_exit_in_a_handler_stops_the_server_and_every_stream_is_told() -> None:
    async with hypercorn(APP, *PATIENT, workers=0) as cli, await cli.server.connect() as client:
        clients = await open_ticking(cli)
        await client.request(f"{PREFIX}/stops-the-server")
        await read_goodbyes([*clients, client])
        await cli.exits()


async def test_hazard_6_a_programmatic_server_says_goodbye_too_on_both_protocols() -> None:
    app, journal = make_app()
    async with serving(app) as server, http2(server) as multiplexed:
        clients = []
        for _ in range(5):
            client = await server.connect()
            await client.request(f"{PREFIX}/ticks")
            await client.read_until(b"data: 1\n\n")
            clients.append(client)
        streams = [await multiplexed.request(f"{PREFIX}/ticks") for _ in range(5)]
        await multiplexed.until(lambda: all(b"data: 1" in multiplexed.bodies[stream] for stream in streams))
        server.stop()
        await read_goodbyes(clients)
        for stream in streams:
            assert (await multiplexed.until_ended(stream)).endswith(GOODBYE)
        await journal.wait_for(finished=10, reports=10)
        assert {report.outcome for report in journal.reports} == {"shutdown"}


async def test_new_streams_are_refused_while_others_drain() -> None:
    """A request that was on its way when the shutdown began."""
    app, journal = make_app(Limits(drain_s=0.5))
    async with serving(app) as server:
        old, new = await server.connect(), await server.connect()
        await old.request(f"{PREFIX}/ticks")
        await old.read_until(b"data: 1\n\n")
        await new.request(f"{PREFIX}/words", body=b'{"prompt"', headers={"Content-Length": "14"})
        await trio.sleep(0.1)
        server.stop()
        await trio.sleep(0.1)
        await new.stream.send_all(b':"a"}')
        await read_goodbyes([new, old])
        assert journal.started == 1
        assert [report.outcome for report in journal.reports] == ["shutdown", "shutdown"]


async def test_an_app_that_is_mounted_under_another_is_told_of_the_shutdown() -> None:
    inner, journal = make_app()
    outer = QuartTrio(__name__)
    inside = outer.asgi_app

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await (inner if scope["type"] == "http" else inside)(scope, receive, send)

    outer.asgi_app = mounted  # type: ignore[method-assign]
    StreamActions(outer)
    async with serving(outer) as server, await server.connect() as client:
        await client.request(f"{PREFIX}/ticks")
        await client.read_until(b"data: 1\n\n")
        server.stop()
        await read_goodbyes([client])
    assert [report.outcome for report in journal.reports] == ["shutdown"]


async def test_a_sigterm_reaches_the_app_that_is_used_of_two_in_one_process() -> None:
    async with hypercorn("tests.cli_app:two_apps", *PATIENT, workers=0) as cli:
        clients = await open_ticking(cli)
        cli.signal_master(signal.SIGTERM)
        await read_goodbyes(clients)
        await cli.exits()


async def test_a_sigterm_reaches_the_servers_of_all_threads_each_in_its_own_run_of_trio() -> None:
    command = (sys.executable, "-m", "tests.two_threads")
    async with hypercorn("", command=command, workers=2) as cli:
        ports = re.findall(rb"Running on http://127.0.0.1:(\d+)", cli.output)
        clients = []
        for port in ports:
            cli.server.port = int(port)
            clients += await open_ticking(cli)
        cli.signal_master(signal.SIGTERM)
        await read_goodbyes(clients)
        await cli.exits()
        assert cli.process.returncode == 0
        assert b"Traceback" not in cli.output, cli.output.decode()
