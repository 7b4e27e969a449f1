"""Test a stream without sockets: chunk by chunk while the handler runs, and with Trio's autojump clock.

    async def test_words(autojump_clock):
        async with open_stream(app, "/api/_actions/ai-chat", json={"prompt": "hi"}) as stream:
            assert await stream.next_chunk() == {"text": "Hello"}
            assert await stream.rest() == [{"text": "you"}]

The real app runs, and its ASGI messages are read directly. hypercorn and the network do not take part; to test their
effects and their buffers, use sockets. ``autojump_clock`` does not wait for threads, so a test that uses it should have
async views only.
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
"""How long a handler may run after its client has left, in seconds of the test's clock."""


@final
class IncompleteStreamError(Exception):
    """The response ended without an ending, or contained data after it."""


@final
class StreamClient:
    """The client of one stream. The app can be at most one write ahead of what the test has read.

    Attributes:
        status: The HTTP status of the response.
        headers: The headers of the response, by name in lower case.
        body: All bytes of the body that were read so far.
    """

    def __init__(self, receive: trio.MemoryReceiveChannel[bytes]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: bytes = b""
        self._receive = receive
        # No limit here: the app limits the size of chunks, and in a test the app is trusted.
        self._decoder = EventDecoder(max_event_bytes=sys.maxsize)
        self._events: Iterator[Event] = iter(())
        self._ended: bool = False
        self._error: ActionError | None = None

    async def next_bytes(self) -> bytes:
        """Wait for the next write of the body and return it; return ``b""`` at the end of the body."""
        try:
            part = await self._receive.receive()
        except trio.EndOfChannel:
            return b""
        self.body += part
        return part

    async def next_chunk(self) -> Any:
        """Wait for the next chunk and return it.

        Raises:
            trio.EndOfChannel: The stream is done.
            ActionError: The stream failed. This is the error that the client receives.
            IncompleteStreamError: The response ended without an ending.
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
        # Decode one event at a time: if the decoder raises, the test has already received the events before that.
        while (event := next(self._events, None)) is None:
            part = await self.next_bytes()
            if not part:
                raise IncompleteStreamError("the response ended without a done or error frame")
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
        """Read the stream to its end, and return the remaining chunks.

        Raises:
            ActionError: The stream failed.
            IncompleteStreamError: The response ended without an ending, or contained data after it.
        """
        chunks = [chunk async for chunk in self]
        if next(self._events, None) is not None or await self.next_bytes():
            raise IncompleteStreamError("unexpected data after the end of the stream")
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
    """Open the stream at *path* of *app*. The block starts when the head of the response has arrived.

    At the end of the block, the client disconnects and waits until the handler has finished. An exception of the
    block, or one that leaves the app, such as ``KeyboardInterrupt``, is raised unchanged, not in an exception group.

    Args:
        app: The app. To run its ``before_serving`` functions first, use ``async with app.test_app():``.
        path: The path, with the prefix of the actions.
        method: The HTTP method.
        headers: The headers of the request.
        query: The names and values of the query. A list means a repeated name.
        json: The body, as a value that is encoded as JSON. None means no body.
        data: The body, as bytes. It replaces *json*.
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
        # Unwrap the nursery's group: exceptions of the block and of the app are raised unchanged.
        _, others = group.split(lambda error: error is in_block or isinstance(error, trio.Cancelled))
    is_consequence = isinstance(in_block, trio.Cancelled | IncompleteStreamError)
    if others is not None and (in_block is None or is_consequence or not isinstance(others, Exception)):
        raise sole_error(others)  # the app's
    if in_block is not None and not isinstance(in_block, trio.Cancelled):
        if others is not None and in_block.__cause__ is None:
            in_block.__cause__ = sole_error(others)
        raise in_block
    await trio.lowlevel.checkpoint_if_cancelled()
