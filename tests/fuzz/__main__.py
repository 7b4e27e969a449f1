"""The standing fuzz by hand: ``make fuzz``, or ``python -m tests.fuzz --seconds 600 --seed 7``; see ``--help``."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from tests.fuzz.bodies import any_body
from tests.fuzz.campaign import PROTOCOLS, Campaign, numbered, script
from tests.fuzz.guided import TARGETS, TYPES
from tests.fuzz.inputs import INPUTS
from tests.fuzz.play import environment, target
from tests.fuzz.scripts import Script
from tests.fuzz.shrink import culprits

WIRES = ["http1", "http2", "websockets", "websockets-unserved"]
PARTS = [*WIRES, "bodies", "guided"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz a server of our own, on loopback.")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long, in all (180)")
    parser.add_argument("--seed", type=int, default=None, help="another seed makes other connections and bodies")
    parser.add_argument("--connections", type=int, default=None, help="so many of each protocol, however long it takes")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be given several times")
    parser.add_argument("--replay", help="play the connection in this file, or of this name, and show what comes of it")
    return parser.parse_args()


async def fuzz_wire(part: str, seed: int, seconds: float, connections: int | None, folder: Path) -> bool:
    """Run one campaign; return whether it found nothing."""
    served = part != "websockets-unserved"
    scripts = numbered(part.removesuffix("-unserved"), seed)
    campaign = (
        Campaign(part, scripts, seconds)
        if connections is None
        else Campaign(part, itertools.islice(scripts, connections + 100))
    )
    report = await campaign.run(websockets=served)
    say(str(report))
    for fault in (faults := report.faults()):
        say(f"  FAULT: {fault}")
    for kind, count in report.kinds().most_common(8):
        say(f"    {count} times: {kind}")
    if faults:
        for found in await culprits(report, 60.0, websockets=served):
            file = folder / f"{found.name.replace('/', '-')}.json"
            file.write_text(found.dumped())
            say(f"  This shows it again: {found}")
            say(f"    python -m tests.fuzz --replay {file}{'' if served else ' --only websockets-unserved'}")
    return not faults


def fuzz_bodies(seed: int, seconds: float) -> bool:
    """Search for the worst bodies, in a process of its own; return whether they keep to the bounds."""
    command = [sys.executable, "-m", "tests.fuzz.costs", str(seed), str(seconds)]
    return subprocess.run(command, check=False, env=environment()).returncode == 0


def fuzz_guided(seed: int, seconds: float) -> bool:
    """Have atheris look for what the parsers do at each of their branches; where it is not, hypothesis does."""
    if importlib.util.find_spec("atheris") is None:
        say("guided: atheris is not installed; hypothesis takes its place")
        command = [sys.executable, "-m", "pytest", "-q", f"--hypothesis-seed={seed}", "tests/fuzz/test_requests.py"]
        command.append("tests/fuzz/test_guided.py")
        wide = {**environment(), "HYPOTHESIS_PROFILE": "wide"}
        try:
            return subprocess.run(command, check=False, env=wide, timeout=seconds).returncode == 0
        except subprocess.TimeoutExpired:
            return True
    results = []
    for name in TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            for number, data in enumerate(good_inputs(name, seed)):
                (Path(corpus) / str(number)).write_bytes(data)
            command = [sys.executable, "-m", "tests.fuzz.guided", name, corpus, f"-seed={seed}", "-timeout=5"]
            command += [f"-max_total_time={max(1, int(seconds / len(TARGETS)))}", "-max_len=4096", "-verbosity=0"]
            command += ["-rss_limit_mb=1024", "-print_final_stats=1"]
            run = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True)
        executed = [line.split()[-1] for line in run.stderr.splitlines() if "number_of_executed_units" in line]
        say(f"guided {name}: {' '.join(executed)} inputs" + ("" if run.returncode == 0 else f"\n{run.stderr[-5000:]}"))
        results.append(run.returncode == 0)
    return all(results)


def good_inputs(target: str, seed: int) -> list[bytes]:
    """Return what the search begins with."""
    dice = random.Random(f"guided/{seed}")
    if target != "bodies":
        return [b'data: {"__actions_done":true}\n\n', b'{"code":"A","message":"b","statusCode":400}']
    made = [any_body(dice, 200) for _ in range(200)]
    types = [kind.decode() for kind in TYPES]
    paths = list(INPUTS)
    known = [body for body in made if body.content_type in types]
    return [bytes([paths.index(body.path), types.index(body.content_type)]) + body.data for body in known]


def named(name: str) -> Script:
    """Return the script of a name that a report prints: protocol, seed and number."""
    protocol, seed, number = name.split("/")
    return script(protocol, int(seed), int(number))


async def replay(again: Script, *, websockets: bool) -> None:
    """Play one connection against a new server, and show what it leaves behind."""
    async with target(websockets=websockets) as server:
        before = await server.at_rest()
        logged = len(server.output)
        await server.play(again)
        after = await server.settled(before)
        say(server.output[logged:].decode(errors="replace"))
    say(f"before: {before}\nafter:  {after}")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    # So that no server stays behind; a shell has its background jobs ignore the first of them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    given = arguments()
    if given.replay:
        again = Script.loaded(Path(given.replay).read_text()) if Path(given.replay).exists() else named(given.replay)
        trio.run(lambda: replay(again, websockets="websockets-unserved" not in (given.only or [])))
        return 0
    seed = int(time.time()) if given.seed is None else given.seed
    parts = given.only or PARTS
    seconds = given.seconds / len(parts)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    say(f"seed {seed}, {seconds:.0f} s for each of {', '.join(parts)}; what is found goes to {folder}")
    results = {}
    for part in parts:
        if part == "bodies":
            results[part] = fuzz_bodies(seed, seconds)
        elif part == "guided":
            results[part] = fuzz_guided(seed, seconds)
        else:
            results[part] = trio.run(fuzz_wire, part, seed, seconds, given.connections, folder)
    say(", ".join(f"{part}: {'ok' if is_well else 'FAULTS'}" for part, is_well in results.items()))
    return 0 if all(results.values()) else 1


assert {part.removesuffix("-unserved") for part in WIRES} == PROTOCOLS.keys()

if __name__ == "__main__":
    sys.exit(main())
