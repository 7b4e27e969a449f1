"""An open stream, iterated: whatever it fails with is raised, and leaving it ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar, Unpack, final, overload

import trio
from typing_extensions import TypeForm

from .._codegen import StreamActionReference
from ..errors import ActionError
from .chunks import ChunkReader
from .connection import Body, open_body
from .options import AddressOptions, CallOptions, Prepared, prepared

Input = TypeVar("Input")
Chunk = TypeVar("Chunk")
Chunk_co = TypeVar("Chunk_co", covariant=True)


@final
class ChunkStream(Generic[Chunk_co]):
    """The chunks of an open stream, to be iterated.

    Nothing is read before it is asked for, so a slow reader slows the action down; but whoever reads another stream of
    the same connection of HTTP/2 reads for all of them, and up to 16 MiB wait there. A wait for a chunk that is
    cancelled ends the stream, as leaving its block does.
    """

    def __init__(self, body: Body, reader: ChunkReader[Chunk_co]) -> None:
        self._body = body
        self._reader = reader
        self._chunks: Iterator[Chunk_co] = iter(())
        self._failure: Exception | None = None
        self._is_left = False

    def __aiter__(self) -> AsyncIterator[Chunk_co]:
        """Give the stream itself: it is read once."""
        return self

    async def __anext__(self) -> Chunk_co:
        """Wait for the next chunk.

        Raises:
            StopAsyncIteration: The stream is done.
            ActionError: The stream has failed, as often as it is asked.
            trio.BusyResourceError: Another task waits for the next chunk.
            trio.ClosedResourceError: The block was left, or an earlier wait was cancelled.
        """
        for chunk in self._chunks:
            return chunk
        while True:
            self._check()
            for chunk in await self._more():
                return chunk

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        ending = self._reader.ending
        if ending is None:
            return
        self._body.is_read = True
        if isinstance(ending, ActionError):
            raise ending
        raise StopAsyncIteration

    async def _more(self) -> Iterator[Chunk_co]:
        self._failure = trio.BusyResourceError("another task waits for the next chunk")
        try:
            part = await self._body.next_part()
        except ActionError as error:
            if self._is_left:
                raise _left() from error
            self._failure = error
            raise
        except BaseException:
            self._failure = trio.ClosedResourceError("a wait for a chunk was cancelled, which ended the stream")
            raise
        self._failure = None
        self._chunks = self._reader.feed(part)
        return self._chunks

    def _close(self) -> None:
        self._is_left = True
        self._chunks = iter(())
        if self._reader.ending is None and self._failure is None:
            self._failure = _left()


def _left() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the block of the stream was left")


@overload
def open_stream_action(
    action: StreamActionReference[None, Chunk], input: None = None, **options: Unpack[CallOptions]
) -> AbstractAsyncContextManager[ChunkStream[Chunk]]: ...


@overload
def open_stream_action(
    action: StreamActionReference[Input, Chunk], input: Input, **options: Unpack[CallOptions]
) -> AbstractAsyncContextManager[ChunkStream[Chunk]]: ...


@overload
def open_stream_action(
    action: str, input: object = None, *, chunk: TypeForm[Chunk], **options: Unpack[AddressOptions]
) -> AbstractAsyncContextManager[ChunkStream[Chunk]]: ...


@overload
def open_stream_action(
    action: str, input: object = None, *, chunk: Any = Any, **options: Unpack[AddressOptions]
) -> AbstractAsyncContextManager[ChunkStream[Any]]: ...


def open_stream_action(
    action: str | StreamActionReference[Any, Any], input: object = None, **options: Any
) -> AbstractAsyncContextManager[ChunkStream[Any]]:
    """Call an action, for as long as the ``async with`` block lasts; its value gives the chunks, to be iterated.

        async with open_stream_action("http://127.0.0.1:8000/api/_actions/ai-chat", Prompt("hi"), chunk=Token) as words:
            async for word in words:
                print(word.text)

    The block begins when the head of the response has come. Leaving it, in whatever way, cancels the action's handler.

    Args:
        action: A URL, in which ``{name}`` stands for that member of the input, or a ``StreamActionReference``.
        input: What the action takes; whatever a handler could send. None is an input left out: for type checkers a
            reference needs one, unless its type of input holds ``None`` or is ``Any``.
        http: Your own client, with its base URL, authentication, proxies and HTTP/2. Left out, there is one for this
            call. httpx2's ``ASGITransport`` gives a response only when it is complete.
        method: The HTTP method; a reference has its own.
        headers: Headers of the request, or a function that gives them, which may be async.
        follow_redirects: Whether redirects are followed, whatever *http* does elsewhere. Their target, which may be of
            any origin, is sent the headers and the input. With 301, 302 and 303 a POST becomes a GET without the input.
        timeout: Seconds within which the first byte of the stream must have come, or None for ever.
        watchdog_s: Seconds for which an open stream may be silent, without so much as a heartbeat, or None for ever.
        max_event_bytes: The largest event that is read; by default twice the largest chunk that is sent by default.
        chunk: What chunks are to be: whatever can be an input of an action. A reference has its own.

    Raises:
        TypeError: The chunk is of a type that cannot be made of JSON.
        ActionError: The action failed, and says how; or, on entering the block ``INVALID_INPUT``, ``NETWORK_ERROR``,
            ``REDIRECTED``, ``HTTP_ERROR``, ``NOT_A_STREAM`` and ``TIMEOUT_ERROR``; and in iterating
            ``STREAM_INCOMPLETE``, ``MALFORMED_EVENT``, ``EVENT_TOO_LARGE``, ``TIMEOUT_ERROR`` and ``STREAM_SILENT``.
    """
    return open_prepared(prepared(action, **options), input)


@asynccontextmanager
async def open_prepared(action: Prepared[Chunk], input: object) -> AsyncIterator[ChunkStream[Chunk]]:
    """Call an action that was made ready; see ``open_stream_action``."""
    async with open_body(action.call, input) as body:
        stream = ChunkStream(body, action.reader())
        try:
            yield stream
        finally:
            stream._close()
