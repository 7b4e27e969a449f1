"""aiohttp with aiohttp-sse: a handler that awaits ``send`` for each event. Its own server; ``python -m`` starts it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import orjson
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from .common import ENDING, cancelled, note_cancelled, numbers, pause_s, tick, token


def encode(payload: Mapping[str, object]) -> str:
    return orjson.dumps(payload).decode()


async def burst(request: web.Request) -> EventSourceResponse:
    asked = numbers(request.query_string)
    async with sse_response(request) as response:
        if (pause := pause_s(asked["start"])) > 0:
            await asyncio.sleep(pause)
        for n in range(asked["events"]):
            await response.send(encode(token(n)))
        await response.send(encode(ENDING))
    return response


async def ticks(request: web.Request) -> EventSourceResponse:
    asked = numbers(request.query_string)
    async with sse_response(request) as response:
        for n in range(asked["events"]):
            due = asked["start"] + n * asked["every"]
            if (pause := pause_s(due)) > 0:
                await asyncio.sleep(pause)
            await response.send(encode(tick(n, due)))
        await response.send(encode(ENDING))
    return response


async def hold(request: web.Request) -> EventSourceResponse:
    try:
        async with sse_response(request) as response:
            await response.send(encode(token(0)))
            await asyncio.Event().wait()
    finally:
        note_cancelled(numbers(request.query_string)["id"])
    return response


async def cancelled_streams(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    return web.json_response(cancelled)


def main() -> None:
    app = web.Application()
    app.add_routes(
        [
            web.get("/burst", burst),
            web.get("/ticks", ticks),
            web.get("/hold", hold),
            web.get("/cancelled", cancelled_streams),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    # Without it, aiohttp lets a handler run on where its client has left.
    web.run_app(app, sock=listener, print=None, access_log=None, backlog=2048, handler_cancellation=True)


if __name__ == "__main__":
    main()
