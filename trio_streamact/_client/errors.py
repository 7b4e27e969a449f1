"""What a client tells of a stream that failed without the server's saying how.

The words are fixed: whoever passes an error on, to a browser above all, passes on no address and no value. What is
behind them stands in ``__cause__``.
"""

from __future__ import annotations

from ..errors import ActionError


def network_error() -> ActionError:
    """There is no response."""
    return ActionError("NETWORK_ERROR", "The server cannot be reached", 503)


def redirected() -> ActionError:
    """The response leads elsewhere, and nobody has allowed to go there."""
    return ActionError("REDIRECTED", "The response is a redirect, which is not followed", 502)


def http_error(status: int) -> ActionError:
    """The response is neither a 2xx nor a redirect."""
    # RFC 9110, 15: a status that HTTP does not have is an error of the server. Over HTTP/2 it may be any number.
    known = status if 100 <= status <= 599 else 502
    return ActionError("HTTP_ERROR", f"HTTP {known}", known)


def not_a_stream() -> ActionError:
    """The response is a 2xx of something else."""
    return ActionError("NOT_A_STREAM", "The response is no event stream", 502)


def stream_incomplete() -> ActionError:
    """The bytes have ended, or broken off, and the stream did not say how it ended."""
    return ActionError("STREAM_INCOMPLETE", "The stream broke off before its end", 502)


def malformed_event() -> ActionError:
    """An event is none that an action sends, or a chunk is not of the declared type."""
    return ActionError("MALFORMED_EVENT", "The stream holds something that cannot be read", 502)


def event_too_large() -> ActionError:
    """An event is larger than is agreed to be held in memory."""
    return ActionError("EVENT_TOO_LARGE", "The stream holds an event that is too large", 502)


def timeout_error() -> ActionError:
    """The first byte did not come in time."""
    return ActionError("TIMEOUT_ERROR", "The server did not answer in time", 408)


def stream_silent() -> ActionError:
    """Nothing has come for too long, not even a heartbeat."""
    return ActionError("STREAM_SILENT", "The stream has fallen silent", 504)


def invalid_input(message: str = "The input cannot be sent") -> ActionError:
    """The input cannot be encoded, or does not fill the path."""
    return ActionError("INVALID_INPUT", message, 400)
