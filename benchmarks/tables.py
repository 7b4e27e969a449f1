"""A run as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import machine
from .figures import Spread, rounded
from .loads import LOADS
from .peers import FLOOR, OURS, PEERS
from .results import Run
from .rounds import Column
from .targets import TARGETS, gains

Shown = tuple[tuple[str, str, str], ...]
"""Columns: load, figure, head."""

BURSTS: Shown = (
    ("burst", "cpu_us", "burst, 1 connection: us of CPU an event"),
    ("burst64", "cpu_us", "burst, 64 connections: us of CPU an event"),
    ("burst", "events_per_s", "burst, 1 connection: events/s"),
    ("burst-instructions", "event", "burst: thousand instructions an event"),
    ("short-instructions", "stream", "thousand instructions a short stream"),
    ("short", "streams_per_s", "short streams/s"),
    ("short", "cpu_us", "us of CPU a short stream"),
)
TIMES: Shown = (
    ("first", "p50_ms", "first event, p50"),
    ("ticks", "p50_ms", "tick, 100 streams, p50"),
    ("ticks-in-step", "p50_ms", "the same, in step, p50"),
    ("lateness", "p50_ms", "late beside a burst, p50"),
    ("lateness", "max_ms", "the same, longest"),
    ("cancel", "p50_ms", "cancelled, p50"),
)
COSTS: Shown = (
    ("ticks", "cpu_us", "us of CPU a tick"),
    ("ticks-in-step", "cpu_us", "the same, in step"),
    ("idle", "kib", "KiB an idle stream"),
    ("slow", "mib", "MiB for a reader that pauses"),
)
HTTP2: Shown = (
    ("http2-burst", "cpu_us", "burst, 1 stream: us of CPU an event"),
    ("http2-burst64", "cpu_us", "burst, 64 streams: us of CPU an event"),
    ("http2-ticks", "p50_ms", "tick, 100 streams, ms p50"),
    ("http2-ticks", "cpu_us", "us of CPU a tick"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(column: Column | None) -> str:
    """Write the median, and the least and the most behind it."""
    known = [value for value in column or () if value is not None]
    if not known:
        return "-"
    spread = Spread.of(known)
    return f"{rounded(spread.median)} <sub>{rounded(spread.least)} to {rounded(spread.most)}</sub>"


def servers_table(run: Run, shown: Shown) -> str:
    """Set every server beside the others."""
    shown = tuple(column for column in shown if column[0] in run.values)
    names = [name for name in PEERS if any(name in run.values[load] for load, _, _ in shown)]
    head = ["", *(title for _, _, title in shown)]
    rows = [
        [_title(name), *(cell(run.values[load].get(name, {}).get(figure)) for load, figure, _ in shown)]
        for name in names
    ]
    return table(head, rows)


def ratios_table(run: Run) -> str:
    """How many times as good as the floor each server was, in the same rounds."""
    shown = [
        ("burst", "cpu_us", "burst, 1"),
        ("burst64", "cpu_us", "burst, 64"),
        ("short", "cpu_us", "short streams"),
        ("ticks-in-step", "cpu_us", "ticks in step"),
    ]
    rows = []
    for name in (name for name in PEERS if name != FLOOR and name in run.values.get("burst", {})):
        found = [gains(run.values, load, figure, FLOOR, name) for load, figure, _ in shown]
        rows.append([_title(name), *(cell(list(gain)) for gain in found)])
    return table(["", *(title for _, _, title in shown)], rows)


def targets_table(run: Run) -> str:
    """Set what was reached beside what was to be."""
    rows = []
    for target in TARGETS:
        reached = target.reached(run.values)
        sign = "at most" if target.against is None else "at least"
        bounds = [f"{sign} {bound:g}" if bound is not None else "" for bound in (target.must, target.want)]
        said = ["-", "not measured"]
        if reached is not None:
            said = [f"{rounded(reached.median)} <sub>{rounded(reached.least)} to {rounded(reached.most)}</sub>"]
            said.append(target.verdict(reached, run.machine["cpu"]))
        against = "" if target.against is None else PEERS[target.against].title
        rows.append([target.title, against, *bounds, *said])
    return table(["", "times as good as", "must", "want", "reached", ""], rows)


def provenance(run: Run) -> str:
    """Say where the numbers come from."""
    versions = {package: version for made_of in run.versions.values() for package, version in made_of.items()}
    lines = [
        f"{run.date}, `{run.command}`: {run.rounds} interleaved rounds at {run.scale:g} of the full length, on "
        f"{machine.said(run.machine)}, load average before the run {run.load_average:.2f}.",
        "",
        "Each number is the median of the rounds, the least and the most behind it.",
        "",
        "Versions: " + ", ".join(f"{package} {version}" for package, version in sorted(versions.items())) + ".",
    ]
    if run.left_out:
        lines += ["", "Left out: " + "; ".join(f"{name} ({why})" for name, why in run.left_out.items()) + "."]
    if run.faults:
        lines += ["", "Faults:", "", *(f"- {fault}" for fault in run.faults)]
    return "\n".join(lines)


def busiest_client(run: Run) -> float:
    """How much of its core the client has used, where it used most: the proof that it is not what is measured."""
    return max(
        (
            value
            for load, servers in run.values.items()
            if "client_busy" in LOADS[load].figures
            for columns in servers.values()
            for value in columns["client_busy"]
            if value is not None
        ),
        default=0.0,
    )


def report(run: Run) -> str:
    """The whole run."""
    parts = [
        provenance(run),
        f"The client used {busiest_client(run):.0%} of its core at most.",
        "### Against the targets\n\n" + targets_table(run),
        "### Times as good as the floor, CPU\n\n" + ratios_table(run),
    ]
    sections = {"Bursts and short streams": BURSTS, "Times, in ms": TIMES, "Ticks and memory": COSTS, "HTTP/2": HTTP2}
    for title, shown in sections.items():
        if any(load in run.values for load, _, _ in shown):
            parts.append(f"### {title}\n\n{servers_table(run, shown)}")
    return "\n\n".join(parts)


def _title(name: str) -> str:
    title = PEERS[name].title if name in PEERS else name
    return f"**{title}**" if name == OURS else title
