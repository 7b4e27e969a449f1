"""A campaign: so many random connections against one server, and whether it is afterwards as it was before."""

from __future__ import annotations

import itertools
import math
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import trio
from attrs import define, evolve, field

from tests.fuzz import http1, http2, websockets
from tests.fuzz.play import Figures, Target, neighbour, target
from tests.fuzz.scripts import Script

PROTOCOLS: dict[str, Callable[[random.Random], Script]] = {
    "http1": http1.connection,
    "http2": http2.connection,
    "websockets": websockets.connection,
}
AT_ONCE = 16
"""How many connections there are at a time."""

BATCH = 2000
"""After how many the server is left alone for a moment, and looked at."""

LONGEST_S = 0.25
"""How long a worker may let a neighbour wait for what strangers do."""

GROWTH_KIB = 16 * 1024
"""How much more memory a worker may take in the end than after the first batch."""

ERROR = re.compile(rb"^[ |]*([\w.]+(?:Error|Exception|Cancelled|Interrupt|Exit|Group)\b[^\n]{0,100})", re.MULTILINE)


def script(protocol: str, seed: int, number: int) -> Script:
    """Return the script of one connection: the same for the same seed and number."""
    name = f"{protocol}/{seed}/{number}"
    made = PROTOCOLS[protocol](random.Random(name))
    return Script(made.pieces, made.end, made.wait_s, made.reads, name)


@define(eq=False)
class Report:
    """What came of a campaign."""

    title: str
    connections: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    held: list[Figures] = field(factory=list)
    """What the worker held at first, and after each batch."""
    seen: dict[str, Any] = field(factory=dict)
    """What the neighbour has seen."""
    log: bytes = b""
    left: list[Script] = field(factory=list)
    """Whose connections are still there."""
    suspects: list[Script] = field(factory=list)
    """Which connections there were when a traceback was logged, or when the neighbour waited for too long."""

    @property
    def tracebacks(self) -> int:
        return self.log.count(b"Traceback (most recent call last)")

    @property
    def longest_held_s(self) -> float:
        return max((gap["held_s"] for gap in self.seen.get("worst", [])), default=math.inf)

    @property
    def growth_kib(self) -> int:
        begun = self.held[1] if len(self.held) > 2 else self.held[0]
        return self.held[-1].kib - begun.kib

    def kinds(self) -> Counter[str]:
        """Count what the tracebacks end with."""
        return Counter(line.decode(errors="replace") for line in ERROR.findall(self.log))

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        before, after = self.held[0], self.held[-1]
        found = {
            f"{after.tasks - before.tasks} tasks are left: {dict(after.names - before.names)}": after.tasks
            > before.tasks,
            f"{after.files - before.files} descriptors are left": after.files > before.files,
            f"memory has grown by {self.growth_kib} KiB": self.growth_kib > GROWTH_KIB,
            f"a neighbour waited {self.longest_held_s:.3f} s for the worker": self.longest_held_s > LONGEST_S,
            "the stream of a neighbour ended": self.seen.get("is_over", True),
            f"{self.tracebacks} tracebacks are in the log": self.tracebacks > 0,
        }
        return [fault for fault, is_so in found.items() if is_so]

    def __str__(self) -> str:
        before, after = self.held[0], self.held[-1]
        worst = self.seen["worst"][0]
        spent = (after.cpu_s - before.cpu_s) / max(1, self.sent_bytes) * 1e6
        return (
            f"{self.title}: {self.connections} connections, {self.sent_bytes / 1e6:.1f} MB in {self.seconds:.0f} s; "
            f"{after.tasks - before.tasks} tasks and {after.files - before.files} descriptors left; memory "
            f"{' '.join(f'{held.kib / 1024:.1f}' for held in self.held)} MiB; {spent:.2f} s of the processor per MB; "
            f"the neighbour's longest wait {self.seen['longest_s'] * 1000:.0f} ms of {self.seen['ticks']}, of the "
            f"worker's making {worst['held_s'] * 1000:.0f} ms (waited {worst['waited_s'] * 1000:.0f}, the machine late "
            f"by {worst['late_s'] * 1000:.0f}, processor {worst['cpu_s'] * 1000:.0f}); {self.tracebacks} tracebacks, "
            f"{len(self.log)} bytes of log"
        )


@define(eq=False)
class Campaign:
    """Plays scripts against one server.

    Args:
        title: How it is called.
        scripts: The scripts; they may be endless.
        seconds: How long to begin new ones.
    """

    title: str
    scripts: Iterator[Script]
    seconds: float = math.inf
    _begun: list[tuple[float, float, Script]] = field(factory=list)
    _logged: int = 0

    async def run(self, *, websockets: bool = True, warm_up: int = 100) -> Report:
        """Play all, and return what came of it."""
        report, began = Report(self.title), time.monotonic()
        async with target(websockets=websockets) as server, neighbour(server) as look:
            empty = await server.at_rest()
            await self._play(server, itertools.islice(self.scripts, warm_up))
            report.held.append(
                evolve(await server.settled(empty), tasks=empty.tasks, files=empty.files, names=empty.names)
            )
            self._logged = len(server.output)
            ends = time.monotonic() + self.seconds
            while batch := [*itertools.islice(self.scripts, BATCH)]:
                played = await self._play(server, iter(batch), ends, report)
                report.connections += len(played)
                report.sent_bytes += sum(each.size for each in played)
                report.held.append(await server.settled(report.held[0]))
                if time.monotonic() > ends:
                    break
            left = report.held[-1].ports - report.held[0].ports
            report.left = [server.scripts[port] for port in left if port in server.scripts]
            report.seen = await look()
            report.log = bytes(server.output[self._logged :])
        report.seconds = time.monotonic() - began
        report.suspects += self._there_at(
            [gap["ended_at"] for gap in report.seen["worst"] if gap["held_s"] > LONGEST_S]
        )
        return report

    async def _play(
        self, server: Target, scripts: Iterator[Script], ends: float = math.inf, report: Report | None = None
    ) -> list[Script]:
        played: list[Script] = []

        async def play_some() -> None:
            for each in scripts:
                if time.monotonic() > ends:
                    return
                played.append(each)
                began, tracebacks = time.monotonic(), server.output.count(b"Traceback")
                await server.play(each)
                self._begun.append((began, time.monotonic(), each))
                if report is not None and server.output.count(b"Traceback") > tracebacks:
                    report.suspects.append(each)

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(play_some)
        return played

    def _there_at(self, moments: list[float]) -> list[Script]:
        """Return the scripts that were played shortly before one of *moments*, the largest first."""
        there = [
            each for began, ended, each in self._begun for at in moments if began < at and ended > at - 2 * LONGEST_S
        ]
        return sorted(there, key=lambda each: -each.size)[:20]


def numbered(protocol: str, seed: int, first: int = 0) -> Iterator[Script]:
    """Return the scripts of a protocol, without end."""
    return (script(protocol, seed, number) for number in itertools.count(first))
