"""When a heartbeat is sent: a comment that shows the client, and proxies, that an idle stream is alive."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import attrs


@final
@attrs.define(eq=False)
class Heartbeat:
    """The heartbeats of one stream. The watchdog asks for the next one; the writer of the stream writes it.

    Attributes:
        wrote_at: When the stream was last written to, in Trio's time.
    """

    _interval_s: float = math.inf
    _beat: Callable[[], None] | None = None
    wrote_at: float = -math.inf

    def next(self, now: float, is_sending: bool) -> float:
        """Beat if the stream has been idle for the interval and nothing *is_sending*; return when to look again."""
        due_at = self.wrote_at + self._interval_s
        if now < due_at:
            return due_at
        if self._beat is not None and not is_sending:
            self._beat()
        return max(now, self.wrote_at) + self._interval_s  # the write may be a little later than *now*

    def stop(self) -> None:
        """Beat no more, and drop the reference to the writer."""
        self._beat = None
