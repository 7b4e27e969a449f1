"""Refuse requests whose target is not a path and a query, or whose ``Host`` is not valid, before the app runs.

Fault: hypercorn passes on any target that h11 or h2 accepts, such as ``?`` or ``http://[``. It also passes on any
``Host``, and over HTTP/2 a query of any bytes. For some of them, Quart and Werkzeug raise outside of all error
handlers. Each is logged as a failure of the app, with a traceback.
"""

from __future__ import annotations

from typing import final
from urllib.parse import urlsplit

import attrs

from .asgi import Receive, Scope, Send

NO_PATH = "The request's target is not a path"
NO_QUERY = "The request's query is not UTF-8"
NO_HOST = "The request's Host is not the name of a host"

LABEL_BYTES = 64
"""The shortest length that is too long for a label of a host name. Source: RFC 1035, 2.3.4."""


def fault_of(scope: Scope) -> str | None:
    """Return the reason why the request of *scope* is refused, or None if it is valid."""
    if scope["type"] == "lifespan":
        return None
    if not _has_path(scope):
        return NO_PATH
    if not _is_text(scope["query_string"]):
        return NO_QUERY
    host = next((value for name, value in scope["headers"] if name.lower() == b"host"), b"")
    return None if _is_host(host) else NO_HOST


def _is_http1(scope: Scope) -> bool:
    return str(scope.get("http_version", "1.1")).startswith("1")


def _is_text(query: bytes) -> bool:
    try:
        query.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_host(value: bytes) -> bool:
    """Return True if Werkzeug can decode *value* as a host name. Otherwise RFC 9112, 3.2, requires a 400."""
    if value.isascii() and len(value) < LABEL_BYTES and value[:1] != b"." and b".." not in value:
        return True  # the fast path for nearly all requests
    try:
        value.decode("latin-1").encode("idna")
    except UnicodeError:
        return False
    return True


def _has_path(scope: Scope) -> bool:
    path: str = scope["path"]
    sent: bytes = scope.get("raw_path") or path.encode()  # optional in ASGI
    if path[:1] == "/" and sent[:1] == b"/":
        return True
    if sent == b"*":
        return scope.get("method") == "OPTIONS"
    # Quart parses the path after its escapes were decoded: `http://%5B/` is `http://[/` there.
    return _is_http1(scope) and _is_absolute(sent.decode("latin-1")) and _is_absolute(path)


def _is_absolute(target: str) -> bool:
    """Return True if *target* is an HTTP URL. Source: RFC 9112, 3.2.2 "absolute-form"."""
    try:
        parts = urlsplit(target)
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


@final
@attrs.frozen
class Refusal:
    """An ASGI app that answers 400 with a reason.

    Args:
        reason: The reason why the request is not valid.
    """

    reason: str

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        body = self.reason.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        kind = "http" if scope["type"] == "http" else "websocket.http"
        await send({"type": f"{kind}.response.start", "status": 400, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": body, "more_body": False})
