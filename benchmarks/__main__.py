"""The command line; ``python -m benchmarks --help`` says what there is."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import machine, results
from .figures import Spread, rounded
from .loads import LOADS, Load, Size
from .peers import BATCHED, FLOOR, OURS, PEERS, PLAIN, MissingError, Peer
from .plots import bars, flat
from .processes import FaultError, build_client
from .results import Run, began
from .rounds import Measured, Rounds, say
from .tables import report
from .targets import GUARDS, broken, gains, guarded

HERE = Path(__file__).parent


def print_values(values: Measured) -> None:
    """Print all that was measured, with the median, the least and the most of the rounds."""
    for load, servers in values.items():
        print(f"\n{LOADS[load].title}")
        for figure, about in LOADS[load].figures.items():
            print(f"  {about.unit if about.unit != LOADS[load].title else figure}" + f" [{figure}]")
            for name, columns in servers.items():
                known = [value for value in columns[figure] if value is not None]
                line = f"    {name:14} {_spread(known)}"
                if name != FLOOR and (against := gains(values, load, figure, FLOOR, name)):
                    line += f"   {_spread(against)} times as good as the floor"
                print(line)


def _spread(values: list[float]) -> str:
    if not values:
        return f"{'-':>8}"
    spread = Spread.of(values)
    return f"{rounded(spread.median):>8} ({rounded(spread.least)} to {rounded(spread.most)})"


def available(names: Iterable[str]) -> tuple[list[Peer], dict[str, dict[str, str]], dict[str, str]]:
    """Give the peers that are here, their versions, and why the others are left out."""
    here, versions, left_out = [], {}, {}
    for name in names:
        try:
            versions[name] = PEERS[name].versions()
            here.append(PEERS[name])
        except MissingError as missing:
            left_out[name] = str(missing)
            say(f"left out: {name}: {missing}")
    return here, versions, left_out


def chosen(names: str | None, known: Mapping[str, object]) -> list[str]:
    """Give the names that the command line wants, all of them where it wants none in particular."""
    wanted = list(known) if names is None else names.split(",")
    for name in wanted:
        if name not in known:
            raise FaultError(f"there is no {name}; there are {', '.join(known)}")
    return wanted


def measure(servers: Iterable[str], loads: Sequence[Load], rounds: int, scale: float) -> Run:
    """Run the loads on the servers."""
    about = began(" ".join(["python -m benchmarks", *sys.argv[1:]]))
    build_client()
    peers, versions, left_out = available(servers)
    measured = Rounds(Size(scale))
    measured.measure(peers, loads, rounds)
    return Run(
        **about,
        rounds=rounds,
        scale=scale,
        versions=versions,
        left_out=left_out,
        faults=measured.faults,
        values=measured.values,
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, and say what was found."""
    known = {name: load for name, load in LOADS.items() if load.quick or not arguments.quick}
    loads = [known[name] for name in chosen(arguments.loads, known)]
    rounds, scale = (2, 0.3) if arguments.quick else (arguments.rounds, arguments.scale)
    done = measure(chosen(arguments.servers, PEERS), loads, rounds, scale)
    print(machine.said(done.machine))
    print_values(done.values)
    for fault in done.faults:
        print(fault)
    if arguments.save:
        say(f"kept as {done.save(arguments.save)}")
        write_report(arguments.save)


def write_report(name: str) -> None:
    """Draw what was kept as *name*, and put its tables into the README where it is what the README shows."""
    kept = Run.load(name)
    (results.HERE / f"{name}.md").write_text(report(kept) + "\n")
    if "burst64" in kept.values:
        (results.HERE / f"{name}-burst.svg").write_text(bars(kept))
    if "flat-streams" in kept.values:
        (results.HERE / f"{name}-flat.svg").write_text(flat(kept))
    readme = HERE / "README.md"
    marked = rf"(<!-- results of {re.escape(name)} -->\n).*(<!-- end of results -->)"
    before = readme.read_text() if readme.exists() else ""
    after = re.sub(marked, lambda found: f"{found[1]}\n{report(kept)}\n\n{found[2]}", before, flags=re.DOTALL)
    if after != before:
        readme.write_text(after)


def check(arguments: argparse.Namespace) -> None:
    """Fail where a guard does not hold."""
    done = measure((FLOOR, BATCHED, OURS, PLAIN), guarded(), arguments.rounds, arguments.scale)
    print(machine.said(done.machine))
    for guard in GUARDS:
        reached = gains(done.values, guard.load, guard.figure, guard.against)
        bound = f"at least {guard.at_least}, against {guard.against}"
        print(f"{guard.load:18} {guard.figure:8} {_spread(reached)}, {bound}")
    if faults := [*done.faults, *broken(done.values)]:
        sys.exit("\n".join(["", "Not as good as it was:", *faults]))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="measure, and print")
    runs.add_argument("--servers", help=f"of {','.join(PEERS)}")
    runs.add_argument("--loads", help=f"of {','.join(LOADS)}")
    runs.add_argument("--save", metavar="NAME", help="keep it in benchmarks/results, with tables and plots")
    runs.add_argument("--quick", action="store_true", help="a few minutes: two short rounds, without the longest loads")
    runs.set_defaults(act=run)
    checks = commands.add_parser("check", help="fail where trio_streamact is not as good as it was")
    checks.set_defaults(act=check)
    for command, rounds, scale in ((runs, 5, 1.0), (checks, 5, 0.3)):
        command.add_argument("--rounds", type=int, default=rounds)
        command.add_argument("--scale", type=float, default=scale, help="how long and how often, as against 1")
    reports = commands.add_parser("report", help="draw the tables and plots of a run anew")
    reports.add_argument("name")
    reports.set_defaults(act=lambda arguments: write_report(arguments.name))
    arguments = parser.parse_args()
    try:
        arguments.act(arguments)
    except FaultError as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
