"""Read the raw values of an action's input from a Quart request."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, Self, final
from urllib.parse import unquote_to_bytes
from uuid import UUID

import attrs
import orjson
import trio
from quart import Request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from .._hypercorn import Exchange, exchange_of
from .._inputs import Bounds, UntypedText, check_json
from ..errors import InvalidInput, parse_error
from ..limits import Limits
from .multipart import InvalidForm, MultipartReader

MAX_PAIRS = 1000
"""The most fields of a query or a form. For multipart forms, Quart's MAX_FORM_PARTS applies, by default the same."""

IN_LOOP_BYTES = 32 * 1024
"""A larger form is read, and a larger input is validated, in a thread, so that other tasks can run."""

_UTF8 = ("utf-8", "utf8")
CHARSETS = frozenset(
    [*_UTF8, "us-ascii", "ascii", "latin-1", "latin1"]
    + [f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))]
    + [f"windows-{page}" for page in range(1250, 1259)]
    + ["utf-16", "utf-16le", "utf-16be", "utf-16-le", "utf-16-be", "utf-32", "utf-32le", "utf-32be"]
    + ["koi8-r", "koi8-u", "shift-jis", "euc-jp", "iso-2022-jp", "euc-kr", "gbk", "gb2312", "gb18030", "big5"]
)
"""The supported charsets of JSON and forms."""

_JSON_TYPE = re.compile(r"(application|text)/(json|[\w.-]+\+json)")
_ASCII = re.compile(r"[\x00-\x7f]++")
_URLENCODED = ("application/x-www-form-urlencoded", "application/x-url-encoded")


@final
@attrs.frozen
class RawInput:
    """The raw values that a client sent, and their size in bytes."""

    value: Any
    size_bytes: int


async def read_input(request: Request, route: dict[str, Any], limits: Limits) -> RawInput:
    """Return the raw input: the query of a GET, or else the form or the JSON of the body.

    The variables of *route* are added and replace fields of the same name. The body is not kept in the request, except
    for the files of a form.

    Raises:
        ActionError: ``PARSE_ERROR``: the input cannot be parsed, is too large, or did not arrive in time.
        InvalidInput: The input has too many values or levels; or *route* has variables and the body is not an object.
    """
    if request.method in ("GET", "HEAD"):
        request.body = DroppedBody()  # type: ignore[assignment]  # replaces Quart's own body
        query = request.query_string
        if len(query) > limits.input_bytes:
            raise parse_error("Query string is too large")
        raw = RawInput(_pairs(query, "utf-8", "Invalid query string"), len(query))
    else:
        try:
            raw = await _read_body(request, limits)
        except RequestEntityTooLarge:
            raise parse_error("Request body is too large") from None
        except RequestTimeout:
            raise parse_error("Request body did not arrive in time") from None
    if route:
        if not isinstance(raw.value, dict):
            raise InvalidInput("Expected an object")
        # A value that JSON has no type for becomes text. The converter of `<uuid:id>` made a UUID; the input type
        # makes one again.
        raw.value.update(
            {name: UntypedText(value) if isinstance(value, str | UUID) else value for name, value in route.items()}
        )
    return raw


async def _read_body(request: Request, limits: Limits) -> RawInput:
    encoding = _encoding(request)
    is_multipart = request.mimetype == "multipart/form-data"
    if (is_multipart or request.mimetype in _URLENCODED) and request._form is not None:
        # A before_request function or a guard has read the form. Quart keeps it.
        fields = list((await request.form).items(multi=True))
        return RawInput(_gathered(fields), sum(len(name) + len(value) for name, value in fields))
    if is_multipart:
        return await _multipart(request, encoding, limits)
    body = await _whole_body(request, limits.input_bytes)
    if request.mimetype in _URLENCODED:
        most = request.max_form_memory_size
        if most is not None and len(body) > most:
            raise RequestEntityTooLarge
        read = partial(_pairs, body, encoding, "Invalid form in request body")
        return RawInput(await trio.to_thread.run_sync(read) if len(body) > IN_LOOP_BYTES else read(), len(body))
    return RawInput(_json(body, encoding, request.mimetype, limits), len(body))


async def _whole_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body, without keeping it in the request.

    Raises:
        RequestEntityTooLarge: It is larger than *limit_bytes* or a limit of Quart.
        RequestTimeout: It does not arrive within Quart's BODY_TIMEOUT.
        RuntimeError: The app has read it before and not kept it.
    """
    if request.content_length is None:
        parts, size = [], 0
        async with aclosing(_body_parts(request)) as incoming:
            async for part in incoming:
                parts.append(part)
                size += len(part)
                if size > limit_bytes:
                    raise RequestEntityTooLarge
        if parts:
            return b"".join(parts)
    elif request.content_length > limit_bytes:
        raise RequestEntityTooLarge
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if len(body) > limit_bytes:
        raise RequestEntityTooLarge
    if not body:
        _check_unread(request)
    return body


def _check_unread(request: Request) -> None:
    """Return if the client has sent no body. It arrives here empty.

    Raises:
        RuntimeError: The app has read the body before, and not kept it.
        ActionError: ``PARSE_ERROR``: the client has announced a body and sent none, as it can over HTTP/2.
    """
    exchange = exchange_of(request.scope)  # it also counts the bytes of a body without a Content-Length
    if exchange.received_bytes if exchange.has_middleware else request.content_length:
        raise RuntimeError(
            "the request's body was read before the action could read it, and was not kept: a before_request function "
            "or a guard must keep it, as `await request.get_data()` does without `cache=False`"
        )
    if request.content_length:
        raise parse_error("Request body is incomplete")


async def _body_parts(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield the parts of the body as they arrive.

    Raises:
        RequestEntityTooLarge: They exceed Quart's MAX_CONTENT_LENGTH. Quart itself checks only the Content-Length.
        RequestTimeout: They do not arrive within Quart's BODY_TIMEOUT.
        RuntimeError: The app has read the body before and not kept it.
    """
    most, size = request.max_content_length, 0
    deadline = math.inf if request.body_timeout is None else trio.current_time() + request.body_timeout
    parts, is_empty = aiter(request.body), True
    kept: Any = request.body._data
    if isinstance(kept, bytes) and kept:  # Quart 0.23 or later, and the body was awaited: iteration yields nothing
        yield kept
        return
    while True:
        with trio.move_on_at(deadline) as scope:
            part = await anext(parts, None)
        if scope.cancelled_caught:
            raise RequestTimeout
        if part is None:
            break
        size += len(part)
        if most is not None and size > most:
            raise RequestEntityTooLarge
        yield part
        is_empty = is_empty and not part
    if is_empty:
        _check_unread(request)


async def _multipart(request: Request, encoding: str, limits: Limits) -> RawInput:
    """Return the fields of a multipart form; its files stay in the request."""
    reader = MultipartReader(request, encoding, limits.input_bytes)
    try:
        async with aclosing(_body_parts(request)) as incoming:
            await reader.read(incoming)
    except InvalidForm:
        raise parse_error("Invalid form in request body") from None
    return RawInput(_gathered(reader.fields), reader.size_bytes)


def leave_unread(request: Request, exchange: Exchange) -> None:
    """Leave the body unread, so that the handler can read it from *request*. The body of a GET is dropped."""
    if request.method in ("GET", "HEAD"):
        request.body = DroppedBody()  # type: ignore[assignment]  # replaces Quart's own body
    elif exchange.has_middleware and not request.body._complete.is_set():
        body = UnreadBody(request.body, request.max_content_length)
        request.body = body  # type: ignore[assignment]  # replaces Quart's own body
        exchange.hold_body(body.wanted)


@final
class UnreadBody:
    """Replaces Quart's body, which is not received until the handler reads it.

    Quart 0.23 limits a body without a Content-Length only when the body is awaited. So it is limited here.

    Attributes:
        wanted: Is set when the handler starts to read the body.
    """

    def __init__(self, body: Any, most_bytes: int | None) -> None:
        self.wanted = trio.Event()
        self._body = body
        self._most_bytes = math.inf if most_bytes is None else most_bytes
        self._kept_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def put(self, data: bytes) -> None:
        """Add *data*, or note that the body is too large. Quart 0.23 or later calls this."""
        self._kept_bytes += len(data)
        if self.wanted.is_set() or self._kept_bytes <= self._most_bytes:
            await self._body.put(data)
        else:
            self._body._must_raise = RequestEntityTooLarge()

    def __aiter__(self) -> AsyncIterator[bytes]:
        self.wanted.set()
        parts: AsyncIterator[bytes] = aiter(self._body)
        return parts

    def __await__(self) -> Generator[Any, None, bytes]:
        self.wanted.set()
        whole: Generator[Any, None, bytes] = self._body.__await__()
        return whole


@final
class DroppedBody:
    """Replaces the body of a GET, which is never read: it drops all data."""

    def append(self, data: bytes) -> None:
        """Drop *data*. Quart 0.22 or earlier calls this."""

    async def put(self, data: bytes) -> None:
        """Drop *data*. Quart 0.23 or later calls this."""

    def set_complete(self) -> None: ...

    def disconnect(self) -> None: ...

    def clear(self) -> None: ...

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from ()
        return b""


def _encoding(request: Request) -> str:
    name = request.mimetype_params.get("charset", "utf-8").strip().lower().replace("_", "-")
    if name not in CHARSETS:  # our own list, since Python's codec cache keeps every unknown name forever
        raise parse_error("Unknown charset in Content-Type")
    return name


def _json(body: bytes, encoding: str, mimetype: str, limits: Limits) -> Any:
    try:
        text = body if encoding in _UTF8 else body.decode(encoding).encode()
        text = text.removeprefix(b"\xef\xbb\xbf")
        check_json(text, bounds_of(limits))
        raw = orjson.loads(text) if text.strip() else {}
    except ValueError:  # invalid JSON, or text that cannot be decoded
        if mimetype and not _JSON_TYPE.fullmatch(mimetype):
            raise parse_error(f"Expected JSON or a form in request body, not {mimetype[:100]}") from None
        raise parse_error("Invalid JSON in request body") from None
    return {} if raw is None else raw  # as in nuxt-actions


def bounds_of(limits: Limits) -> Bounds:
    """Return the bounds of one input."""
    return Bounds(limits.input_values, limits.input_depth, limits.input_name_chars)


def _pairs(encoded: bytes, encoding: str, error_message: str) -> dict[str, Any]:
    if encoded.count(b"&") >= MAX_PAIRS:
        raise parse_error(error_message)
    try:
        # One by one: a long text takes four times its bytes in a string, so no string is kept longer than necessary.
        pairs = (pair.partition(b"=") for pair in encoded.split(b"&") if pair)
        return _gathered((_text_of(name, encoding), _text_of(value, encoding)) for name, _, value in pairs)
    except ValueError:  # text that cannot be decoded
        raise parse_error(error_message) from None


def _text_of(encoded: bytes, encoding: str) -> str:
    """Decode one name or value of a form: unescaped bytes are UTF-8, and escaped bytes are in *encoding*."""
    encoded = encoded.replace(b"+", b" ")
    if b"%" not in encoded:
        return encoded.decode()
    if encoded.isascii():
        return unescaped(encoded).decode(encoding)
    if encoding in _UTF8:
        encoded.decode()  # the unescaped bytes have to be UTF-8 without the escaped ones
        return unescaped(encoded).decode()
    return _ASCII.sub(lambda part: unescaped(part[0].encode()).decode(encoding), encoded.decode())


def unescaped(encoded: bytes, piece_bytes: int = 4096) -> bytes:
    """Return ``unquote_to_bytes(encoded)``, computed in pieces: at once, it needs 20 times the size of a long text."""
    plain, at = bytearray(), 0
    while at < len(encoded):
        stop = at + piece_bytes
        if stop < len(encoded) and (cut := encoded.rfind(b"%", stop - 2, stop)) >= 0:
            stop = cut
        plain += unquote_to_bytes(encoded[at:stop])
        at = stop
    return bytes(plain)


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the texts of *pairs* by name; a list of texts if a name is repeated."""
    gathered: dict[str, Any] = {}
    for name, value in pairs:
        if name not in gathered:
            gathered[name] = UntypedText(value)
        elif isinstance(gathered[name], list):
            gathered[name].append(UntypedText(value))
        else:
            gathered[name] = [gathered[name], UntypedText(value)]
    return gathered
