"""A stream in a test, without sockets: live, chunk by chunk, and with a clock that can jump.

    async def test_words(autojump_clock):
        async with open_stream(app, "/api/_actions/ai-chat", json={"prompt": "hi"}) as stream:
            assert await stream.next_chunk() == {"text": "Hello"}
            assert await stream.rest() == [{"text": "you"}]

The app runs for real up to its ASGI messages; hypercorn and the network are left out, so what they do to a stream (and
how much they buffer) needs a test with sockets. ``autojump_clock`` jumps over threads that are working: in such tests
use async views only.
"""

from __future__ import annotations

import json as json_module
import math
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, final
from urllib.parse import urlencode

import trio
from quart.testing import make_test_headers_path_and_query_string, make_test_scope
from quart_trio import QuartTrio

from ._common.exception_groups import sole_error
from ._protocol.decoding import Event, EventDecoder
from ._protocol.messages import Chunk, read_frame
from .errors import ActionError

__all__ = ["IncompleteStreamError", "StreamClient", "open_stream"]

LEAVE_S = 5.0
"""How long a handler may take to end once its client has left, in seconds of the test's clock."""


@final
class IncompleteStreamError(Exception):
    """The bytes ended before the stream said how it ended."""


@final
class StreamClient:
    """One client of one stream. The app gets ahead of what is read by no more than one write.

    Attributes:
        status: The HTTP status.
        headers: The response's headers, their names in lower case.
        body: All bytes that were read so far.
    """

    def __init__(self, receive: trio.MemoryReceiveChannel[bytes]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: bytes = b""
        self._receive = receive
        # How large a chunk may be is the app's to say, and in a test the app is not a stranger.
        self._decoder = EventDecoder(max_event_bytes=sys.maxsize)
        self._events: Iterator[Event] = iter(())
        self._ended: bool = False
        self._error: ActionError | None = None

    async def next_bytes(self) -> bytes:
        """Wait for the next write of the body; ``b""`` is its end."""
        try:
            part = await self._receive.receive()
        except trio.EndOfChannel:
            return b""
        self.body += part
        return part

    async def next_chunk(self) -> Any:
        """Wait for the next chunk.

        Raises:
            trio.EndOfChannel: The stream is done.
            ActionError: The stream has failed, and this is what the client is told.
            IncompleteStreamError: The bytes have ended without either.
        """
        while not self._ended:
            event = await self._next_event()
            frame = read_frame(event)
            if isinstance(frame, Chunk):
                return frame.data
            self._ended = True
            self._error = frame if isinstance(frame, ActionError) else None
        if self._error is not None:
            raise self._error
        raise trio.EndOfChannel

    async def _next_event(self) -> Event:
        # One by one as they are asked for: where the decoder refuses a part, the events before that come first.
        while (event := next(self._events, None)) is None:
            part = await self.next_bytes()
            if not part:
                raise IncompleteStreamError("the bytes ended before the stream said how")
            self._events = self._decoder.feed(part)
        return event

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.next_chunk()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def rest(self) -> list[Any]:
        """Read all chunks that are still to come, and then the body to its end.

        Raises:
            ActionError: As ``next_chunk`` does.
            IncompleteStreamError: As ``next_chunk`` does, or there were bytes behind the ending.
        """
        chunks = [chunk async for chunk in self]
        if next(self._events, None) is not None or await self.next_bytes():
            raise IncompleteStreamError("there is something behind the end of the stream")
        return chunks


@asynccontextmanager
async def open_stream(
    app: QuartTrio,
    path: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, Any] | None = None,
    json: Any = None,
    data: bytes | None = None,
) -> AsyncIterator[StreamClient]:
    """Open the stream at *path* of *app*; the block begins when its head is there.

    Leaving the block is a disconnect, and waits until the handler is over. What the block raises is raised as it is,
    and what leaves the app (a ``KeyboardInterrupt``, say) likewise, in no group of a nursery's.

    Args:
        app: The app, as it is served. Within ``async with app.test_app():`` its ``before_serving`` functions have run.
        path: The path, with the prefix of the actions.
        method: The HTTP method.
        headers: Headers of the request.
        query: Names and values of the query; a list is a repeated name.
        json: The body, as a value for JSON; left out, there is no body.
        data: The body, as bytes.
    """
    if query is not None:
        path = f"{path}?{urlencode(query, doseq=True)}"
    request_headers, path, query_string = make_test_headers_path_and_query_string(app, path, dict(headers or {}))
    body = data if data is not None else b"" if json is None else json_module.dumps(json).encode()
    if json is not None:
        request_headers.setdefault("Content-Type", "application/json")
    request_headers.setdefault("Content-Length", str(len(body)))
    scope = make_test_scope("http", path, method, request_headers, query_string, "http", "", "1.1", {})

    to_app, app_receive = trio.open_memory_channel[dict[str, Any]](math.inf)
    app_send, client_receive = trio.open_memory_channel[bytes](0)
    client = StreamClient(client_receive)
    started, finished = trio.Event(), trio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            client.status = message["status"]
            client.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            started.set()
        elif message["type"] == "http.response.body":
            if message.get("body"):
                await app_send.send(message["body"])
            if not message.get("more_body", False):
                app_send.close()

    async def run() -> None:
        try:
            await app(scope, app_receive.receive, send)  # type: ignore[arg-type]  # hypercorn's unions of messages
        finally:
            app_send.close()
            started.set()
            finished.set()

    to_app.send_nowait({"type": "http.request", "body": body, "more_body": False})
    in_block: BaseException | None = None
    others: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await started.wait()
            try:
                yield client
            except BaseException as error:
                in_block = error
                raise
            finally:
                to_app.send_nowait({"type": "http.disconnect"})
                with trio.CancelScope(shield=True), trio.move_on_after(LEAVE_S) as late:
                    await finished.wait()
                if late.cancelled_caught:
                    nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The nursery is our own affair: what the block has raised is raised as it is, and so is what left the app.
        _, others = group.split(lambda error: error is in_block or isinstance(error, trio.Cancelled))
    is_consequence = isinstance(in_block, trio.Cancelled | IncompleteStreamError)
    if others is not None and (in_block is None or is_consequence or not isinstance(others, Exception)):
        raise sole_error(others)  # the app's
    if in_block is not None and not isinstance(in_block, trio.Cancelled):
        if others is not None and in_block.__cause__ is None:
            in_block.__cause__ = sole_error(others)
        raise in_block
    await trio.lowlevel.checkpoint_if_cancelled()
