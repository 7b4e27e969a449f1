"""What trio_streamact is to reach, and where a regress is one, as data."""

from __future__ import annotations

import attrs

from .figures import Spread, ratios
from .loads import LOADS, Load
from .peers import BATCHED, FLOOR, OURS, PLAIN
from .rounds import Measured


def gains(values: Measured, load: str, figure: str, against: str, of: str = OURS) -> list[float]:
    """How many times as good as *against* the server *of* was, round by round."""
    known = values.get(load, {})
    if of not in known or against not in known:
        return []
    pair = (known[of][figure], known[against][figure])
    return ratios(*pair) if LOADS[load].figures[figure].better == "more" else ratios(*reversed(pair))


@attrs.frozen(kw_only=True)
class Target:
    """One thing to reach: as many times as good as another server, or no more than a number.

    Args:
        title: What it is, for a table.
        load: The load that shows it.
        figure: The load's figure.
        against: The other server; None where the figure itself is meant, which must be less.
        must: What it must reach.
        want: What it should.
        processor: The maker of the processor that it was set on, where it does not hold for others.
    """

    title: str
    load: str
    figure: str
    against: str | None
    must: float | None = None
    want: float | None = None
    processor: str | None = None

    def reached(self, values: Measured) -> Spread | None:
        """What was reached; None where it was not measured."""
        if self.against is not None:
            found = gains(values, self.load, self.figure, self.against)
        else:
            columns = values.get(self.load, {}).get(OURS, {})
            found = [value for value in columns.get(self.figure, []) if value is not None]
        return Spread.of(found) if found else None

    def verdict(self, reached: Spread, processor: str) -> str:
        """Say in a word or two how far that is, on *processor*."""
        if self.processor is not None and self.processor not in processor:
            return f"set on {self.processor}"
        if self.want is not None and self._is_met(reached.median, self.want):
            return "reached" if self.must is None else "wanted, reached"
        if self.must is None:
            return "not reached"
        return "reached" if self._is_met(reached.median, self.must) else "**missed**"

    def _is_met(self, value: float, bound: float) -> bool:
        return value >= bound if self.against is not None else value <= bound


TARGETS = (
    # What an event of ours is against the floor's way through hypercorn, Trio and the kernel moves with the processor.
    Target(
        title="burst, 1 connection, CPU",
        load="burst",
        figure="cpu_us",
        against=FLOOR,
        must=23,
        want=27,
        processor="Intel",
    ),
    Target(
        title="burst, 64 connections, CPU",
        load="burst64",
        figure="cpu_us",
        against=FLOOR,
        must=14,
        want=17,
        processor="Intel",
    ),
    Target(
        title="lateness of ticks beside a burst, p50 in ms",
        load="lateness",
        figure="p50_ms",
        against=None,
        must=1,
        want=0.3,
    ),
    Target(title="tick delivery, p50", load="ticks-in-step", figure="p50_ms", against=FLOOR, must=2),
    Target(title="tick delivery, p50 in ms", load="ticks-in-step", figure="p50_ms", against=None, want=0.2),
    Target(title="CPU of a tick", load="ticks-in-step", figure="cpu_us", against=FLOOR, must=1),
    Target(title="CPU of a tick in us", load="ticks-in-step", figure="cpu_us", against=None, want=90),
    Target(title="short streams, CPU", load="short", figure="cpu_us", against=PLAIN, must=1.1),
    Target(title="short streams, CPU", load="short", figure="cpu_us", against="sse-starlette", want=1),
    Target(title="first event, p50", load="first", figure="p50_ms", against=PLAIN, must=1),
    Target(title="first event, p50", load="first", figure="p50_ms", against=FLOOR, want=1),
    Target(title="cancel, p50 in ms", load="cancel", figure="p50_ms", against=None, must=0.5),
    Target(title="idle memory, KiB a stream", load="idle", figure="kib", against=None, must=36, want=30),
)


@attrs.frozen(kw_only=True)
class Guard:
    """Where ``bench-check`` fails: fewer times as good as another server in the same rounds.

    Always a ratio, since a slower machine is no regress; to a server that has the same kind of work, since processors
    differ in what one kind costs against another; and looser than what was reached, by what a busy machine and
    another processor disturb. Instructions are counted: they are disturbed by neither, so those bounds are close.
    """

    load: str
    figure: str
    against: str = FLOOR
    at_least: float
    reason: str


GUARDS = (
    Guard(
        load="burst-instructions",
        figure="event",
        against=BATCHED,
        at_least=0.255,
        reason="0.27 to 0.283 on Python 3.11 to 3.13",
    ),
    Guard(
        load="short-instructions",
        figure="stream",
        against=PLAIN,
        at_least=1.7,
        reason="1.79 to 1.9 on Python 3.11 to 3.13, with Quart 0.22 and 0.23",
    ),
    # What the kernel does is not counted. These are timed, so less close, and fail where writes are too many or small.
    Guard(
        load="burst",
        figure="cpu_us",
        against=BATCHED,
        at_least=0.17,
        reason="0.24 on an AMD EPYC; a write for each event makes it less than 0.1",
    ),
    Guard(
        load="burst64",
        figure="cpu_us",
        against=BATCHED,
        at_least=0.145,
        reason="0.2 on an AMD EPYC; a write for each event makes it less than 0.1",
    ),
    Guard(
        load="short",
        figure="cpu_us",
        against=PLAIN,
        at_least=1.25,
        reason="1.86 on an Intel Xeon, 1.5 to 1.7 on an AMD EPYC",
    ),
    Guard(
        load="lateness",
        figure="p50_ms",
        at_least=0.15,
        reason="0.8 on a quiet machine, and 1 ms is 0.15; a writer that never pauses is at 100 ms",
    ),
    Guard(
        load="ticks-in-step",
        figure="p50_ms",
        at_least=3,
        reason="40 and more on a quiet machine; a turn of all makes it 1",
    ),
    Guard(load="ticks-in-step", figure="cpu_us", at_least=0.85, reason="1.26 on an Intel Xeon, 1.4 on an AMD EPYC"),
    Guard(load="first", figure="p50_ms", against=PLAIN, at_least=0.9, reason="1 to 1.07 on a quiet machine"),
    Guard(
        load="cancel",
        figure="p50_ms",
        at_least=0.15,
        reason="0.6 on a quiet machine, and 0.5 ms is 0.15; a cancellation that waits for a tick is at 50 ms",
    ),
    Guard(
        load="idle",
        figure="kib",
        against=PLAIN,
        at_least=0.81,
        reason="35.4 KiB where it holds 30 on Python 3.11, and 36.3 where it holds 31.3 on 3.13: 0.85 and 0.86",
    ),
)


def guarded() -> list[Load]:
    """Return the loads of the guards, each for no more servers than they compare."""
    against: dict[str, set[str]] = {}
    for guard in GUARDS:
        against.setdefault(guard.load, {OURS}).add(guard.against)
    return [attrs.evolve(LOADS[load], peers=tuple(sorted(servers))) for load, servers in against.items()]


def broken(values: Measured) -> list[str]:
    """Say which guards do not hold."""
    found = []
    for guard in GUARDS:
        what = f"{guard.load}, {LOADS[guard.load].figures[guard.figure].unit}, against {guard.against}"
        reached = gains(values, guard.load, guard.figure, guard.against)
        if not reached:
            found.append(f"{what}: not measured")
        elif (median := Spread.of(reached).median) < guard.at_least:
            found.append(f"{what}: {median:.3g} times as good, under {guard.at_least} ({guard.reason})")
    return found
