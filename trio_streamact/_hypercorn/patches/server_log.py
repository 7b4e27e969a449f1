"""hypercorn's own logs: a client writes no line there, and a log that fails ends nothing.

Fault 1: the access log has the path with its escapes decoded, and header fields as they came. A ``%0A`` begins a new
line, with which a client can imitate any other; an escape code reaches the terminal of whoever reads it.

Fault 2: a query that is not UTF-8, which HTTP/2 lets through, fails in the access log. The exception ends the
connection, and with it all other streams.

Fault 3: what a handler or a filter of ``logging`` raises ends the connection too, or the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from hypercorn.logging import AccessLogAtoms, Logger

from .versions import can_repair

_LEVELS = ("critical", "error", "warning", "info", "debug", "exception", "log")


def repair() -> None:
    """Escape what clients write into the access log, and drop what logging raises."""
    if not hasattr(Logger.access, "original") and can_repair("a log that fails", Logger, ("access", *_LEVELS)):
        for name in ("access", *_LEVELS):
            _contain(name)
    if not hasattr(AccessLogAtoms.__init__, "original") and can_repair(
        "the access log", AccessLogAtoms, ("__getitem__",)
    ):
        _escape()


def _contain(name: str) -> None:
    original: Callable[..., Awaitable[None]] = getattr(Logger, name)

    async def contained(self: Any, *arguments: Any, **options: Any) -> None:
        with suppress(Exception):
            await original(self, *arguments, **options)

    contained.original = original  # type: ignore[attr-defined]
    setattr(Logger, name, contained)


def _escape() -> None:
    init: Callable[..., None] = AccessLogAtoms.__init__
    get: Callable[[Any, str], Any] = AccessLogAtoms.__getitem__

    def init_decodable(self: Any, request: Any, *arguments: Any) -> None:
        if not request["query_string"].isascii():
            query = request["query_string"].decode("utf-8", "backslashreplace").encode()
            request = {**request, "query_string": query}
        init(self, request, *arguments)
        self.escapes = True  # not before: some atoms are made of others

    def get_escaped(self: Any, key: str) -> Any:
        value = get(self, key)
        return escaped(value) if isinstance(value, str) and hasattr(self, "escapes") else value

    for name, repaired in {"__init__": init_decodable, "__getitem__": get_escaped}.items():
        repaired.original = getattr(AccessLogAtoms, name)  # type: ignore[attr-defined]
        setattr(AccessLogAtoms, name, repaired)


def escaped(text: str) -> str:
    """Return *text* with escapes in place of what cannot be printed, quotes and backslashes, as nginx does."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\x{ord(character):02x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()
