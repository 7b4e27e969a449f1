"""Distinguish a client that reads slowly from one that does not read: count the bytes in a period of time."""

from __future__ import annotations

import math
from typing import final

import attrs

ENOUGH_BYTES = 1024
"""The number of bytes that a client must take within ``stall_s``, if so many bytes wait for it.

It is less than one step of TCP: TCP opens a full window by at least one segment, which is 1220 bytes or more on usual
networks (RFC 9293, 3.8.6.2.2). Over HTTP/2, a client can open its window by a single byte. Without this number, such a
client could hold a stream and its memory forever.
"""


@final
@attrs.define(eq=False)
class Progress:
    """The bytes that a client takes from one check to the next.

    Attributes:
        since: The time when the client had last taken enough, or -infinity before the first check.
    """

    since: float = attrs.field(default=-math.inf, init=False)
    _counts: tuple[int | None, ...] = attrs.field(default=(), init=False)
    _wanted_bytes: int = attrs.field(default=0, init=False)

    def restart(self) -> None:
        """Start again with the next check."""
        self.since, self._wanted_bytes = -math.inf, 0

    def idle_s(self, now: float, counts: tuple[int | None, ...], waiting_bytes: int) -> float:
        """Return the time since the client had last taken ``ENOUGH_BYTES``, or all bytes that waited, in seconds.

        Args:
            now: The current time.
            counts: The bytes that the client has taken, once for each way of counting. None means that this way does
                not count now.
            waiting_bytes: The number of bytes that wait now.
        """
        known = [(old, new) for old, new in zip(self._counts, counts, strict=False) if not (old is None or new is None)]
        if not self._wanted_bytes or any(abs(new - old) >= self._wanted_bytes for old, new in known):
            self.since, self._counts = now, counts
            self._wanted_bytes = min(waiting_bytes, ENOUGH_BYTES)
        else:
            pairs = zip(self._counts, counts, strict=True)
            self._counts = tuple(new if old is None or new is None else old for old, new in pairs)
        return now - self.since
