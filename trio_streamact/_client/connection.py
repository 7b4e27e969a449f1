"""Send one request and read its response. Bytes are read only when the caller asks for them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, cast, final

import attrs
import httpx2
import trio

from ..errors import ActionError
from . import errors
from .http2 import Http2Request
from .response_cleanup import FullyClosedStream
from .sending import RequestData, request_data

if TYPE_CHECKING:
    import ssl

EVENT_STREAM = "text/event-stream"

REDIRECTS = frozenset({301, 302, 303, 307, 308})

LINGER_S = 0.1
"""How long ``Body.close`` waits for the end of the response after the last frame, in seconds.

A response that has ended leaves its connection usable for other requests."""

TURN_S = 0.002
"""How long bytes that have already arrived are read between two checkpoints, in seconds."""

PART_BYTES = 64 * 1024
"""The most bytes that are decoded at once: a few compressed bytes may contain a megabyte of events."""

Headers = Mapping[str, str]
"""The headers of a request, by name."""
HeadersSource = Headers | Callable[[], Headers | Awaitable[Headers]]
"""Headers, or a function that returns them and is called for each request; it may be async."""


@final
@attrs.frozen
class Call:
    """The parameters of a call that do not depend on the input. ``math.inf`` means no time limit."""

    url: str
    method: str
    http: httpx2.AsyncClient | None
    headers: HeadersSource | None
    follow_redirects: bool
    timeout_s: float
    watchdog_s: float


@final
@attrs.frozen
class Timeout:
    """A time limit, and the error when it is exceeded."""

    limit_s: float
    to_error: Callable[[], ActionError]

    @classmethod
    def for_first_byte(cls, call: Call) -> Timeout:
        """Return the shorter one of the two limits that apply to the first byte."""
        if call.timeout_s <= call.watchdog_s:
            return cls(call.timeout_s, errors.timeout_error)
        return cls(call.watchdog_s, errors.stream_silent)

    def minus(self, seconds: float) -> Timeout:
        """Return the rest of this timeout after *seconds* have passed."""
        return Timeout(max(self.limit_s - seconds, 0), self.to_error)


@final
@attrs.define(eq=False)
class Body:
    """The bytes of an open response.

    Attributes:
        is_read: True if the ending of the stream was read. The reader of the stream sets it.
    """

    _response: httpx2.Response
    _parts: AsyncGenerator[bytes, None]
    _timeout: Timeout
    _timeout_after_first_byte: Timeout
    is_read: bool = attrs.field(default=False, init=False)
    _rest: bytes = attrs.field(default=b"", init=False)
    _turn_ends: float = attrs.field(factory=lambda: trio.current_time() + TURN_S, init=False)
    _waiting: trio.CancelScope | None = attrs.field(default=None, init=False)

    async def next_part(self) -> bytes:
        """Wait for the next bytes and return them. If the wait is cancelled, the response is closed.

        Raises:
            ActionError: ``STREAM_INCOMPLETE``: the response ended, or the connection failed. ``TIMEOUT_ERROR`` or
                ``STREAM_SILENT``: no bytes arrived in time.
        """
        if trio.current_time() > self._turn_ends:
            await trio.lowlevel.checkpoint()  # one read of a connection may contain thousands of parts
            self._turn_ends = trio.current_time() + TURN_S
        with trio.move_on_after(self._timeout.limit_s) as self._waiting:
            await trio.lowlevel.checkpoint_if_cancelled()  # if bytes are already there, reading is not a checkpoint
            if self._rest:
                return self._cut(self._rest)
            try:
                async for part in self._parts:
                    if part:
                        self._timeout = self._timeout_after_first_byte
                        return self._cut(part)
            except Exception as error:  # over HTTP/2 the transport also raises errors that are not httpx2's
                raise errors.stream_incomplete() from error
            raise errors.stream_incomplete()
        raise self._timeout.to_error()

    def _cut(self, part: bytes) -> bytes:
        self._rest = part[PART_BYTES:]
        return part[:PART_BYTES]

    async def close(self, *, linger: bool) -> None:
        """Close the response, which the server notices.

        With *linger*, first wait up to ``LINGER_S`` for a response whose ending was read to end by itself.
        """
        if self._waiting is not None:
            self._waiting.cancel()  # another task may still wait for bytes; over HTTP/2 nothing else would wake it
        with trio.CancelScope(shield=True):
            with trio.move_on_after(LINGER_S), suppress(Exception):
                if linger and self.is_read:
                    await anext(self._parts)
            with suppress(RuntimeError):  # the other task still runs inside the generator
                await self._parts.aclose()
            with suppress(Exception):  # the stream is over, and an error of closing changes nothing
                await self._response.aclose()


@asynccontextmanager
async def open_body(call: Call, input: object) -> AsyncIterator[Body]:
    """Send the request. The block starts when the head of the response has arrived; its end closes the response.

    Raises:
        ActionError: The input cannot be sent, no response arrived in time, or the response is not an event stream.
    """
    await trio.lowlevel.checkpoint()  # also if the input is invalid: a loop that retries must not block other tasks
    data = request_data(call.url, call.method, input)
    began = trio.current_time()
    timeout = Timeout.for_first_byte(call)
    with trio.move_on_after(timeout.limit_s) as waiting:
        headers = await _headers_of(call, data)
    if waiting.cancelled_caught:
        raise timeout.to_error()
    async with _client_of(call) as http:
        timeout = timeout.minus(trio.current_time() - began)
        began = trio.current_time()
        response = await _response(http, call, data, headers, timeout)
        timeout = timeout.minus(trio.current_time() - began)
        response.stream = FullyClosedStream(cast("httpx2.AsyncByteStream", response.stream))
        body = Body(response, response.aiter_bytes(), timeout, Timeout(call.watchdog_s, errors.stream_silent))
        try:
            _check(response)
            yield body
        finally:
            await body.close(linger=call.http is not None)


async def _headers_of(call: Call, data: RequestData) -> httpx2.Headers:
    # A proxy that compresses a stream delays it. A response that is compressed in spite of this is decoded.
    headers = httpx2.Headers({"Accept-Encoding": "identity"})
    given = call.headers() if callable(call.headers) else call.headers
    headers.update(await given if inspect.isawaitable(given) else given)
    headers["Accept"] = EVENT_STREAM
    if data.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


@asynccontextmanager
async def _client_of(call: Call) -> AsyncIterator[httpx2.AsyncClient]:
    if call.http is not None:
        yield call.http
        return
    async with httpx2.AsyncClient(verify=_ssl_context()) as own:
        yield own


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # this reads all certificates of the system: too slow for every call


async def _response(
    http: httpx2.AsyncClient, call: Call, data: RequestData, headers: httpx2.Headers, timeout: Timeout
) -> httpx2.Response:
    as_http2 = Http2Request(http)
    with trio.move_on_after(timeout.limit_s) as waiting:
        try:
            request = http.build_request(
                call.method,
                data.url,
                # Include the parameters of the URL: httpx2 drops them if other parameters are passed.
                params=[*httpx2.URL(data.url).params.multi_items(), *data.query] or None,
                content=data.body,
                headers=headers,
                timeout=_without_read(http.timeout),  # a stream may be silent; `watchdog_s` is the limit for that
                extensions={"trace": as_http2.trace},
            )
            with as_http2.sending:
                # Ignore the setting of the client: a redirect sends its headers and the input to any origin.
                return await http.send(request, stream=True, follow_redirects=call.follow_redirects)
        except ActionError:
            raise  # an event hook of the user's HTTP client raised it
        except Exception as error:  # over HTTP/2 the transport also raises errors that are not httpx2's
            raise errors.network_error() from error
    raise timeout.to_error() if waiting.cancelled_caught else errors.network_error()


def _without_read(timeout: httpx2.Timeout) -> httpx2.Timeout:
    return httpx2.Timeout(connect=timeout.connect, read=None, write=timeout.write, pool=timeout.pool)


def _check(response: httpx2.Response) -> None:
    if response.status_code in REDIRECTS:
        raise errors.redirected()
    if not response.is_success:
        raise errors.http_error(response.status_code)
    media_type, _, _ = response.headers.get("Content-Type", "").partition(";")
    if media_type.strip().lower() != EVENT_STREAM:
        raise errors.not_a_stream()
