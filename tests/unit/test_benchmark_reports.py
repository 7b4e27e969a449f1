"""What was measured is summed up, set against the targets, and shown, rightly."""

from __future__ import annotations

import platform
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results
from benchmarks.figures import Spread, percentile, ratios, rounded
from benchmarks.loads import LOADS
from benchmarks.machine import processor
from benchmarks.peers import BATCHED, FLOOR, OURS, PEERS, PLAIN
from benchmarks.plots import bars, flat
from benchmarks.results import Run
from benchmarks.rounds import Measured
from benchmarks.tables import cell, report
from benchmarks.targets import GUARDS, TARGETS, Target, broken, gains, guarded

ROOT = Path(__file__).parent.parent.parent
HERE = (FLOOR, BATCHED, OURS, PLAIN)


def test_the_middle_and_the_ends() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)


def test_percentiles_lie_among_the_values() -> None:
    assert percentile([5.0], 99) == 5
    assert percentile(range(101), 50) == 50
    assert percentile(range(101), 99) == 99
    assert percentile([1, 2], 50) == 1.5


def test_ratios_are_made_round_by_round() -> None:
    assert ratios([10, 30, 5], [5, 10, 5]) == [2, 3, 1]
    assert ratios([10, None, 5], [5, 10, None]) == [2]
    with pytest.raises(ValueError, match="zip"):
        ratios([1], [1, 2])


@pytest.mark.parametrize(
    ("value", "said"),
    [(12345.6, "12,346"), (999.4, "999"), (123.4, "123"), (12.345, "12.3"), (0.01234, "0.0123"), (0, "0")],
)
def test_numbers_are_written_with_the_digits_that_say_something(value: float, said: str) -> None:
    assert rounded(value) == said


def values(ours: float, floor: float = 100.0) -> Measured:
    """A run in which every figure of ours was *ours*, and *floor* of the others."""
    names = {OURS: ours, FLOOR: floor, BATCHED: floor, PLAIN: floor, "sse-starlette": floor}
    return {
        load: {name: {figure: [value] * 3 for figure in LOADS[load].figures} for name, value in names.items()}
        for load in LOADS
    }


def test_gains_are_more_where_it_is_better() -> None:
    assert gains(values(50), "burst", "cpu_us", FLOOR) == [2, 2, 2]
    assert gains(values(50), "burst", "events_per_s", FLOOR) == [0.5, 0.5, 0.5]
    assert gains(values(50), "burst", "cpu_us", OURS, FLOOR) == [0.5, 0.5, 0.5]
    assert gains({}, "burst", "cpu_us", FLOOR) == []


@pytest.mark.parametrize("reached", [(27.0, "wanted, reached"), (26.9, "reached"), (22.9, "**missed**")])
def test_a_target_against_another_server_is_at_least(reached: tuple[float, str]) -> None:
    target = Target(title="t", load="burst", figure="cpu_us", against=FLOOR, must=23, want=27)
    found = target.reached(values(1.0, floor=reached[0]))

    assert found is not None
    assert (found.median, target.verdict(found, "any")) == reached


@pytest.mark.parametrize("reached", [(30.0, "wanted, reached"), (36.0, "reached"), (36.1, "**missed**")])
def test_a_target_by_itself_is_at_most(reached: tuple[float, str]) -> None:
    target = Target(title="t", load="idle", figure="kib", against=None, must=36, want=30)
    found = target.reached(values(reached[0]))

    assert found is not None
    assert (found.median, target.verdict(found, "any")) == reached
    assert target.reached({}) is None


def test_a_target_that_was_set_on_one_processor_is_neither_reached_nor_missed_on_another() -> None:
    target = Target(title="t", load="burst", figure="cpu_us", against=FLOOR, must=23, processor="Intel")
    found = Spread.of([22.0])

    assert target.verdict(found, "Intel(R) Xeon(R) Processor") == "**missed**"
    assert target.verdict(found, "AMD EPYC, family 26, model 2") == "set on Intel"


def test_every_target_and_guard_is_measured() -> None:
    for aim in (*TARGETS, *GUARDS):
        assert aim.figure in LOADS[aim.load].figures
        assert aim.against is None or aim.against in PEERS
    # The guard runs without the peers, which only the environment of the benchmarks has.
    assert {guard.against for guard in GUARDS} <= set(HERE)


def test_a_guard_leaves_a_busy_machine_some_of_what_was_reached() -> None:
    kept = Run.load("full").values
    found = {guard: gains(kept, guard.load, guard.figure, guard.against) for guard in GUARDS}
    measured = {guard: Spread.of(values).median for guard, values in found.items() if values}

    assert len(measured) > len(GUARDS) / 2  # the kept run may be older than a guard
    assert all(guard.at_least < 0.97 * reached for guard, reached in measured.items())


def test_the_guards_put_each_load_on_the_servers_that_they_compare() -> None:
    pairs = {(load.name, name) for load in guarded() for name in load.peers or ()}

    assert pairs == {(guard.load, name) for guard in GUARDS for name in (guard.against, OURS)}
    assert len(guarded()) == len({guard.load for guard in GUARDS})


def test_the_guards_hold_where_all_is_better_and_break_where_it_is_worse() -> None:
    assert broken(values(1.0)) == []
    assert len(broken(values(1000.0))) == len(GUARDS)
    assert "not measured" in broken({})[0]
    (said,) = broken({**values(1.0), "burst": values(1000.0)["burst"]})
    assert said.startswith("burst, us of CPU an event, against batched: 0.1 times as good, under 0.17")


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nmodel\t\t: 2\n", "AMD EPYC, family 26, model 2"),
        ("model name\t: ARMv7 Processor rev 4 (v7l)\n", "ARMv7 Processor rev 4 (v7l)"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", platform.machine()),
    ],
)
def test_a_processor_is_named_as_far_as_it_is_known(cpuinfo: str, name: str) -> None:
    assert processor(cpuinfo) == name


# Reports


@pytest.fixture
def run() -> Run:
    versions = {name: {"made-of": "1.0"} for name in HERE}
    return Run(
        date="2026-01-01 12:00 UTC",
        command="python -m benchmarks run",
        machine={"cpu": "an Intel processor", "cores": 2, "kernel": "6.1", "python": "3.11"},
        load_average=0.5,
        rounds=3,
        scale=1.0,
        versions=versions,
        left_out={"h3": "Node is not installed"},
        faults=["floor, burst, round 1: an event was lost"],
        values=values(4.0),
    )


def test_a_run_is_kept_whole(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "HERE", tmp_path)
    run.save("kept")

    assert Run.load("kept") == run


def test_a_report_says_all_that_a_result_must(run: Run) -> None:
    said = report(run)

    for what in (
        "2026-01-01",
        "python -m benchmarks run",
        "an Intel processor",
        "6.1",
        "made-of 1.0",
        "h3 (Node is not",
    ):
        assert what in said
    assert "- floor, burst, round 1: an event was lost" in said
    assert "| burst, 1 connection, CPU | floor: bare ASGI on hypercorn | at least 23 | at least 27 | 25 <sub>" in said
    assert "| **trio_streamact** | 4 <sub>4 to 4</sub> |" in said


def test_a_cell_has_the_median_and_the_ends_of_the_rounds_that_succeeded() -> None:
    assert cell([1.0, None, 3.0, 8.0]) == "3 <sub>1 to 8</sub>"
    assert cell([None]) == cell(None) == "-"


def svg(text: str) -> Any:
    return ET.fromstring(text)


def test_the_bars_are_as_long_as_what_they_show(run: Run) -> None:
    drawn = svg(bars(run))
    lengths = [float(bar.get("width")) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    words = [word.text for word in drawn.iter("{http://www.w3.org/2000/svg}text")]

    assert max(lengths) == pytest.approx(25 * min(lengths), rel=0.02)
    assert max(lengths) == 220  # the room there is
    assert "on an Intel processor, Python 3.11" in words
    assert {"trio_streamact", "25", "1 connection", "64 connections"} <= set(words)


def test_the_lines_are_level_where_the_cost_is(run: Run) -> None:
    lines = [line.get("points").split() for line in svg(flat(run)).iter("{http://www.w3.org/2000/svg}polyline")]
    heights = [{point.split(",")[1] for point in points} for points in lines]

    assert "on an Intel processor, Python 3.11" in flat(run)
    assert all(len(level) == 1 for level in heights)
    assert len({min(level) for level in heights}) == 4 - 2  # ours and the floor's, the same in both panels


def test_the_readme_shows_the_results_that_are_kept() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    shown = readme.partition("<!-- results of full -->")[2].partition("<!-- end of results -->")[0]

    assert shown.strip() == (report(Run.load("full")) if (results.HERE / "full.json").exists() else "")


def test_the_command_line_says_what_there_is() -> None:
    command = [sys.executable, "-m", "benchmarks"]
    done = subprocess.run([*command, "run", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert all(name in done.stdout.replace("\n", "").replace(" ", "") for name in (*PEERS, *LOADS))
    wrong = subprocess.run([*command, "run", "--loads", "x"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("there is no x; there are burst,")) == (1, True)
