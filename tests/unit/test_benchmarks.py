"""The benchmarks put on every server the same, and keep count of it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from importlib import metadata

import attrs
import psutil
import pytest

from benchmarks.callgrind import counting
from benchmarks.loads import LOADS, Figure, Load, Size
from benchmarks.loads.slow import watched
from benchmarks.parts import ALONE, VARIANTS, line, variants
from benchmarks.peers import BATCHED, FLOOR, OURS, PEERS, PLAIN, MissingError, Peer
from benchmarks.processes import FaultError, Server, serving
from benchmarks.rounds import Rounds
from benchmarks.servers import parts
from benchmarks.servers.common import pause_s
from tests.compilers import load_client
from tests.servers import body_of
from trio_streamact.testing import open_stream

HERE = (FLOOR, BATCHED, OURS, PLAIN)
DEADLINE_S = 10.0


@pytest.fixture(scope="module", autouse=True)
def _client() -> None:
    load_client()


@pytest.fixture(scope="module", params=HERE)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(PEERS[request.param]) as server:
        yield server


def read(server: Server, path: str) -> bytes:
    """Give the body that stands at *path*, as it came."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        response = b""
        while not response.endswith(b"\r\n0\r\n\r\n"):
            part = connection.recv(1 << 16)
            assert part, f"the connection ended: {response!r}"
            response += part
    return body_of(response)


# What the servers send


def test_every_burst_is_the_same_to_the_byte(server: Server) -> None:
    assert read(server, "/burst?events=2&start=0") == (
        b'data: {"n":0,"text":"word "}\n\ndata: {"n":1,"text":"word "}\n\ndata: {"__actions_done":true}\n\n'
    )


def test_a_burst_waits_for_its_start(server: Server) -> None:
    start = time.monotonic_ns() + 200_000_000
    read(server, f"/burst?events=1&start={start}")

    assert time.monotonic_ns() >= start


def test_ticks_say_when_they_were_due_and_are_sent_no_sooner(server: Server) -> None:
    start = time.monotonic_ns() + 20_000_000
    frames = read(server, f"/ticks?events=3&start={start}&every=20000000").split(b"\n\n")
    ticks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:3]]

    assert [list(tick) for tick in ticks] == [["n", "due", "sent"]] * 3
    assert [(tick["n"], tick["due"] - start) for tick in ticks] == [(0, 0), (1, 20_000_000), (2, 40_000_000)]
    assert all(0 <= tick["sent"] - tick["due"] < 1_000_000_000 for tick in ticks)
    assert frames[3:] == [b'data: {"__actions_done":true}', b""]


def test_a_stream_that_is_held_notes_when_its_client_has_left(server: Server) -> None:
    before = len(server.get("/cancelled"))
    began = time.monotonic_ns()
    with server.held(2):
        assert len(server.get("/cancelled")) == before
    deadline = time.monotonic() + DEADLINE_S
    while len(noted := server.get("/cancelled")[before:]) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert sorted(number for number, _ in noted) == [0, 1]
    assert all(began < at < time.monotonic_ns() for _, at in noted)


def test_the_client_reads_what_the_server_sends(server: Server) -> None:
    assert server.drive("drain", streams=3, events=100)["events"] == 300
    assert len(server.drive("ticks", streams=2, events=3, every_us=1000, start_ms=100)["delivery_ns"]) == 6
    assert len(server.drive("cancel", total=2)["closed_ns"]) == 2
    assert server.drive("drain", streams=3, events=100, http2=True)["events"] == 300
    beside = server.drive("ticks", events=3, every_us=10_000, start_ms=100, beside=50)
    assert beside["events"] == 3
    assert beside["beside_events"] >= 50


def test_a_fault_is_a_fault_and_no_measurement(server: Server) -> None:
    gone = attrs.evolve(server, port=1)

    with pytest.raises(FaultError, match="connect: Connection refused"):
        gone.drive("drain")
    with pytest.raises(FaultError, match="connect: Connection refused"), gone.held(1):
        pass


def test_the_cpu_of_the_server_is_the_kernels_account_of_it() -> None:
    with serving(PEERS[FLOOR]) as server:
        process = psutil.Process(server.pid)
        before = process.cpu_times()
        said = server.drive("drain", events=10_000)["server_cpu_ns"] / 1e9
        after = process.cpu_times()

    accounted = after.user + after.system - before.user - before.system
    assert said == pytest.approx(accounted, abs=0.03)  # the account that others see is in hundredths of a second


def test_servers_and_client_have_a_core_of_their_own(server: Server) -> None:
    usable = sorted(os.sched_getaffinity(0))

    assert os.sched_getaffinity(server.pid) == {usable[0]}
    with server.held(1):
        (client,) = [child for child in psutil.Process().children() if child.name() == "client"]
        assert os.sched_getaffinity(client.pid) == {usable[-1]}


def test_memory_is_watched_while_something_runs(server: Server) -> None:
    with watched(server) as seen:
        time.sleep(0.1)

    assert len(seen) > 2
    assert max(seen) == pytest.approx(psutil.Process(server.pid).memory_info().rss, rel=0.01)


def test_every_load_gives_its_figures() -> None:
    with serving(PEERS[OURS]) as server:
        for name in ("burst", "short", "first", "ticks", "lateness", "cancel", "idle", "slow", "http2-burst"):
            load = LOADS[name]
            values = load.run(server, Size(0.02))

            assert list(values) == list(load.figures)
            assert all(value is not None and value > -1 for value in values.values()), name


def test_a_server_that_does_not_come_up_says_why() -> None:
    broken_one = Peer(name="x", title="x", command=(sys.executable, "-c", "raise SystemExit('no such luck')"))

    with pytest.raises(FaultError, match="no such luck"), serving(broken_one):
        pass


def test_a_pause_is_what_is_left() -> None:
    assert 9 < pause_s(time.monotonic_ns() + 10_000_000_000) <= 10
    assert pause_s(time.monotonic_ns()) <= 0


def test_a_peer_that_is_not_installed_says_so() -> None:
    with pytest.raises(MissingError, match="no-such-package is not installed"):
        Peer(name="x", title="x", command=("x",), packages=("no-such-package",)).versions()
    with pytest.raises(MissingError, match="is not installed"):
        Peer(name="x", title="x", command=("x",), node_packages=("no-such-package",)).versions()
    assert PEERS[FLOOR].versions().keys() == {"hypercorn", "trio"}


# Instructions


def test_instructions_are_counted_for_each_event() -> None:
    if shutil.which("valgrind") is None:
        if os.environ.get("CI"):
            pytest.fail("valgrind is missing, and nothing is left out in CI")
        pytest.skip("valgrind is missing: install it")
    taken = []
    with counting(PEERS[BATCHED]) as counter:
        counter.server.drive("drain", events=8_000)
        counter.switch_on()
        for events in (8_000, 8_000, 16_000, 24_000):
            counter.server.drive("drain", events=events)
            taken.append(counter.taken())
        nothing = counter.taken()

    _, once, twice, thrice = taken
    assert thrice - twice == pytest.approx(twice - once, rel=0.2)
    assert 1_000 < (thrice - once) / 16_000 < 20_000
    assert nothing < 0.01 * once


def test_where_there_is_no_valgrind_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(FaultError, match="install valgrind"), counting(PEERS[FLOOR]):
        pass


# Parts of an action


@pytest.mark.parametrize("name", VARIANTS)
async def test_the_parts_of_an_action_change_nothing_of_its_stream(name: str) -> None:
    async with open_stream(getattr(parts, name), "/burst?events=2&start=0", method="GET") as stream:
        assert await stream.rest() == [{"n": 0, "text": "word "}, {"n": 1, "text": "word "}]


def test_each_part_is_a_server_and_so_is_another_python() -> None:
    here = list(variants(None))
    both = list(variants(sys.executable))

    assert [peer.name for peer in here] == list(VARIANTS)
    assert here[0].name == ALONE
    assert both[: len(here)] == here
    assert [peer.command[-1] for peer in both[len(here) :]] == [
        "benchmarks.servers.quart:app",
        "benchmarks.servers.parts:alone",
        "benchmarks.servers.quart:app",
    ]
    assert both[-1].title.endswith(f"with Quart {metadata.version('quart')}")


def test_a_part_is_set_against_the_action_alone_round_by_round() -> None:
    assert line("with a guard", [2.0, None, 9.0], [1.0, 1.0, 3.0]).split() == [
        *("with", "a", "guard", "5.5", "(2", "to", "9)"),
        *("2.5", "(2", "to", "3)"),
    ]


# Rounds


def test_rounds_are_interleaved_and_keep_their_order_from_run_to_run() -> None:
    def order() -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []

        def load(name: str, *, peers: tuple[str, ...] | None = None, **options: bool) -> Load:
            def run(server: Server, size: Size) -> dict[str, float | None]:
                seen.append((name, server.peer.name))
                return {"x": size.scale}

            return Load(name=name, title=name, figures={"x": Figure("")}, run=run, peers=peers, **options)

        rounds = Rounds(Size(0.5))
        loads = [load("all"), load("seldom", seldom=True), load("one", peers=(FLOOR,), once=True)]
        rounds.measure([PEERS[FLOOR], PEERS[PLAIN]], loads, 8)
        assert rounds.values["all"] == {FLOOR: {"x": [0.5] * 8}, PLAIN: {"x": [0.5] * 8}}
        return seen

    seen = order()

    assert [name for name, _ in itertools.groupby(seen, key=lambda one: one[0])] == [
        *("all", "seldom", "one"),
        *("all", "seldom") * 3,
        "all",
    ]
    assert sorted(peer for _, peer in seen) == [FLOOR] * 13 + [PLAIN] * 12
    assert seen == order()


def test_a_round_with_a_fault_is_left_empty_and_told() -> None:
    servers: list[int] = []

    def run(server: Server, size: Size) -> dict[str, float | None]:
        servers.append(server.pid)
        if len(servers) == 1:
            raise FaultError("an event was lost")
        return {"x": 1.0}

    rounds = Rounds(Size())
    rounds.measure([PEERS[FLOOR]], [Load(name="l", title="l", figures={"x": Figure("")}, run=run)], 3)

    assert rounds.values == {"l": {FLOOR: {"x": [None, 1.0, 1.0]}}}
    assert rounds.faults == ["floor, l, round 1: an event was lost"]
    assert servers[0] != servers[1] == servers[2]
