"""What does an action cost that has a guard, a middleware, or one that wraps it, against the same action alone?

    python -m benchmarks.parts [--rounds N] [--beside PYTHON]

Each is a server of its own; the loads are the short streams, timed and counted, and the ratios are made within a round.
``--beside`` names another interpreter, which has another Quart: the action alone is then run on that one too, and a
generator of plain quart-trio on both. So it shows what it costs to hold the contexts of a request, as with Quart 0.23,
or to copy them, as with older ones.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterator, Sequence

import attrs

from . import machine
from .figures import Spread, ratios, rounded
from .loads import LOADS, Load, Size
from .peers import PLAIN, Peer, on_hypercorn
from .processes import build_client
from .rounds import Column, Rounds

ALONE = "alone"
VARIANTS = {
    ALONE: "the action alone",
    "guard": "with a guard",
    "middleware": "with a middleware",
    "wrapping_guard": "with a guard that wraps it",
    "wrapping_middleware": "with a middleware that wraps it",
}
SHOWN = (("short", "cpu_us"), ("short-instructions", "stream"))


def variants(beside: str | None) -> Iterator[Peer]:
    """Give the servers, of which the first is what the others are set against."""
    for name, title in VARIANTS.items():
        yield on_hypercorn(name, title, app=f"benchmarks.servers.parts:{name}")
    if beside is not None:
        yield on_hypercorn(PLAIN, "quart-trio generator")
        version = "import sys, importlib.metadata as m; print(sys.version.split()[0], 'with Quart', m.version('quart'))"
        there = subprocess.run([beside, "-c", version], capture_output=True, text=True, check=True).stdout.strip()
        alone, app = f"the action alone, on Python {there}", f"benchmarks.servers.parts:{ALONE}"
        yield on_hypercorn("alone-beside", alone, app=app, python=beside)
        plain, app = f"quart-trio generator, on Python {there}", f"benchmarks.servers.{PLAIN}:app"
        yield on_hypercorn("plain-beside", plain, app=app, python=beside)


def spread(values: Sequence[float]) -> str:
    """Write the median, and the least and the most behind it."""
    if not values:
        return "-"
    found = Spread.of(values)
    return f"{rounded(found.median)} ({rounded(found.least)} to {rounded(found.most)})"


def line(title: str, column: Column, alone: Column) -> str:
    """Write what one server took, and that against the action alone."""
    known = [value for value in column if value is not None]
    return f"  {title:56}{spread(known):>28}{spread(ratios(column, alone)):>24}"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--beside", metavar="PYTHON")
    arguments = parser.parse_args()
    build_client()
    peers = list(variants(arguments.beside))
    measured = Rounds(Size())
    loads: list[Load] = [attrs.evolve(LOADS[load], peers=None) for load, _ in SHOWN]
    measured.measure(peers, loads, arguments.rounds)
    print(machine.said(machine.description()))
    for load, figure in SHOWN:
        print(f"\n{LOADS[load].title}: {LOADS[load].figures[figure].unit}, and times the action alone")
        columns = measured.values[load]
        for peer in peers:
            print(line(peer.title, columns[peer.name][figure], columns[ALONE][figure]))
    for fault in measured.faults:
        print(fault)


if __name__ == "__main__":
    main()
