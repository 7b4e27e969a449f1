"""What Quart raises where somebody reads the body of a request, and the client has left."""

from __future__ import annotations

from typing import Any

import quart.wrappers.base

_CLIENT_DISCONNECTED: Any = getattr(quart.wrappers.base, "ClientDisconnectedError", ())  # Quart 0.23 and later


def is_disconnect(error: BaseException) -> bool:
    """Return True if *error*, or each part of it if it is a group, says that the client has left."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_disconnect, error.exceptions))
    return isinstance(error, _CLIENT_DISCONNECTED)
