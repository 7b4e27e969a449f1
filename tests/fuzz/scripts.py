"""What one client does on one connection, as data: so that it can be printed, played again and made shorter."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Literal

from attrs import evolve, field, frozen

End = Literal["fin", "rst", "half"]


@frozen
class Script:
    """Pieces to send, each after a pause; then the end, after another.

    Attributes:
        pieces: Seconds to wait, and bytes to send then.
        end: How the client leaves: closing, with a reset, or closing one half and reading to the end.
        wait_s: How long it goes on reading before it leaves.
        reads: Whether it reads at all.
    """

    pieces: tuple[tuple[float, bytes], ...]
    end: End = "fin"
    wait_s: float = 0.0
    reads: bool = True
    name: str = field(default="", eq=False)

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.pieces)

    def __str__(self) -> str:
        shown = [(pause_s, f"{data[:200]!r}{'...' * (len(data) > 200)}") for pause_s, data in self.pieces[:20]]
        told = ", ".join(f"{pause_s:g} s {data}" for pause_s, data in shown)
        return f"{self.name}, {self.size} bytes, ends by {self.end} after {self.wait_s:g} s, reads {self.reads}: {told}"

    def dumped(self) -> str:
        """Return the script as a line of JSON."""
        pieces = [[pause_s, data.decode("latin-1")] for pause_s, data in self.pieces]
        told = {"name": self.name, "pieces": pieces, "end": self.end, "wait_s": self.wait_s, "reads": self.reads}
        return json.dumps(told)

    @classmethod
    def loaded(cls, line: str) -> Script:
        told: dict[str, Any] = json.loads(line)
        pieces = tuple((pause_s, text.encode("latin-1")) for pause_s, text in told.pop("pieces"))
        return cls(pieces=pieces, **told)

    def shorter(self) -> list[Script]:
        """Return simpler scripts: without a piece or a pause, cut short, or leaving at once."""
        found = []
        for at, (pause_s, data) in enumerate(self.pieces):
            others = self.pieces[:at], self.pieces[at + 1 :]
            found.append(evolve(self, pieces=(*others[0], *others[1])))
            if pause_s:
                found.append(evolve(self, pieces=(*others[0], (0.0, data), *others[1])))
            for start, stop in _cuts(len(data)):
                found.append(evolve(self, pieces=(*others[0], (pause_s, data[:start] + data[stop:]), *others[1])))
        if self.wait_s:
            found.append(evolve(self, wait_s=0.0))
        return [script for script in found if script.pieces]


def _cuts(size: int) -> list[tuple[int, int]]:
    """Which parts may be left out of a piece: halves, quarters and so on, down to a byte where there are few."""
    cuts: list[tuple[int, int]] = []
    length = size // 2
    while length and len(cuts) < 40:
        cuts += [(start, start + length) for start in range(0, size, length)]
        length //= 2
    return cuts


def script_of(dice: random.Random, parts: Sequence[bytes]) -> Script:
    """Send *parts*, cut anywhere, with pauses or without, perhaps not to the end; and leave at any moment."""
    pieces = [part for part in parts if part]
    cutting = dice.choice(["parts", "parts", "one", "anywhere", "bytes"])
    whole = b"".join(pieces)
    if cutting == "one":
        pieces = [whole]
    elif cutting == "anywhere" or len(pieces) > 40:
        places = sorted(dice.randrange(len(whole) + 1) for _ in range(dice.randint(1, 6)))
        pieces = [whole[start:stop] for start, stop in zip([0, *places], [*places, len(whole)], strict=True)]
    elif cutting == "bytes" and len(whole) < 200:
        pieces = [whole[at : at + 1] for at in range(len(whole))]
    if dice.random() < 0.15 and len(pieces) > 1:
        pieces = pieces[: dice.randrange(1, len(pieces))]
    elif dice.random() < 0.15 and pieces:
        pieces[-1] = pieces[-1][: dice.randrange(len(pieces[-1]) + 1)]
    pauses = [dice.choice([0.0, 0.0, 0.001, 0.01, 0.03]) if dice.random() < 0.3 else 0.0 for _ in pieces]
    return Script(
        tuple(zip(pauses, pieces, strict=True)),
        dice.choice(["fin", "rst", "rst", "half"]),
        dice.choice([0.0, 0.0, 0.003, 0.02, 0.1, 0.4]),
        dice.random() < 0.8,
    )
