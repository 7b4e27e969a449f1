"""Iterate an open stream. Its error is raised, and leaving its block closes it."""

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
    """The chunks of an open stream; an async iterator.

    Data is read only when a chunk is requested, so a slow client slows the handler down. One exception: streams that
    share an HTTP/2 connection are read together, and up to 16 MiB of unread data wait in the client. If a wait for a
    chunk is cancelled, the stream is closed, as at the end of its block.
    """

    def __init__(self, body: Body, reader: ChunkReader[Chunk_co]) -> None:
        self._body = body
        self._reader = reader
        self._chunks: Iterator[Chunk_co] = iter(())
        self._failure: Exception | None = None
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[Chunk_co]:
        """Return the stream itself: it can be iterated once."""
        return self

    async def __anext__(self) -> Chunk_co:
        """Wait for the next chunk and return it.

        Raises:
            StopAsyncIteration: The stream is done.
            ActionError: The stream failed. Every later call raises it again.
            trio.BusyResourceError: Another task is waiting for the next chunk.
            trio.ClosedResourceError: The block has ended, or an earlier wait was cancelled.
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
        self._failure = trio.BusyResourceError("another task is waiting for the next chunk")
        try:
            part = await self._body.next_part()
        except ActionError as error:
            if self._is_closed:
                raise _closed() from error
            self._failure = error
            raise
        except BaseException:
            self._failure = trio.ClosedResourceError("the stream was closed, because a wait for a chunk was cancelled")
            raise
        self._failure = None
        self._chunks = self._reader.feed(part)
        return self._chunks

    def _close(self) -> None:
        self._is_closed = True
        self._chunks = iter(())
        if self._reader.ending is None and self._failure is None:
            self._failure = _closed()


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the stream is closed: its async with block has ended")


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
    """Call an action. ``async with`` returns its stream, and the end of the block closes the stream.

        async with open_stream_action("http://127.0.0.1:8000/api/_actions/ai-chat", Prompt("hi"), chunk=Token) as words:
            async for word in words:
                print(word.text)

    The block starts when the head of the response has arrived. If the block ends before the stream, the handler of the
    action is cancelled.

    Args:
        action: A ``StreamActionReference``, or a URL. A ``{name}`` in the URL is filled from that member of the input.
        input: The input: any value that a handler could send as a chunk. None means no input. For type checkers, the
            input of a reference is required, unless its type contains ``None`` or is ``Any``.
        http: An HTTP client with its own base URL, authentication, proxies and HTTP/2. By default, a client is
            created for this call. httpx2's ``ASGITransport`` does not stream: it returns complete responses.
        method: The HTTP method. A reference contains its own.
        headers: The headers of the request, or a function, which may be async, that returns them.
        follow_redirects: If True, redirects are followed, whatever the setting of *http*. The headers and the input
            are sent to the target, which may have any origin. With 301, 302 and 303, a POST becomes a GET without the
            input.
        timeout: The time within which the first byte of the stream must arrive, in seconds. None means no limit.
        watchdog_s: The longest time without any data, not even a heartbeat, in seconds. None means no limit.
        max_event_bytes: The largest event, in bytes. The default is twice the server's default limit for a chunk.
        chunk: The type of the chunks: any type that an input can have. A reference contains its own.

    Raises:
        TypeError: *action* is neither a URL nor a reference, or its chunk type cannot be structured from JSON.
        ActionError: The action failed; the error carries its code and message. The client itself raises, at the start
            of the block, ``INVALID_INPUT``, ``NETWORK_ERROR``, ``REDIRECTED``, ``HTTP_ERROR``, ``NOT_A_STREAM`` and
            ``TIMEOUT_ERROR``; and during iteration, ``STREAM_INCOMPLETE``, ``MALFORMED_EVENT``, ``EVENT_TOO_LARGE``,
            ``TIMEOUT_ERROR`` and ``STREAM_SILENT``.
    """
    return open_prepared(prepared(action, **options), input)


@asynccontextmanager
async def open_prepared(action: Prepared[Chunk], input: object) -> AsyncIterator[ChunkStream[Chunk]]:
    """Call a prepared action; see ``open_stream_action``."""
    async with open_body(action.call, input) as body:
        stream = ChunkStream(body, action.reader())
        try:
            yield stream
        finally:
            stream._close()
