"""A client who has done nothing: reads ticks on the worker that is fuzzed, and notes how long each let it wait.

A process of its own, so that it is never late itself for what the fuzz does; ``python -m tests.fuzz.neighbour PORT``.
How late the machine makes it all the same is measured beside each wait, by timers of 5 ms. When its standard input ends
it prints what it has seen.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from typing import Any

from attrs import asdict, define, field, frozen

from tests.fuzz.app import PREFIX

TIMER_S = 0.005
TICK = re.compile(rb"data: ([0-9.e-]+)\n\n")


@frozen(order=True)
class Gap:
    """How long the neighbour waited for one tick.

    Attributes:
        held_s: For how long that was the worker's fault: it took the processor, and the machine was not late.
        waited_s: From the tick before it.
        late_s: How late the machine made a timer in this process meanwhile.
        cpu_s: What the worker took of its processor meanwhile.
        ended_at: On the machine's monotonic clock.
    """

    held_s: float
    waited_s: float
    late_s: float
    cpu_s: float
    ended_at: float


@define(eq=False)
class Neighbour:
    """Reads ticks."""

    gaps: list[Gap] = field(factory=list)
    late_s: float = 0.0
    is_over: bool = False
    _left: bytes = b""
    _last: tuple[float, float] | None = None

    def watch(self, sock: socket.socket) -> None:
        """Read until the standard input ends, or the stream does."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
        while not self.is_over:
            began = time.monotonic()
            ready = dict(poll.poll(TIMER_S * 1000))
            self.late_s = max(self.late_s, time.monotonic() - began - TIMER_S)
            if sys.stdin.fileno() in ready:
                return
            if sock.fileno() in ready:
                data = sock.recv(2**16)
                self.is_over = not data
                self._take(data)

    def _take(self, data: bytes) -> None:
        self._left += data
        ticks = TICK.findall(self._left)
        if not ticks:
            return
        self._left = self._left[self._left.rindex(b"\n\n") :]
        now, cpu_s = time.monotonic(), float(ticks[-1])
        if self._last is not None:
            waited_s, taken_s = now - self._last[0], cpu_s - self._last[1]
            held_s = min(waited_s - max(0.0, self.late_s), taken_s)
            self.gaps.append(Gap(held_s, waited_s, self.late_s, taken_s, now))
        self._last, self.late_s = (now, cpu_s), 0.0

    def seen(self) -> dict[str, Any]:
        worst = sorted(self.gaps, reverse=True)[:5]
        longest = max((gap.waited_s for gap in self.gaps), default=0.0)
        return {
            "ticks": len(self.gaps),
            "is_over": self.is_over,
            "longest_s": longest,
            "worst": [asdict(gap) for gap in worst],
        }


if __name__ == "__main__":
    neighbour = Neighbour()
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as connected:
        connected.sendall(b"GET %b/ticks HTTP/1.1\r\nHost: test\r\n\r\n" % PREFIX.encode())
        print("connected", flush=True)
        neighbour.watch(connected)
    print(json.dumps(neighbour.seen()), flush=True)
