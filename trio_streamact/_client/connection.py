"""One response, from the request to the closing: its bytes are read when they are asked for, and never before."""

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
from . import errors as faults
from .http2 import Http2Request
from .response_cleanup import ClosedToTheLast
from .sending import Outgoing, outgoing

if TYPE_CHECKING:
    import ssl

EVENT_STREAM = "text/event-stream"

REDIRECTS = frozenset({301, 302, 303, 307, 308})

LINGER_S = 0.1
"""How long a connection that others use too is kept for the end of the response behind the last frame, in seconds."""

TURN_S = 0.002
"""How long bytes that are here already are read before other tasks get a turn, in seconds."""

PART_BYTES = 64 * 1024
"""As much as is read at once: compressed, a few bytes may be a megabyte of events."""

Headers = Mapping[str, str]
"""The headers of a request, by name."""
HeadersSource = Headers | Callable[[], Headers | Awaitable[Headers]]
"""Headers, or a function that returns them at each call; it may be async."""


@final
@attrs.frozen
class Call:
    """How an action is called, whatever the input."""

    url: str
    method: str
    http: httpx2.AsyncClient | None
    headers: HeadersSource | None
    follow_redirects: bool
    timeout_s: float
    watchdog_s: float


@final
@attrs.frozen
class Patience:
    """How long something is waited for, and what it is called when it does not come."""

    limit_s: float
    fault: Callable[[], ActionError]

    @classmethod
    def for_first_byte(cls, call: Call) -> Patience:
        """The sooner of the two that may end the wait for it."""
        if call.timeout_s <= call.watchdog_s:
            return cls(call.timeout_s, faults.timeout_error)
        return cls(call.watchdog_s, faults.stream_silent)

    def but(self, seconds: float) -> Patience:
        """What is left of it after so many *seconds*."""
        return Patience(max(self.limit_s - seconds, 0), self.fault)


@final
@attrs.define(eq=False)
class Body:
    """The bytes of an open response.

    Attributes:
        is_read: Whether all that matters was read; set by whoever knows.
    """

    _response: httpx2.Response
    _parts: AsyncGenerator[bytes, None]
    _patience: Patience
    _patience_later: Patience
    is_read: bool = attrs.field(default=False, init=False)
    _rest: bytes = attrs.field(default=b"", init=False)
    _turn_ends: float = attrs.field(factory=lambda: trio.current_time() + TURN_S, init=False)
    _waiting: trio.CancelScope | None = attrs.field(default=None, init=False)

    async def next_part(self) -> bytes:
        """Wait for more bytes. A wait that is cancelled closes the response.

        Raises:
            ActionError: ``STREAM_INCOMPLETE``: there are none. ``TIMEOUT_ERROR``, ``STREAM_SILENT``: they did not come
                in time.
        """
        if trio.current_time() > self._turn_ends:
            await trio.lowlevel.checkpoint()  # one read of a connection may hold thousands of parts
            self._turn_ends = trio.current_time() + TURN_S
        with trio.move_on_after(self._patience.limit_s) as self._waiting:
            await trio.lowlevel.checkpoint_if_cancelled()  # the next bytes may be here already
            if self._rest:
                return self._cut(self._rest)
            try:
                async for part in self._parts:
                    if part:
                        self._patience = self._patience_later
                        return self._cut(part)
            except Exception as error:  # whatever the transport raises: HTTP/2's errors are not all httpx2's
                raise faults.stream_incomplete() from error
            raise faults.stream_incomplete()
        raise self._patience.fault()

    def _cut(self, part: bytes) -> bytes:
        self._rest = part[PART_BYTES:]
        return part[:PART_BYTES]

    async def close(self, *, linger: bool) -> None:
        """Close the response, and so tell the server; with *linger*, one that is about to end may do so by itself."""
        if self._waiting is not None:
            self._waiting.cancel()  # a task that was left behind; on HTTP/2 it would hear of nothing else
        with trio.CancelScope(shield=True):
            with trio.move_on_after(LINGER_S), suppress(Exception):
                if linger and self.is_read:
                    await anext(self._parts)
            with suppress(RuntimeError):  # that task is still within
                await self._parts.aclose()
            with suppress(Exception):  # however it ends, it is over
                await self._response.aclose()


@asynccontextmanager
async def open_body(call: Call, input: object) -> AsyncIterator[Body]:
    """Send the request; the block begins when the head has come, and closes the response when it is left.

    Raises:
        ActionError: The input cannot be sent, there is no response, or it is none of a stream.
    """
    await trio.lowlevel.checkpoint()  # also where the input is refused, or a loop that tries again would hold up all
    goes = outgoing(call.url, call.method, input)
    began = trio.current_time()
    patience = Patience.for_first_byte(call)
    with trio.move_on_after(patience.limit_s) as waiting:
        headers = await _headers_of(call, goes)
    if waiting.cancelled_caught:
        raise patience.fault()
    async with _client_of(call) as http:
        patience = patience.but(trio.current_time() - began)
        began = trio.current_time()
        response = await _response(http, call, goes, headers, patience)
        patience = patience.but(trio.current_time() - began)
        response.stream = ClosedToTheLast(cast("httpx2.AsyncByteStream", response.stream))
        body = Body(response, response.aiter_bytes(), patience, Patience(call.watchdog_s, faults.stream_silent))
        try:
            _check(response)
            yield body
        finally:
            await body.close(linger=call.http is not None)


async def _headers_of(call: Call, goes: Outgoing) -> httpx2.Headers:
    # Whatever compresses a stream on its way holds it back; what comes compressed all the same is read.
    headers = httpx2.Headers({"Accept-Encoding": "identity"})
    given = call.headers() if callable(call.headers) else call.headers
    headers.update(await given if inspect.isawaitable(given) else given)
    headers["Accept"] = EVENT_STREAM
    if goes.body is not None:
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
    return httpx2.create_ssl_context()  # reads all certificates that there are, so not for every call


async def _response(
    http: httpx2.AsyncClient, call: Call, goes: Outgoing, headers: httpx2.Headers, patience: Patience
) -> httpx2.Response:
    as_http2 = Http2Request(http)
    with trio.move_on_after(patience.limit_s) as waiting:
        try:
            request = http.build_request(
                call.method,
                goes.url,
                # With those of the URL itself, which httpx2 drops where there are others.
                params=[*httpx2.URL(goes.url).params.multi_items(), *goes.query] or None,
                content=goes.body,
                headers=headers,
                timeout=_without_read(http.timeout),  # a stream may be silent for as long as it likes
                extensions={"trace": as_http2.trace},
            )
            with as_http2.sending:
                # Whatever the client does elsewhere: a redirect takes its headers, and the input, to any origin.
                return await http.send(request, stream=True, follow_redirects=call.follow_redirects)
        except ActionError:
            raise  # by a hook of the user's
        except Exception as error:  # HTTP/2's errors are not all httpx2's
            raise faults.network_error() from error
    raise patience.fault() if waiting.cancelled_caught else faults.network_error()


def _without_read(timeout: httpx2.Timeout) -> httpx2.Timeout:
    return httpx2.Timeout(connect=timeout.connect, read=None, write=timeout.write, pool=timeout.pool)


def _check(response: httpx2.Response) -> None:
    if response.status_code in REDIRECTS:
        raise faults.redirected()
    if not response.is_success:
        raise faults.http_error(response.status_code)
    media_type, _, _ = response.headers.get("Content-Type", "").partition(";")
    if media_type.strip().lower() != EVENT_STREAM:
        raise faults.not_a_stream()
