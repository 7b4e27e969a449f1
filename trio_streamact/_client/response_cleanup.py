"""The bytes of a response, closed down to the last generator.

The fault: httpx2 (up to 2.16 at least) closes its own generators when a response is left early, but none of httpcore2's
within; trio finds them abandoned, and warns. What does end all of them is a wait for more bytes that is cancelled.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import final

import attrs
import httpx2
import trio

UNREAD_PARTS = 10_000
"""How many parts may have been read but not asked for: as many as one read of a connection can hold, and more."""


@final
@attrs.frozen(eq=False)
class ClosedToTheLast(httpx2.AsyncByteStream):
    """A response's stream like the one within."""

    _stream: httpx2.AsyncByteStream

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        parts = self._stream.__aiter__()
        try:
            async for part in parts:
                yield part
        finally:
            with trio.CancelScope(shield=True) as leaving, suppress(Exception):  # however it ends, it is over
                leaving.cancel()
                for _ in range(UNREAD_PARTS):
                    await anext(parts)

    async def aclose(self) -> None:
        await self._stream.aclose()
