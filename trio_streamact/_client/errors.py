"""The errors of the client itself: a stream failed, and the server did not send an error frame.

Their messages contain no URL and no value of the request, so a program may forward them, for example to a browser. The
exception that caused an error is its ``__cause__``.
"""

from __future__ import annotations

from ..errors import ActionError


def network_error() -> ActionError:
    """Return the error for a request without a response."""
    return ActionError("NETWORK_ERROR", "The server cannot be reached", 503)


def redirected() -> ActionError:
    """Return the error for a redirect if ``follow_redirects`` is False."""
    return ActionError("REDIRECTED", "The response is a redirect, which is not followed", 502)


def http_error(status: int) -> ActionError:
    """Return the error for a response whose status is neither 2xx nor a redirect."""
    # RFC 9110, 15: a client treats a status outside of 100 to 599 as a server error. Over HTTP/2 it may be any number.
    known = status if 100 <= status <= 599 else 502
    return ActionError("HTTP_ERROR", f"HTTP {known}", known)


def not_a_stream() -> ActionError:
    """Return the error for a 2xx response that is not an event stream."""
    return ActionError("NOT_A_STREAM", "The response is not an event stream", 502)


def stream_incomplete() -> ActionError:
    """Return the error for a response that ended, or broke off, without an ending."""
    return ActionError("STREAM_INCOMPLETE", "The stream ended before it was complete", 502)


def malformed_event() -> ActionError:
    """Return the error for an event that is not valid, or a chunk that is not of the declared type."""
    return ActionError("MALFORMED_EVENT", "The stream contains an invalid event", 502)


def event_too_large() -> ActionError:
    """Return the error for an event that is larger than ``max_event_bytes``."""
    return ActionError("EVENT_TOO_LARGE", "The stream contains an event that is too large", 502)


def timeout_error() -> ActionError:
    """Return the error for a first byte that did not arrive within ``timeout``."""
    return ActionError("TIMEOUT_ERROR", "The server did not respond in time", 408)


def stream_silent() -> ActionError:
    """Return the error for an open stream without any data, not even a heartbeat, for ``watchdog_s``."""
    return ActionError("STREAM_SILENT", "No data received within the watchdog timeout", 504)


def invalid_input(message: str = "The input cannot be sent") -> ActionError:
    """Return the error for an input that cannot be encoded, or does not contain the variables of the path."""
    return ActionError("INVALID_INPUT", message, 400)
