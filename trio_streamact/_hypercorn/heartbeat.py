"""Heartbeats: comments that show the client, and proxies, that an idle stream is alive."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import attrs


@final
@attrs.define(eq=False)
class Heartbeat:
    """The heartbeats of one stream. The watchdog calls ``next`` in time; the writer of the stream writes them.

    Attributes:
        wrote_at: The time of the last write to the stream, on Trio's clock.
    """

    _interval_s: float = math.inf
    _beat: Callable[[], None] | None = None
    wrote_at: float = -math.inf

    def next(self, now: float, is_sending: bool) -> float:
        """Write a heartbeat if the stream was idle for the interval and not *is_sending*. Return the next deadline."""
        due_at = self.wrote_at + self._interval_s
        if now < due_at:
            return due_at
        if self._beat is not None and not is_sending:
            self._beat()
        return max(now, self.wrote_at) + self._interval_s  # the write may be a little later than `now`

    def stop(self) -> None:
        """Stop the heartbeats, and drop the reference to the writer."""
        self._beat = None
