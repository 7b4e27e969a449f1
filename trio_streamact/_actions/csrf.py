"""Whether a request was started by another site's page.

Source: the Fetch standard, "Origin header", and Fetch Metadata (``Sec-Fetch-Site``); both are set by browsers alone,
and no page can forge them. Who sends neither is no browser, or an old one on a page of plain HTTP, and is let through.
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
    """Check the *origins* of an app: ``"*"`` for any, or origins as browsers write them, ``"https://example.com"``.

    Raises:
        ValueError: One of them is no origin.
    """
    origins = {origins} if isinstance(origins, str) else set(origins)
    for origin in origins - {ANY_ORIGIN}:
        parts = urlsplit(origin)
        if not parts.scheme or not parts.netloc or parts.path or parts.query:
            raise ValueError(f"{origin!r} is no origin: write it as browsers do, like https://example.com")
    return frozenset(origin.lower() for origin in origins)


class Headers(Protocol):
    """The headers of a request, by their names."""

    def get(self, name: str, /) -> str | None:
        """Give the header's value, or None."""


def refuse_cross_site(method: str, headers: Headers, allowed: Collection[str]) -> None:
    """Let a request pass if its own site's page started it, an allowed one, or no page at all.

    Args:
        method: A safe one passes: a page may read nothing of what it did not get by CORS.
        headers: Of which ``Origin``, ``Sec-Fetch-Site`` and ``Host`` count.
        allowed: What ``allowed_origins`` gave.

    Raises:
        ActionError: ``CROSS_SITE_REQUEST``, 403.
    """
    if method in SAFE_METHODS or ANY_ORIGIN in allowed:
        return
    origin, fetch_site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if (origin or "").lower() in allowed:
        return
    if fetch_site in ("same-origin", "none"):  # `none` is the user, by the address bar or a bookmark
        return
    if fetch_site is None and (origin is None or _is_at(origin, headers.get("Host") or "")):
        return
    raise ActionError("CROSS_SITE_REQUEST", "Another site's page may not do this", 403)


def _is_at(origin: str, host: str) -> bool:
    # By host and port alone: behind a proxy that speaks TLS, the app does not know its own scheme.
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS.get(parts.scheme)
        ours = urlsplit(f"//{host}")
        same = (parts.hostname, parts.port or default) == (ours.hostname, ours.port or default)
        return same and parts.hostname is not None  # `null` is an origin, and no host
    except ValueError:  # a port that is none
        return False
