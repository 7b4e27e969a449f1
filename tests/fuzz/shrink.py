"""Which connection did it, and the least of it that still does."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Sequence

import trio

from tests.fuzz.campaign import LONGEST_S, Report
from tests.fuzz.play import STILL_S, Target, target
from tests.fuzz.scripts import Script

Guilty = Callable[[Target, Sequence[Script]], Awaitable[list[Script]]]
"""Plays scripts, and returns those that show a fault again."""


async def leaving(server: Target, scripts: Sequence[Script]) -> list[Script]:
    """Return the scripts whose connections stay."""
    before = (await server.figures()).ports
    ports: dict[int, Script] = {}
    waiting = iter(scripts)

    async def play_some() -> None:
        for script in waiting:
            ports[await server.play(script)] = script

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(play_some)
    with trio.move_on_after(STILL_S):
        while (await server.figures()).ports - before:  # noqa: ASYNC110 - it is in another process
            await trio.sleep(0.3)
    left = (await server.figures()).ports - before
    return [script for port, script in ports.items() if port in left]


async def logging(server: Target, scripts: Sequence[Script]) -> list[Script]:
    """Return the scripts at which a traceback is logged."""
    found = []
    for script in scripts:
        size = len(server.output)
        await server.play(script)
        await server.figures()  # by then it is logged
        await trio.sleep(0.05)
        if b"Traceback" in server.output[size:]:
            found.append(script)
    return found


async def holding(server: Target, scripts: Sequence[Script]) -> list[Script]:
    """Return the scripts that take the processor for so long that they may hold all others."""
    found = []
    for script in scripts:
        before = await server.figures()
        await server.play(script)
        if (await server.figures()).cpu_s - before.cpu_s > LONGEST_S:
            found.append(script)
    return found


async def shrunk(guilty: Guilty, suspects: Sequence[Script], within_s: float, *, websockets: bool) -> Script | None:
    """Return the shortest script that shows the fault, or None if none of the *suspects* shows it again."""
    best: Script | None = None
    dice = random.Random(0)
    async with target(websockets=websockets) as server:
        await server.at_rest()
        with trio.move_on_after(within_s):
            for some in itertools.batched(suspects, 20) if hasattr(itertools, "batched") else [suspects[:60]]:
                if found := await guilty(server, some):
                    best = min(found, key=_length)
                    break
            while best is not None:
                shorter = [script for script in best.shorter() if _length(script) < _length(best)]
                found = await guilty(server, dice.sample(shorter, min(60, len(shorter))))
                if not found:
                    break
                best = min(found, key=_length)
    return best


def _length(script: Script) -> tuple[int, int, float]:
    return script.size, len(script.pieces), script.wait_s + sum(pause_s for pause_s, _ in script.pieces)


async def culprits(report: Report, within_s: float, *, websockets: bool) -> list[Script]:
    """Return short scripts that show the faults of *report* again, one of each kind."""
    found = []
    wanted: list[tuple[bool, Guilty, list[Script]]] = [
        (bool(report.left), leaving, report.left),
        (report.tracebacks > 0, logging, report.suspects),
        (report.longest_held_s > LONGEST_S, holding, report.suspects),
    ]
    for is_wanted, guilty, suspects in wanted:
        if is_wanted:
            with trio.move_on_after(within_s + 30):
                best = await shrunk(guilty, suspects, within_s, websockets=websockets)
                found += [] if best is None else [best]
    return found
