"""The limits of a stream: sizes, numbers and durations."""

from __future__ import annotations

import math
from typing import Any, final

import attrs

__all__ = ["Limits"]


def _positive_int(_: Limits, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be a whole number, not {value!r}")
    if value <= 0:
        raise ValueError(f"{attribute.name} must be more than 0, not {value}")


def _seconds(_: Limits, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be a number of seconds, not {value!r}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{attribute.name} must be 0 or more, not {value}")


def _positive_seconds(limits: Limits, attribute: attrs.Attribute[Any], value: Any) -> None:
    _seconds(limits, attribute, value)
    if value == 0:
        raise ValueError(f"{attribute.name} must be more than 0, not {value}")


@final
@attrs.frozen(kw_only=True)
class Limits:
    """The limits of a stream, for all actions of an app or for one action.

    Durations are in seconds, as floats; ``math.inf`` means no limit. Sizes are in bytes, after encoding.

    Args:
        buffer_chunks: The most chunks that wait for the client. If the buffer is full, ``send`` waits. A handler that
            only sends also yields to other tasks after about this many chunks.
        buffer_bytes: The most bytes that wait for the client, including those of the write in progress. The buffer is
            full when it reaches either limit. An empty buffer accepts any chunk.
        write_bytes: One write takes chunks from the buffer until it contains this many bytes.
        chunk_bytes: The largest chunk that ``send`` accepts.
        heartbeat_s: After this time without a write, a heartbeat is sent: a comment that clients ignore.
        stall_s: The time within which a client must take 1 KiB of the bytes that wait for it, or all if they are
            fewer; else its stream ends. Clients take bytes in steps, which may be large: see docs/deployment.md.
        drain_s: When the server shuts down, handlers may run for this time before they are cancelled. hypercorn's
            ``graceful_timeout`` must be longer.
        lifetime_s: The longest time that a handler may run, or None for no limit. Then it is cancelled; if it swallows
            the cancellation and returns, the outcome is ``done``.
        streams: The most streams that are open at once in one worker, or None for no limit. An action with limits of
            its own counts its own streams; all other actions share the count of the app.
        streams_per_client: The most streams that are open at once for one client in one worker, or None for no limit.
            The app's ``client_key`` identifies clients.
        input_bytes: The largest body, query or set of form fields that is read as input. The limit for files of a
            multipart form is Quart's ``MAX_CONTENT_LENGTH``.
        input_values: The most values in an input; objects and lists count too.
        input_depth: The most levels of objects and lists in an input.
        input_name_chars: The longest name of a member in an input, in characters.

    Raises:
        ValueError: A limit is zero (only ``drain_s`` may be), negative or NaN.
        TypeError: A limit is not a number.
    """

    buffer_chunks: int = attrs.field(default=64, validator=_positive_int)
    buffer_bytes: int = attrs.field(default=256 * 1024, validator=_positive_int)
    write_bytes: int = attrs.field(default=64 * 1024, validator=_positive_int)
    chunk_bytes: int = attrs.field(default=1024 * 1024, validator=_positive_int)
    heartbeat_s: float = attrs.field(default=15.0, validator=_positive_seconds)
    stall_s: float = attrs.field(default=30.0, validator=_positive_seconds)
    drain_s: float = attrs.field(default=0.0, validator=_seconds)
    lifetime_s: float | None = attrs.field(default=None, validator=attrs.validators.optional(_positive_seconds))
    streams: int | None = attrs.field(default=None, validator=attrs.validators.optional(_positive_int))
    streams_per_client: int | None = attrs.field(default=None, validator=attrs.validators.optional(_positive_int))
    input_bytes: int = attrs.field(default=1024 * 1024, validator=_positive_int)
    input_values: int = attrs.field(default=10_000, validator=_positive_int)
    input_depth: int = attrs.field(default=64, validator=_positive_int)
    input_name_chars: int = attrs.field(default=256, validator=_positive_int)
