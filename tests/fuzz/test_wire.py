"""Nothing that strangers send over a connection hurts anybody else, whatever it is and whenever they leave.

The same random connections each time, against the real hypercorn in a process of its own. ``make fuzz`` plays others.
"""

from __future__ import annotations

import itertools

import pytest
import trio

from tests.fuzz.campaign import Campaign, Report, numbered, script
from tests.fuzz.scripts import Script
from tests.fuzz.shrink import culprits

SEED = 1
CONNECTIONS = {"http1": 350, "http2": 350, "websockets": 250, "websockets-unserved": 150}
SHRINKING_S = 30.0


async def verdict(report: Report, *, websockets: bool) -> str:
    """Say what is wrong, and how to see it again."""
    found = await culprits(report, SHRINKING_S, websockets=websockets)
    shown = [f"shown again by --replay of a file with: {each.dumped()}" for each in found]
    return "\n".join([str(report), *report.faults(), *map(str, report.kinds().most_common(5)), *shown])


@pytest.mark.parametrize("part", CONNECTIONS)
async def test_random_connections_leave_nothing_behind_and_let_nobody_wait(part: str) -> None:
    served = not part.endswith("-unserved")
    scripts = itertools.islice(numbered(part.removesuffix("-unserved"), SEED), CONNECTIONS[part])
    with trio.fail_after(240):
        report = await Campaign(part, scripts).run(websockets=served)
        print(report)
        if report.faults():
            pytest.fail(await verdict(report, websockets=served))


@pytest.mark.parametrize("protocol", ["http1", "http2", "websockets"])
def test_a_seed_and_a_number_are_always_the_same_connection(protocol: str) -> None:
    for number in range(20):
        made = script(protocol, SEED, number)
        assert made == script(protocol, SEED, number) == Script.loaded(made.dumped())


def test_a_shorter_script_does_less() -> None:
    made = Script(((0.1, b"abcdefgh"), (0.0, b"ij")), "rst", 0.5)
    shorter = made.shorter()
    assert Script(((0.0, b"ij"),), "rst", 0.5) in shorter
    assert Script(((0.0, b"abcdefgh"), (0.0, b"ij")), "rst", 0.5) in shorter
    assert Script(((0.1, b"efgh"), (0.0, b"ij")), "rst", 0.5) in shorter
    assert Script(((0.1, b"abcdefgh"), (0.0, b"ij")), "rst") in shorter
    assert made not in shorter
