"""Reject requests that a page of another site started.

Source: the Fetch standard, "Origin header", and Fetch Metadata, ``Sec-Fetch-Site``. Browsers set both headers, and a
page cannot forge them. A request with neither header does not come from a browser, or comes from an old browser on a
plain HTTP page. It is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Protocol
from urllib.parse import urlsplit

from ..errors import ActionError

ANY_ORIGIN: Final = "*"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def allowed_origins(origins: Iterable[str]) -> frozenset[str]:
    """Return *origins* in lower case. ``"*"`` allows every origin.

    Raises:
        ValueError: An origin does not have the form of the ``Origin`` header, such as ``"https://example.com"``.
    """
    origins = {origins} if isinstance(origins, str) else set(origins)
    for origin in origins - {ANY_ORIGIN}:
        parts = urlsplit(origin)
        if not parts.scheme or not parts.netloc or parts.path or parts.query:
            raise ValueError(
                f"invalid origin {origin!r}: expected scheme://host[:port], for example https://example.com"
            )
    return frozenset(origin.lower() for origin in origins)


class Headers(Protocol):
    """The headers of a request."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of the header *name*, or None."""

    def getlist(self, name: str, /) -> list[str]:
        """Return all values of the header *name*."""


def refuse_cross_site(method: str, headers: Headers, allowed: Collection[str]) -> None:
    """Raise if a page of another site that is not allowed started the request.

    Args:
        method: A safe method is always allowed: without CORS, the page cannot read the response.
        headers: ``Origin``, ``Sec-Fetch-Site`` and ``Host`` are used.
        allowed: The result of ``allowed_origins``.

    Raises:
        ActionError: ``CROSS_SITE_REQUEST``, 403: the page is of another site and its origin is not allowed.
    """
    if method in SAFE_METHODS or ANY_ORIGIN in allowed:
        return
    origin, fetch_site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    # No browser sends one of them twice. Of two values, the first may have been added to hide the second.
    is_plain = len(headers.getlist("Origin")) < 2 and len(headers.getlist("Sec-Fetch-Site")) < 2
    if is_plain and _is_allowed(origin, fetch_site, headers, allowed):
        return
    raise ActionError("CROSS_SITE_REQUEST", "Requests from another site are not allowed", 403)


def _is_allowed(origin: str | None, fetch_site: str | None, headers: Headers, allowed: Collection[str]) -> bool:
    if (origin or "").lower() in allowed:
        return True
    if fetch_site in ("same-origin", "none"):  # `none`: the user started it, with the address bar or a bookmark
        return True
    return fetch_site is None and (origin is None or _is_at(origin, headers.get("Host") or ""))


def _is_at(origin: str, host: str) -> bool:
    # Compare host and port only: after a proxy that ends TLS, the app does not know its own scheme.
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS.get(parts.scheme)
        ours = urlsplit(f"//{host}")
        same = (parts.hostname, parts.port or default) == (ours.hostname, ours.port or default)
        return same and parts.hostname is not None  # the origin may be `null`, which has no host
    except ValueError:  # an invalid port
        return False
