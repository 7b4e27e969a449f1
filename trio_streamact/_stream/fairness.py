"""Fairness: when a sender that is never blocked yields to other tasks.

``send`` does not wait while there is room. A handler that works between its chunks, and awaits nothing else, would keep
the task from running that writes what it has sent, and all other tasks too. So it yields as soon as a frame has waited
for ``BATCH_WINDOW_S`` in which the sender has worked.
"""

from __future__ import annotations

import math

import attrs
import trio


@attrs.define(eq=False)
class FairSender:
    """Knows whether the senders of a stream must yield before they go on.

    Attributes:
        must_yield: Whether the sender is to call ``yield_to_others``.
    """

    must_yield: bool = attrs.field(default=False, init=False)
    _added_at: float = attrs.field(default=math.inf, init=False)  # of the newest frame that waits, or never
    # trio.current_time() asks it through two more calls: a tenth of what a chunk costs.
    _clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock, init=False)

    def note_taken(self) -> None:
        """Note that the frames that waited are being written."""
        self._added_at = math.inf

    async def yield_to_others(self) -> None:
        """Yield as ``must_yield`` asks. This cannot be cancelled, since the frame is added already."""
        self.must_yield, added_at = False, self._added_at
        for _ in range(2):  # Trio runs the tasks that are ready in any order
            await trio.lowlevel.cancel_shielded_checkpoint()
        if self._added_at == math.inf:
            self._added_at = added_at  # the frame was taken only because the sender has yielded
