"""Close all generators of a response that is not read to its end.

The fault: when a response is closed early, httpx2 (up to at least 2.16) closes its own generators, but not those of
httpcore2 inside them. The garbage collector finds them later, and Trio warns. A cancelled wait for more bytes ends all
of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import final

import attrs
import httpx2
import trio

UNREAD_PARTS = 10_000
"""More parts than one read of a connection can contain. So many parts may be buffered in the generators."""


@final
@attrs.frozen(eq=False)
class FullyClosedStream(httpx2.AsyncByteStream):
    """Wraps the stream of a response: yields the same parts, and closes its generators when iteration stops."""

    _stream: httpx2.AsyncByteStream

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        parts = self._stream.__aiter__()
        try:
            async for part in parts:
                yield part
        finally:
            with trio.CancelScope(shield=True) as closing, suppress(Exception):  # an error of closing changes nothing
                closing.cancel()
                for _ in range(UNREAD_PARTS):
                    await anext(parts)

    async def aclose(self) -> None:
        await self._stream.aclose()
