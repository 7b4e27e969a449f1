"""From what was measured to what is said: medians, percentiles, ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import attrs


@attrs.frozen
class Spread:
    """The middle of some values, and their ends."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up *values*, of which there is at least one."""
        return cls(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which *percent* of *values* lie, between two of them where it falls between."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def ratios(of: Sequence[float | None], to: Sequence[float | None]) -> list[float]:
    """Divide round by round, so that what slowed a whole round cancels out; a round that lacks one is left out."""
    return [a / b for a, b in zip(of, to, strict=True) if a is not None and b]


def rounded(value: float) -> str:
    """Write *value* with two or three digits that say something."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
