"""Connections of HTTP/2 that are closed under an open stream.

Fault: behind ``keep_alive_max_requests`` requests (1000 by default) hypercorn closes the connection's state machine;
the streams that are open then go silent, their handlers run on, and what they write is dropped without a word.
"""

from __future__ import annotations

import math

from .connection import Connection


def lift_request_limit(connection: Connection | None) -> None:
    """Let a connection of HTTP/2 carry any number of requests: its limit knows no way to wait for open streams."""
    if connection is not None and connection.is_multiplexed and hasattr(connection.protocol, "keep_alive_requests"):
        connection.protocol.keep_alive_requests = -math.inf  # hypercorn counts up from here
