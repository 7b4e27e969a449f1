"""How much a stream may hold, and for how long."""

from __future__ import annotations

import math
from typing import Any, final

import attrs

__all__ = ["Limits"]


def _positive_int(_: Limits, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} is a whole number, not {value!r}")
    if value <= 0:
        raise ValueError(f"{attribute.name} must be more than 0, not {value}")


def _seconds(_: Limits, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} is a number of seconds, not {value!r}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{attribute.name} must not be less than 0, not {value}")


def _positive_seconds(limits: Limits, attribute: attrs.Attribute[Any], value: Any) -> None:
    _seconds(limits, attribute, value)
    if value == 0:
        raise ValueError(f"{attribute.name} must be more than 0, not {value}")


@final
@attrs.frozen(kw_only=True)
class Limits:
    """What one stream may use; for a whole app, or for one action in its place.

    Seconds are floats, and ``math.inf`` is never; sizes are of encoded bytes.

    Args:
        buffer_chunks: Chunks that wait for the client before ``send`` waits too. A handler that does nothing but
            send lets others run about as often.
        buffer_bytes: The same in bytes, whichever is reached first, with what is being written. One chunk always fits.
        write_bytes: Where one write stops taking more of the chunks that wait.
        chunk_bytes: The largest chunk that ``send`` takes.
        heartbeat_s: How long a stream is idle before a comment says that it is still there.
        stall_s: How long a client may take before it has taken 1 KiB of what waits for it, or all if that is less;
            then its stream is ended. A client takes in steps, which may be large: see docs/deployment.md.
        drain_s: How long a handler may go on when the server shuts down, before it is cancelled; hypercorn's
            ``graceful_timeout`` must be longer.
        lifetime_s: How long a handler may run, or None for as long as it likes. One that swallows its cancellation
            and returns is done.
        streams: Streams open at once in one worker, or None for any number. An action with limits of its own has
            this number to itself; all others share the app's.
        streams_per_client: The same for each client, as the app's ``client_key`` tells them apart.
        input_bytes: The largest body, query or set of form fields that is read as an action's input. Files of a
            multipart form are bounded by Quart's ``MAX_CONTENT_LENGTH`` instead.
        input_values: Values in an input, objects and lists included.
        input_depth: Levels of objects and lists in an input.
        input_name_chars: The longest name of a member.

    Raises:
        ValueError: A limit is zero, negative or not a number.
        TypeError: A limit is no number at all.
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
