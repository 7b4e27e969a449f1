"""Fairness: when a sender that is never blocked yields to other tasks.

``send`` does not wait while there is room. A handler that computes between its chunks, and awaits nothing else, would
block all other tasks, including the one that writes its frames. So it yields when a frame has waited for
``BATCH_WINDOW_S`` while the sender was running.
"""

from __future__ import annotations

import math

import attrs
import trio


@attrs.define(eq=False)
class FairSender:
    """Decides whether the sender of a chunk must yield to other tasks.

    Attributes:
        must_yield: True if the sender must call ``yield_to_others``.
    """

    must_yield: bool = attrs.field(default=False, init=False)
    _added_at: float = attrs.field(default=math.inf, init=False)  # when the newest waiting frame was added, or inf
    # trio.current_time() needs two more calls: a tenth of the cost of a chunk.
    _clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock, init=False)

    def note_taken(self) -> None:
        """Note that the waiting frames are being written."""
        self._added_at = math.inf

    async def yield_to_others(self) -> None:
        """Yield to other tasks. This cannot be cancelled, because the frame was added already."""
        self.must_yield, added_at = False, self._added_at
        for _ in range(2):  # because Trio runs ready tasks in any order
            await trio.lowlevel.cancel_shielded_checkpoint()
        if self._added_at == math.inf:
            self._added_at = added_at  # the frame was taken only because the sender has yielded
