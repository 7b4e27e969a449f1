"""Recognize the exception that Quart raises when the body of a request is read and the client has disconnected."""

from __future__ import annotations

from typing import Any

import quart.wrappers.base

_CLIENT_DISCONNECTED: Any = getattr(quart.wrappers.base, "ClientDisconnectedError", ())  # Quart 0.23 and later


def is_disconnect(error: BaseException) -> bool:
    """Return True if *error* means that the client has disconnected. For a group, each member must mean it."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_disconnect, error.exceptions))
    return isinstance(error, _CLIENT_DISCONNECTED)
