"""A run as pictures: SVG by hand, since bars and lines need no library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from .figures import Spread, rounded
from .peers import FLOOR, OURS, PEERS
from .results import Run
from .rounds import Column
from .targets import gains

INK, FAINT, PAPER = "#1f2328", "#d1d9e0", "#ffffff"
OTHER, MINE = "#8c959f", "#0969da"
FONT = "font-family='system-ui, sans-serif' font-size='13'"

Points = Sequence[tuple[float, Spread]]


def document(width: int, height: int, title: str, parts: Iterator[str]) -> str:
    """Put *parts* on a sheet of paper."""
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
            f"role='img' {FONT}>",
            f"<title>{escape(title)}</title>",
            f"<rect width='{width}' height='{height}' fill='{PAPER}'/>",
            *parts,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, said: str, anchor: str = "start", **style: str) -> str:
    """Write at a place."""
    more = "".join(f" {name.replace('_', '-')}='{value}'" for name, value in style.items())
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{INK}'{more}>{escape(said)}</text>"


def line(x1: float, y1: float, x2: float, y2: float, colour: str = FAINT, width: float = 1) -> str:
    """Draw a line."""
    ends = f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"
    return f"<line {ends} stroke='{colour}' stroke-width='{width}'/>"


def bars(run: Run) -> str:
    """How many times as many events as the floor each server sends for the same CPU."""
    panels = [("burst", "1 connection"), ("burst64", "64 connections")]
    found = {
        name: [gains(run.values, load, "cpu_us", FLOOR, name) for load, _ in panels]
        for name in PEERS
        if name in run.values.get("burst", {})
    }
    names = sorted((name for name in found if all(found[name])), key=lambda name: -Spread.of(found[name][0]).median)
    height = 74 + 26 * len(names)

    def draw() -> Iterator[str]:
        yield text(12, 24, "Events for the same CPU, in times of the floor", font_weight="bold")
        yield text(858, 24, _made_on(run), "end")
        for number, name in enumerate(names):
            weight = {"font_weight": "bold"} if name == OURS else {}
            yield text(220, 78 + 26 * number, PEERS[name].title, "end", **weight)
        for panel, (_, title) in enumerate(panels):
            yield from _bars_of({name: found[name][panel] for name in names}, 230 + 320 * panel, title)

    return document(870, height, "Events for the same CPU, in times of the floor", draw())


def _bars_of(columns: Mapping[str, Sequence[float]], left: float, title: str) -> Iterator[str]:
    spreads = {name: Spread.of(column) for name, column in columns.items()}
    most = max(spread.most for spread in spreads.values())
    yield text(left, 50, title)
    for number, (name, spread) in enumerate(spreads.items()):
        y = 62 + 26 * number
        length, least, longest = (220 * value / most for value in (spread.median, spread.least, spread.most))
        colour = MINE if name == OURS else OTHER
        yield f"<rect x='{left}' y='{y}' width='{length:.1f}' height='20' fill='{colour}'/>"
        yield line(left + least, y + 10, left + longest, y + 10, INK, 1.5)
        yield text(left + max(length, longest) + 6, y + 15, rounded(spread.median))


def flat(run: Run) -> str:
    """What an event costs, by the number of streams and by the length of a stream."""
    panels = [("flat-streams", "streams at once"), ("flat-events", "events of one stream")]

    def draw() -> Iterator[str]:
        yield text(12, 24, "CPU an event, in us", font_weight="bold")
        yield text(838, 24, _made_on(run), "end")
        for panel, (load, title) in enumerate(panels):
            series = {name: _points(columns) for name, columns in run.values.get(load, {}).items()}
            yield from _axes_and_lines(series, 60 + 400 * panel, title)

    return document(850, 370, "CPU an event, by the number of streams and by the length of a stream", draw())


def _made_on(run: Run) -> str:
    return f"on {run.machine['cpu']}, Python {run.machine['python']}"


def _points(columns: Mapping[str, Column]) -> Points:
    known = [
        (float(x), [value for value in column if value is not None and value > 0]) for x, column in columns.items()
    ]
    return [(x, Spread.of(values)) for x, values in known if values]


def _axes_and_lines(series: Mapping[str, Points], left: float, title: str) -> Iterator[str]:
    width, top, bottom = 320.0, 50.0, 310.0
    xs = sorted({x for points in series.values() for x, _ in points})
    if not xs:
        return
    first, last = math.log10(xs[0]), math.log10(xs[-1])
    spreads = [spread for points in series.values() for _, spread in points]
    lowest = math.floor(math.log10(min(spread.least for spread in spreads)))
    highest = math.ceil(math.log10(max(spread.most for spread in spreads)))

    def across(x: float) -> float:
        return left + width * (math.log10(x) - first) / ((last - first) or 1)

    def up(y: float) -> float:
        return bottom - (bottom - top) * (math.log10(y) - lowest) / ((highest - lowest) or 1)

    for power in range(lowest, highest + 1):
        yield line(left, up(10.0**power), left + width, up(10.0**power))
        yield text(left - 8, up(10.0**power) + 4, f"{10.0**power:g}", "end")
    for x in xs:
        yield text(across(x), bottom + 20, _short(x), "middle")
    yield text(left + width / 2, bottom + 44, title, "middle")
    for name, points in series.items():
        colour = MINE if name == OURS else OTHER
        path = " ".join(f"{across(x):.1f},{up(spread.median):.1f}" for x, spread in points)
        yield f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>"
        for x, spread in points:
            yield line(across(x), up(spread.least), across(x), up(spread.most), colour, 2)
            yield f"<circle cx='{across(x):.1f}' cy='{up(spread.median):.1f}' r='3.5' fill='{colour}'/>"
        yield text(left + 6, up(points[0][1].median) - 10, "floor" if name == FLOOR else PEERS[name].title)


def _short(x: float) -> str:
    return f"{x / 1e6:g}M" if x >= 1e6 else f"{x / 1e3:g}k" if x >= 1e3 else f"{x:g}"
