"""Requests that no app is asked for: those whose target is not a path and a query, and those for no host.

Fault: hypercorn passes on any target that h11 or h2 takes, such as ``?`` or ``http://[``, over HTTP/2 a query of any
bytes, and any ``Host``. Quart and Werkzeug raise at some of them outside of any handler of errors, and each is logged
as a failure of the app, with a traceback.
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
"""What is too long for a label of a host name. Source: RFC 1035, 2.3.4."""


def fault_of(scope: Scope) -> str | None:
    """Return why the request of *scope* is refused, or None if an app may have it."""
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
    """Return True if Werkzeug can make a name of *value*. Source: RFC 9112, 3.2, has a server answer 400 otherwise."""
    if value.isascii() and len(value) < LABEL_BYTES and value[:1] != b"." and b".." not in value:
        return True  # of nearly all requests
    try:
        value.decode("latin-1").encode("idna")
    except UnicodeError:
        return False
    return True


def _has_path(scope: Scope) -> bool:
    path: str = scope["path"]
    sent: bytes = scope.get("raw_path") or path.encode()  # ASGI leaves it to the server whether there is one
    if path[:1] == "/" and sent[:1] == b"/":
        return True
    if sent == b"*":
        return scope.get("method") == "OPTIONS"
    # Quart parses the path, in which the escapes are decoded already: `http://%5B/` is `http://[/` there.
    return _is_http1(scope) and _is_absolute(sent.decode("latin-1")) and _is_absolute(path)


def _is_absolute(target: str) -> bool:
    """Return True if *target* is a URL of HTTP. Source: RFC 9112, 3.2.2 "absolute-form"."""
    try:
        parts = urlsplit(target)
        _ = parts.port  # raises where it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


@final
@attrs.frozen
class Refusal:
    """An app that answers 400, and gives the reason.

    Args:
        reason: What is wrong with the request.
    """

    reason: str

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        body = self.reason.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        kind = "http" if scope["type"] == "http" else "websocket.http"
        await send({"type": f"{kind}.response.start", "status": 400, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": body, "more_body": False})
