"""Limit the number of streams that are open at once: in one worker, and per client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import final

import attrs

from ..limits import Limits


@final
@attrs.define(eq=False)
class StreamLimiter:
    """Counts the open streams that share one set of limits in one worker.

    Trio's ``CapacityLimiter`` makes a task wait for a token. Here a stream that is over a limit is rejected at once.
    """

    limits: Limits
    _open: int = attrs.field(default=0, init=False)
    _per_client: Counter[Hashable] = attrs.field(factory=Counter, init=False)

    def acquire(self, client: Hashable) -> Slot | None:
        """Return a slot for a stream of *client*, or None if a limit is reached. An unknown client is None."""
        if self.limits.streams is not None and self._open >= self.limits.streams:
            return None
        slot = Slot(self)
        self._open += 1
        if slot.assign(client):
            return slot
        slot.release()
        return None


@final
@attrs.define(eq=False)
class Slot:
    """The right to one open stream; it counts towards the limits until it is released."""

    _limiter: StreamLimiter
    _client: Hashable = attrs.field(default=None, init=False)
    _is_held: bool = attrs.field(default=True, init=False)

    def assign(self, client: Hashable) -> bool:
        """Count this slot for *client* instead of the former client; return False if *client* is at its limit."""
        per_client, most = self._limiter._per_client, self._limiter.limits.streams_per_client
        if most is None or client == self._client:
            return True
        if client is not None and per_client[client] >= most:
            return False
        self._uncount()
        self._client = client
        if client is not None:
            per_client[client] += 1
        return True

    def release(self) -> None:
        """Release the slot. Later calls do nothing."""
        if self._is_held:
            self._is_held = False
            self._limiter._open -= 1
            self._uncount()

    def _uncount(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            per_client = self._limiter._per_client
            per_client[client] -= 1
            if not per_client[client]:
                del per_client[client]  # else the counter would grow with every new client
