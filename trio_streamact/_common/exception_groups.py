"""Split the exception that leaves a task into a cancellation, a request to stop the process, and failures."""

from __future__ import annotations

from typing import final

import attrs
import trio

_STOPS = (KeyboardInterrupt, SystemExit)


@final
@attrs.frozen
class SplitException:
    """The parts of an exception that may be a group. A part that is missing is None.

    Attributes:
        cancelled: The ``trio.Cancelled``, or a group of them.
        stop: The ``KeyboardInterrupt`` or ``SystemExit``; several stay in their group.
        failure: All other exceptions.
    """

    cancelled: BaseException | None
    stop: BaseException | None
    failure: BaseException | None


def split_exception(error: BaseException) -> SplitException:
    """Return the parts of *error*, which may be a group."""
    if not isinstance(error, BaseExceptionGroup):
        is_cancelled = isinstance(error, trio.Cancelled)
        is_stop = isinstance(error, _STOPS)
        return SplitException(
            error if is_cancelled else None, error if is_stop else None, None if is_cancelled or is_stop else error
        )
    cancelled, others = error.split(trio.Cancelled)
    stop, failure = (None, None) if others is None else others.split(_STOPS)
    return SplitException(cancelled, None if stop is None else sole_error(stop), failure)


def sole_error(error: BaseException) -> BaseException:
    """Return the only exception in *error*, or *error* itself if it is not a group or has several members.

    A nursery wraps even one exception in a group, but callers handle the exception.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
