"""A server under callgrind, which counts the instructions that the process takes outside the kernel.

They are the same on every processor, and on a machine that is busy. Time stands still for such a server: callgrind
makes it some fifty times as slow, and what it does in a millisecond would be something else.

    python -m benchmarks.callgrind MODULE:APP    serves an app so
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import final

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from .peers import Peer
from .processes import FaultError, Server, serving


@final
@attrs.define(eq=False)
class Counter:
    """Counts the instructions of *server*; callgrind puts its counts into *place*."""

    server: Server
    _place: Path

    def switch_on(self) -> None:
        """Count from now on. What comes before is some ten times as fast."""
        self._control("--instr=on")

    def taken(self) -> int:
        """Return how many instructions were taken since this was asked last, or since it was switched on.

        Raises:
            FaultError: Callgrind does not answer.
        """
        before = set(self._place.iterdir())
        self._control("--dump")
        counts = [
            int(found[1])
            for path in set(self._place.iterdir()) - before
            if (found := re.search(r"^totals: (\d+)$", path.read_text(), re.MULTILINE))
        ]
        if not counts:
            raise FaultError("callgrind has counted nothing")
        return sum(counts)

    def _control(self, command: str) -> None:
        done = subprocess.run(
            ["callgrind_control", command, str(self.server.pid)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode or "Error" in done.stdout:
            raise FaultError(f"callgrind_control: {done.stdout.strip()}")


@contextmanager
def counting(peer: Peer) -> Iterator[Counter]:
    """Start *peer*, an app for hypercorn, under callgrind; it is gone when the block is left.

    Raises:
        FaultError: There is no valgrind, or the server does not come up.
    """
    if shutil.which("callgrind_control") is None:
        raise FaultError("instructions are counted by callgrind, and it is not here: install valgrind")
    with tempfile.TemporaryDirectory() as place:
        options = ("--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={place}/counts")
        # The order of sets and dicts of strings is the same in every run.
        python, app = peer.command[0], peer.command[-1]
        command = ("env", "PYTHONHASHSEED=0", "valgrind", *options, python, "-m", "benchmarks.callgrind", app)
        with serving(attrs.evolve(peer, command=command)) as server:
            yield Counter(server, Path(place))


@final
class StillClock(trio.abc.Clock):
    """A clock at which it is always the same time; to read it costs no more than Trio's own."""

    def start_clock(self) -> None:
        """There is nothing to start."""

    def current_time(self) -> float:
        """Return a time."""
        return 1.0

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return for how long nothing will be due."""
        return 0.0 if deadline <= self.current_time() else math.inf


def main() -> None:
    """Serve what the command line names."""
    module, _, name = sys.argv[1].partition(":")
    config = Config()
    config.bind = ["127.0.0.1:0"]
    trio.run(serve, getattr(import_module(module), name), config, clock=StillClock())


if __name__ == "__main__":
    main()
