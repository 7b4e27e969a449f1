"""What an exception that leaves a task is made of."""

from __future__ import annotations

from typing import final

import attrs
import trio

_STOPS = (KeyboardInterrupt, SystemExit)


@final
@attrs.frozen
class Parts:
    """What an exception is made of, where it may be a group of everything: each part as it came, or None."""

    cancelled: BaseException | None
    stop: BaseException | None
    failure: BaseException | None


def parts_of(error: BaseException) -> Parts:
    """Split *error* into a cancellation, somebody's wish to stop the process, and the failures."""
    if not isinstance(error, BaseExceptionGroup):
        is_cancelled = isinstance(error, trio.Cancelled)
        is_stop = isinstance(error, _STOPS)
        return Parts(
            error if is_cancelled else None, error if is_stop else None, None if is_cancelled or is_stop else error
        )
    cancelled, others = error.split(trio.Cancelled)
    stop, failure = (None, None) if others is None else others.split(_STOPS)
    return Parts(cancelled, None if stop is None else sole_error(stop), failure)


def sole_error(error: BaseException) -> BaseException:
    """Follow groups with a single member down to it: what one task raised is what the nursery's owner meant."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
