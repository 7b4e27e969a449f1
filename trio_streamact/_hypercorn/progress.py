"""What tells a client that reads slowly from one that does not read: bytes in a time."""

from __future__ import annotations

import math
from typing import final

import attrs

ENOUGH_BYTES = 1024
"""What a client has to take within ``stall_s``, in bytes, where so much waits for it.

It is less than one step of TCP, which opens a full window by a segment at least, 1220 bytes and more on usual networks
(RFC 9293, 3.8.6.2.2). Over HTTP/2 a client opens its window as it likes: by a byte now and then it would hold a stream
and its memory forever.
"""


@final
@attrs.define(eq=False)
class Progress:
    """What a client takes, from one look to the next.

    Attributes:
        since: When it had last taken enough, or -infinity before the first look.
    """

    since: float = attrs.field(default=-math.inf, init=False)
    _counts: tuple[int | None, ...] = attrs.field(default=(), init=False)
    _wanted_bytes: int = attrs.field(default=0, init=False)

    def restart(self) -> None:
        """Begin anew with the next look."""
        self.since, self._wanted_bytes = -math.inf, 0

    def idle_s(self, now: float, counts: tuple[int | None, ...], waiting_bytes: int) -> float:
        """Return how long ago the client had last taken all that waited then, or ``ENOUGH_BYTES`` of it.

        Args:
            now: The time.
            counts: How many bytes it has taken, by each way of counting, or None where that does not count now.
            waiting_bytes: How many bytes wait now.
        """
        known = [(old, new) for old, new in zip(self._counts, counts, strict=False) if not (old is None or new is None)]
        if not self._wanted_bytes or any(abs(new - old) >= self._wanted_bytes for old, new in known):
            self.since, self._counts = now, counts
            self._wanted_bytes = min(waiting_bytes, ENOUGH_BYTES)
        else:
            pairs = zip(self._counts, counts, strict=True)
            self._counts = tuple(new if old is None or new is None else old for old, new in pairs)
        return now - self.since
