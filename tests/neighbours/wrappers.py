"""ASGI middleware of several kinds, as it stands around apps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tests.neighbours.promises import Wrap

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI app."""


def closure(app: App) -> App:
    """Replaces ``send`` and ``receive``, as tracers and error trackers do."""

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        async def traced_receive() -> Any:
            return await receive()

        async def traced_send(message: Any) -> None:
            await send(message)

        await app(scope, traced_receive, traced_send)

    return outside


def with_scope(make: Callable[[Any], Any]) -> Wrap:
    """Replaces ``send``, and the scope by what *make* makes of it."""

    def wrap(app: App) -> App:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            async def traced_send(message: Any) -> None:
                await send(message)

            await app(make(scope) if scope["type"] == "http" else scope, receive, traced_send)

        return outside

    return wrap


def from_a_task(room: float) -> Wrap:
    """Sends from a task of its own, with *room* for so many messages between the app and that task."""

    def wrap(app: App) -> App:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            put, queue = trio.open_memory_channel[Any](room)

            async def pump() -> None:
                async for message in queue:
                    await send(message)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump)
                with put:
                    await app(scope, receive, put.send)

        return outside

    return wrap
