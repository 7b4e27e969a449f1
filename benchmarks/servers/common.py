"""What the Python servers share: the payloads, and what a request asks for."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl

TEXT = "word "
ENDING = {"__actions_done": True}

now_ns = time.monotonic_ns

cancelled: list[tuple[int, int]] = []
"""The streams that were cancelled: their ids, and when."""


def note_cancelled(id: int) -> None:
    cancelled.append((id, now_ns()))


def token(n: int) -> dict[str, Any]:
    return {"n": n, "text": TEXT}


def tick(n: int, due_ns: int) -> dict[str, Any]:
    return {"n": n, "due": due_ns, "sent": now_ns()}


def pause_s(due_ns: int) -> float:
    """How long to sleep until *due_ns*, in seconds; not positive where that has passed."""
    return (due_ns - now_ns()) / 1e9


def numbers(query: bytes | str) -> dict[str, int]:
    """What a query asks for."""
    text = query.decode() if isinstance(query, bytes) else query
    return {name: int(value) for name, value in parse_qsl(text)}
