"""How many streams are open at once, in all and for one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import final

import attrs

from .limits import Limits


@final
@attrs.define(eq=False)
class Room:
    """The streams that share one set of limits in one worker."""

    limits: Limits
    _open: int = attrs.field(default=0, init=False)
    _per_client: Counter[Hashable] = attrs.field(factory=Counter, init=False)

    @property
    def is_full(self) -> bool:
        """Whether nobody can enter, whoever it is."""
        return self.limits.streams is not None and self._open >= self.limits.streams

    def enter(self, client: Hashable) -> bool:
        """Take a place for *client*, if there is one; say whether there was. None is no client in particular."""
        most = self.limits.streams_per_client
        if self.is_full or (most is not None and client is not None and self._per_client[client] >= most):
            return False
        self._open += 1
        if most is not None:
            self._per_client[client] += 1
        return True

    def leave(self, client: Hashable) -> None:
        """Give back a place that was taken for *client*."""
        self._open -= 1
        if self.limits.streams_per_client is not None:
            self._per_client[client] -= 1
            if not self._per_client[client]:
                del self._per_client[client]  # or every client that ever came would be remembered
