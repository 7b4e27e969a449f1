"""Middleware that limits how often a client may call an action."""

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
    """Return a guard or middleware that rejects calls of a client above *rate*.

    The client receives ``RATE_LIMITED``, 429, with ``retryAfter`` in seconds. The package ``limits`` (the extra
    ``ratelimit``) counts, with its sliding window counter.

    Args:
        rate: A rate in the notation of ``limits``: ``"10/minute"``, ``"100 per 2 hours"``.
        key: Returns a key for the client, from the request and the ``ctx`` of earlier guards and middleware. If it
            returns None, the call is not counted.
        storage: A storage of ``limits``, or its URI. With the default, in memory, each worker counts on its own. To
            count for all workers, use a shared storage such as ``"redis://..."``; its calls block, so they run in a
            thread. All limits with the same rate and the same storage share one count.

    Raises:
        ImportError: The extra ``ratelimit`` is not installed.
        ValueError: *rate* cannot be parsed.
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
        """Count a call; return None if it is within the rate, else the seconds to wait."""
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
            # Whole seconds, and at least 1: a client that retries at once would be rejected again.
            raise ActionError("RATE_LIMITED", "Too many requests", 429, retry_after_s=int(seconds) + 1)

    return check_rate
