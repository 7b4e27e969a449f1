"""Middleware that bounds how often a client may start an action."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import trio

from ..errors import ActionError
from .action import ClientKey, Middleware, remote_address

if TYPE_CHECKING:
    from limits.storage import Storage
    from quart import Request


def rate_limit(rate: str, *, key: ClientKey = remote_address, storage: Storage | str = "memory://") -> Middleware:
    """Make a middleware that lets each client start so many streams in a time, and refuses the rest.

    The client reads ``RATE_LIMITED``, 429, with ``retryAfter`` seconds. The counting is done by the package ``limits``
    (extra ``ratelimit``), with its sliding window.

    Args:
        rate: As ``limits`` writes it: ``"10/minute"``, ``"100 per 2 hours"``.
        key: Tells clients apart, by the request and the context that earlier middleware made; None is not counted.
        storage: One of ``limits``, or its address. In memory each worker counts for itself; to count together, share
            a Redis or the like: ``"redis://..."``. Its calls block, so they are made in a thread. Over one storage,
            limits of the same rate count together.

    Raises:
        ImportError: The extra is not installed.
        ValueError: The rate is none.
    """
    try:
        from limits import parse
        from limits.storage import MemoryStorage, storage_from_string
        from limits.strategies import SlidingWindowCounterRateLimiter
    except ImportError as error:
        raise ImportError("rate_limit needs the extra: pip install 'trio-streamact[ratelimit]'") from error
    item = parse(rate)
    store: Any = storage_from_string(storage) if isinstance(storage, str) else storage
    limiter = SlidingWindowCounterRateLimiter(store)

    def wait_s(client: str) -> float | None:
        """Count a start; give the seconds to wait if it was one too many."""
        if limiter.hit(item, client):
            return None
        return max(0.0, limiter.get_window_stats(item, client).reset_time - time.time())

    async def check_rate(request: Request, ctx: dict[str, Any]) -> None:
        client = key(request, ctx)
        if client is None:
            return
        if type(store) is MemoryStorage:
            seconds = wait_s(str(client))
        else:
            seconds = await trio.to_thread.run_sync(wait_s, str(client))
        if seconds is not None:
            # Whole seconds, and never none: a client that comes back at once would be refused again.
            raise ActionError("RATE_LIMITED", "Too many requests", 429, retry_after_s=int(seconds) + 1)

    return check_rate
