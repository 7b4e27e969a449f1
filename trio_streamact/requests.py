"""A Quart request to the raw values of an action's input."""

from __future__ import annotations

import codecs
import re
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from quart import Request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from .errors import InvalidInput, parse_error
from .inputs import Text

MAX_PAIRS = 1000
"""How many names a query or a form may have; Quart's MAX_FORM_PARTS for multipart forms, by default the same."""

# Python's own encodings, which no Content-Type means, and which were not made for strangers' bytes.
_NO_CHARSETS = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
_JSON_TYPE = re.compile(r"(application|text)/(json|[\w.-]+\+json)")
_URLENCODED = ("application/x-www-form-urlencoded", "application/x-url-encoded")


async def read_input(request: Request, route: dict[str, Any]) -> Any:
    """Read what the client sent: the query of a GET, else the form or the JSON of the body; *route* variables win.

    Raises:
        ActionError: ``PARSE_ERROR``, it cannot be read.
        InvalidInput: There are route variables, and a body that is no object to hold them.
    """
    if request.method in ("GET", "HEAD"):
        raw = _pairs(request.query_string, "utf-8", "Invalid query string")
    else:
        raw = await _read_body(request)
    if route:
        if not isinstance(raw, dict):
            raise InvalidInput("Expected an object")
        # As text, what JSON has no type for: the converter made a UUID of `<uuid:id>`, and so does the input.
        raw.update({name: Text(value) if isinstance(value, str | UUID) else value for name, value in route.items()})
    return raw


async def _read_body(request: Request) -> Any:
    encoding = _encoding(request)
    is_form = request.mimetype in _URLENCODED or request.mimetype == "multipart/form-data"
    try:
        if is_form and request._form is not None:
            # A function before us has read the form, and with it the body; Quart keeps what it was.
            return _gathered(list((await request.form).items(multi=True)))
        # Quart knows how many bytes it may have, and for how long to wait for them.
        body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    except RequestEntityTooLarge:
        raise parse_error("Request body is too large") from None
    except RequestTimeout:
        raise parse_error("Request body did not arrive in time") from None
    if not body and request.content_length:
        raise RuntimeError(
            "the request's body was read before the action could read it, and not kept: a before_request function or a "
            "guard that reads it has to leave it there, as `await request.get_data()` does without `cache=False`"
        )
    if request.mimetype in _URLENCODED:
        return _pairs(body, encoding, "Invalid form in request body")
    if is_form:
        return _multipart(request, body, encoding)
    return _json(body, encoding, request.mimetype)


def _encoding(request: Request) -> str:
    name = request.mimetype_params.get("charset", "utf-8")
    try:
        # Python has codecs, zlib among them, that make no text; but of no bytes, any of them makes some.
        bytes(4).decode(name)
        charset = codecs.lookup(name).name
    except (LookupError, ValueError):
        charset = "undefined"
    if charset in _NO_CHARSETS:
        raise parse_error("Unknown charset in Content-Type")
    return charset


def _json(body: bytes, encoding: str, mimetype: str) -> Any:
    try:
        text = body.decode(encoding).removeprefix("\ufeff")
        raw = orjson.loads(text) if text.strip() else {}
    except ValueError:  # of JSON and of decoding alike
        if mimetype and not _JSON_TYPE.fullmatch(mimetype):
            raise parse_error(f"Expected JSON or a form in request body, not {mimetype[:100]}") from None
        raise parse_error("Invalid JSON in request body") from None
    return {} if raw is None else raw  # as the model has it


def _pairs(encoded: bytes, encoding: str, refusal: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            encoded.decode("utf-8"),
            keep_blank_values=True,
            encoding=encoding,
            errors="strict",
            max_num_fields=MAX_PAIRS,
        )
    except ValueError:  # of decoding, and too many
        raise parse_error(refusal) from None
    return _gathered(pairs)


def _multipart(request: Request, body: bytes, encoding: str) -> dict[str, Any]:
    """The fields of a multipart form; its files stay with the request.

    Not by Quart's parser, which takes a form that is cut short, or is none, for an empty one.
    """
    refusal = "Invalid form in request body"
    try:
        boundary = request.mimetype_params["boundary"].encode("ascii")
        decoder = MultipartDecoder(boundary, max_parts=request.max_form_parts)
        decoder.receive_data(body)
        decoder.receive_data(None)
        pairs: list[tuple[str, str]] = []
        name: str | None = None
        value = bytearray()
        while not isinstance(event := decoder.next_event(), (Epilogue, NeedData)):
            if isinstance(event, (Field, File)):
                name, value = (event.name if isinstance(event, Field) else None), bytearray()
            elif isinstance(event, Data) and name is not None:
                value += event.data
                if request.max_form_memory_size is not None and len(value) > request.max_form_memory_size:
                    raise parse_error("Request body is too large")
                if not event.more_data:
                    pairs.append((name, value.decode(encoding)))
    except (KeyError, ValueError, RequestEntityTooLarge):
        raise parse_error(refusal) from None
    if not isinstance(event, Epilogue):
        raise parse_error(refusal)
    return _gathered(pairs)


def _gathered(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Text by name; a list where a name was repeated."""
    gathered: dict[str, Any] = {}
    for name, value in pairs:
        if name not in gathered:
            gathered[name] = Text(value)
        elif isinstance(gathered[name], list):
            gathered[name].append(Text(value))
        else:
            gathered[name] = [gathered[name], Text(value)]
    return gathered
