"""How many streams are open at once, in all and for one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import final

import attrs

from ..limits import Limits


@final
@attrs.define(eq=False)
class Room:
    """The streams that share one set of limits in one worker."""

    limits: Limits
    _open: int = attrs.field(default=0, init=False)
    _per_client: Counter[Hashable] = attrs.field(factory=Counter, init=False)

    def enter(self, client: Hashable) -> Place | None:
        """Take a place for *client*, and return it, or None where there is none. None is no client in particular."""
        if self.limits.streams is not None and self._open >= self.limits.streams:
            return None
        place = Place(self)
        self._open += 1
        if place.count_for(client):
            return place
        place.give_back()
        return None


@final
@attrs.define(eq=False)
class Place:
    """One place in a ``Room``."""

    _room: Room
    _client: Hashable = attrs.field(default=None, init=False)
    _is_taken: bool = attrs.field(default=True, init=False)

    def count_for(self, client: Hashable) -> bool:
        """Count the place for *client*, and for nobody else any more; return False if *client* has too many."""
        per_client, most = self._room._per_client, self._room.limits.streams_per_client
        if most is None or client == self._client:
            return True
        if client is not None and per_client[client] >= most:
            return False
        self._uncount()
        self._client = client
        if client is not None:
            per_client[client] += 1
        return True

    def give_back(self) -> None:
        """Give the place back, once."""
        if self._is_taken:
            self._is_taken = False
            self._room._open -= 1
            self._uncount()

    def _uncount(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            per_client = self._room._per_client
            per_client[client] -= 1
            if not per_client[client]:
                del per_client[client]  # or every client that ever came would be remembered
