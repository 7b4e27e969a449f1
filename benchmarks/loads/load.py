"""What a load is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from ..peers import Peer
from ..processes import Server

Values = Mapping[str, float | None]
"""What one run has measured, by figure; None where there is nothing to measure, such as the time of what never came."""


@attrs.frozen
class Size:
    """How long and how often, as against the whole benchmark."""

    scale: float = 1.0

    def times(self, count: int) -> int:
        """Give *count* at this size, and at least 1."""
        return max(1, round(count * self.scale))


@attrs.frozen
class Figure:
    """One number that a load gives."""

    unit: str
    better: Literal["less", "more"] = "less"


@attrs.frozen(kw_only=True)
class Load:
    """A question to every server.

    Args:
        name: Its name on the command line.
        title: What it does, for a table.
        figures: What it gives, by name.
        run: Puts it on a server, and gives the values.
        fresh: Whether it wants a server that has done nothing yet.
        http2: Whether it is for servers that speak HTTP/2.
        peers: The servers it is for, by name; None for all of them.
        seldom: Whether every other round is enough: it takes long, or varies little.
        once: Whether the first round is enough: it is the same in each.
        quick: Whether it belongs to a quick run.
    """

    name: str
    title: str
    figures: Mapping[str, Figure]
    run: Callable[[Server, Size], Values]
    fresh: bool = False
    http2: bool = False
    peers: tuple[str, ...] | None = None
    seldom: bool = False
    once: bool = False
    quick: bool = True

    def is_in(self, number: int) -> bool:
        """Whether it belongs to round *number*, of which the first is 1."""
        return number == 1 if self.once else bool(number % 2) or not self.seldom

    def is_for(self, peer: Peer) -> bool:
        """Whether it can be put on *peer*."""
        return (peer.http2 or not self.http2) and (self.peers is None or peer.name in self.peers)
