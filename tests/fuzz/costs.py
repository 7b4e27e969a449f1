"""What a body costs: memory, processor and answer, each measured in a process of its own.

Forked off one that has answered small bodies only: so no memory that another body has left behind hides what this one
takes, and what libraries take that are not written in Python is seen too.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import trio
from attrs import evolve, frozen
from quart_trio import QuartTrio

from tests.fuzz.asgi import Reply, Request, answer
from tests.fuzz.bodies import Body, any_body, spoilt
from tests.fuzz.inputs import INPUTS
from trio_streamact import Stream, StreamActions

PREFIX = "/api/_actions"
QUOTING = ("/named", "/quoted")
"""Where the app's own code makes copies of what it was given, whose memory is its own matter."""

LEAST_BYTES, MOST_BYTES = 100_000, 1_000_000
"""How large the bodies are: below, what is taken once weighs too much; above, they are refused by their size."""

PART_BYTES = 64 * 1024
"""How much of a body comes at a time, as hypercorn reads it."""

MEMORY = 20
"""How many times its own size a body may take of memory."""

CPU_S = 0.3
"""How many seconds a megabyte may take, on a machine where a step of a plain loop takes `STEP_S`."""

STEP_S = 10e-9

ONCE_S = 0.004
"""What a request takes with no body at all, the first pages of a new process included."""

ANSWER_BYTES = 16 * 1024
"""How much longer than its chunks an answer may be."""

CHUNK = b'data: "ok"\n\n'


@frozen
class Cost:
    """What one body cost."""

    body: Body
    memory: float
    """The most memory that was taken, as a multiple of the body."""
    cpu_s: float
    """Seconds of the processor for each megabyte of the body, beyond what any request takes."""
    held_s: float
    """The longest time for which nothing else could run."""
    answer_bytes: int
    """How much longer the answer is than its chunks."""

    def __str__(self) -> str:
        return (
            f"{self.body.path} {self.body.content_type}, {len(self.body.data)} bytes: memory {self.memory:.1f} times "
            f"the body, {self.cpu_s:.3f} s/MB, held for {self.held_s * 1000:.0f} ms, answer {self.answer_bytes} bytes; "
            f"begins {self.body.data[:80]!r}"
        )


def make_app() -> QuartTrio:
    """Make an app with an action for every kind of input, whose handlers send one small chunk."""
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    async def ok(input: Any, stream: Stream[Any]) -> None:
        await stream.send("ok")

    for path, declared in INPUTS.items():
        actions.post(path, input=declared)(ok)
    return app


def request_of(body: Body) -> Request:
    """Return the request that carries *body*."""
    headers = [(b"host", b"test"), (b"content-type", body.content_type.encode())]
    headers.append((b"content-length", b"%d" % len(body.data)))
    parts = [body.data[at : at + PART_BYTES] for at in range(0, len(body.data), PART_BYTES)]
    return Request("POST", PREFIX + body.path, b"", headers, parts)


async def answer_and_look_on(app: QuartTrio, request: Request) -> tuple[Reply, float]:
    """Have *app* answer; return the answer, and for how long nothing else ran, in seconds of the processor."""
    longest = 0.0

    async def look_on() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_on)
        reply = await answer(app, request)
        nursery.cancel_scope.cancel()
    return reply, longest


MADV_POPULATE_READ = 22  # Linux, from 5.14 on; elsewhere some megabytes more are counted


def _peak_and_present() -> tuple[int, int]:
    with open("/proc/self/status") as file:
        values = dict(line.split(":", 1) for line in file)
    return int(values["VmHWM"].split()[0]) * 1024, int(values["VmRSS"].split()[0]) * 1024


def measured(app: QuartTrio, body: Body) -> Cost:
    """Answer *body* in a child, and return what it cost there."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(_measured_here(app, body)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    if not told:
        raise ChildProcessError(f"no process survives this body: {body.path} {body.data[:2000]!r}")
    return Cost(body, *json.loads(told))


def _clean_up() -> None:
    """Have all pages of files in this process's memory, since a fork begins with none; and no memory that is free."""
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        places, access, _, device, *_ = line.split()
        if access[0] == "r" and device != "00:00":
            start, stop = (int(place, 16) for place in places.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), MADV_POPULATE_READ)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # so that the peak is counted anew


def _measured_here(app: QuartTrio, body: Body) -> tuple[float, float, float, int]:
    _clean_up()
    request = request_of(body)  # whose parts are the server's
    _, before = _peak_and_present()
    began = time.process_time()
    reply, longest = trio.run(answer_and_look_on, app, request)
    took_s = max(0.0, time.process_time() - began - ONCE_S)
    peak, _ = _peak_and_present()
    beyond = len(reply.body.removeprefix(CHUNK))
    return (peak - before) / len(body.data), took_s / len(body.data) * 1e6, longest, beyond


BY = ("memory", "cpu_s", "held_s", "answer_bytes")


def search(app: QuartTrio, seed: int, until: float) -> Iterator[Cost]:
    """Measure random bodies, and others like those that cost the most."""
    dice = random.Random(f"costs/{seed}")
    worst: dict[tuple[str, str], Cost] = {}
    while time.monotonic() < until:
        body = any_body(dice, int(dice.uniform(LEAST_BYTES, MOST_BYTES)))
        if worst and dice.random() < 0.3:
            body = dice.choice(list(worst.values())).body
            body = evolve(body, data=spoilt(dice, body.data)[:MOST_BYTES])
        if LEAST_BYTES <= len(body.data) <= 2**20:
            cost = measured(app, body)
            for by in BY:
                _keep_worst(worst, (body.path, by), by, cost)
            yield cost


def _keep_worst(worst: dict[Any, Cost], place: object, by: str, cost: Cost) -> None:
    if place not in worst or getattr(cost, by) > getattr(worst[place], by):
        worst[place] = cost


def ready_app() -> QuartTrio:
    """Make the app, and have it answer each kind of body once."""
    app, dice = make_app(), random.Random(0)
    for path in INPUTS:
        for _ in range(10):
            trio.run(answer_and_look_on, app, request_of(any_body(dice, 100, path)))
    gc.collect()
    gc.freeze()
    return app


def seconds_of_steps(count: int) -> float:
    """Return how long this machine takes now for so many steps of a plain loop."""
    began = time.process_time()
    for _ in range(count):
        pass
    return time.process_time() - began


@frozen
class Worst:
    """The worst of all bodies that were measured.

    Attributes:
        bodies: How many there were.
        slowness: How much longer this machine takes for a plain loop than the one whose seconds `CPU_S` is in.
        by: The worst by each figure.
    """

    bodies: int
    slowness: float
    by: dict[str, Cost]

    def faults(self, slack: float = 1.0) -> list[str]:
        """Return what is over its bound; that of the processor's time is *slack* times as wide."""
        most_s = CPU_S * max(1.0, self.slowness) * slack
        found = {
            f"a body takes {self.by['memory'].memory:.1f} times its size": self.by["memory"].memory > MEMORY,
            f"a body takes {self.by['cpu_s'].cpu_s:.2f} s/MB, of {most_s:.2f}": self.by["cpu_s"].cpu_s > most_s,
            f"an answer is {self.by['answer_bytes'].answer_bytes} bytes longer than its chunks": (
                self.by["answer_bytes"].answer_bytes > ANSWER_BYTES
            ),
        }
        return [fault for fault, is_so in found.items() if is_so]

    def __str__(self) -> str:
        lines = [f"bodies: {self.bodies} measured, on a machine {self.slowness:.2f} times as slow as ours"]
        return "\n".join([*lines, *(f"  worst by {by}: {cost}" for by, cost in self.by.items())])


def worst_of(seed: int, seconds: float) -> Worst:
    """Search for *seconds*, and return the worst that was found; what is worst by time is measured again."""
    app = ready_app()
    slowness = min(seconds_of_steps(10**6) for _ in range(5)) / STEP_S / 10**6
    worst: dict[str, Cost] = {}
    count = 0
    for count, cost in enumerate(search(app, seed, time.monotonic() + seconds), 1):  # noqa: B007 - read after the loop
        for by in BY:
            if by == "memory" and cost.body.path in QUOTING:
                continue
            if by in worst and getattr(cost, by) <= getattr(worst[by], by):
                continue
            if by in ("cpu_s", "held_s"):  # a busy machine makes one look worse than it is
                again = [cost, measured(app, cost.body), measured(app, cost.body)]
                _keep_worst(worst, by, by, min(again, key=attrgetter(by)))
            else:
                worst[by] = cost
    return Worst(count, slowness, worst)


def main() -> int:
    """Search, print the worst, and keep what is over a bound in a file; in a process of its own, since this forks."""
    found = worst_of(int(sys.argv[1]), float(sys.argv[2]))
    print(found)
    faults = found.faults(float(sys.argv[3]) if len(sys.argv) > 3 else 1.0)
    for fault in faults:
        print(f"  FAULT: {fault}")
    if faults:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-bodies-"))
        for by, cost in found.by.items():
            (folder / by).write_bytes(cost.body.data)
        print(f"  The worst bodies, by what they are the worst, are in {folder}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
