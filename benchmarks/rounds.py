"""Interleaved rounds: in each, every load goes to every server before the next one goes to any."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import attrs

from .loads import Load, Size
from .peers import Peer
from .processes import FaultError, Server, serving

Column = list[float | None]
"""One value a round, None for a round that failed."""
Measured = dict[str, dict[str, dict[str, Column]]]
"""Columns by load, server and figure."""


@attrs.define(eq=False)
class Rounds:
    """Servers that run, what was measured on them, and what could not be."""

    size: Size
    values: Measured = attrs.field(factory=dict)
    faults: list[str] = attrs.field(factory=list)
    _stack: ExitStack = attrs.field(factory=ExitStack)
    _servers: dict[str, Server] = attrs.field(factory=dict)

    def measure(self, peers: Sequence[Peer], loads: Sequence[Load], rounds: int) -> None:
        """Put each of *loads* on each of *peers*, *rounds* times.

        The order of the peers is another one in each round, and the same in every run.
        """
        shuffled = random.Random(1)
        with self._stack:
            for number in range(1, rounds + 1):
                order = list(peers)
                shuffled.shuffle(order)
                for load in (load for load in loads if load.is_in(number)):
                    say(f"round {number} of {rounds}: {load.title}")
                    for peer in order:
                        if load.is_for(peer):
                            self._add(peer, load, number)

    def _add(self, peer: Peer, load: Load, number: int) -> None:
        try:
            values = self._run(peer, load)
        except FaultError as failure:
            values = {}
            self.faults.append(f"{peer.name}, {load.name}, round {number}: {failure}")
            say(f"  {self.faults[-1]}")
        columns = self.values.setdefault(load.name, {}).setdefault(peer.name, {figure: [] for figure in load.figures})
        for figure, column in columns.items():
            column.append(values.get(figure))

    def _run(self, peer: Peer, load: Load) -> dict[str, float | None]:
        if load.fresh:
            with serving(peer) as server:
                return dict(load.run(server, self.size))
        if peer.name not in self._servers:
            self._servers[peer.name] = self._stack.enter_context(serving(peer))
        try:
            return dict(load.run(self._servers[peer.name], self.size))
        except FaultError:
            del self._servers[peer.name]  # whatever state it is in, the next load shall find a new one
            raise


def say(text: str) -> None:
    """Tell whoever waits what is going on."""
    print(text, file=sys.stderr, flush=True)
