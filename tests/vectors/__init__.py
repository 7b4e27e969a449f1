"""Byte streams and the events in them, as JSON, for the decoders of Python and of JavaScript alike.

Each has a ``name``, its bytes as ``text`` (to be encoded as UTF-8) or as ``base64``, and the ``events`` that a reader
dispatches; ``retry_ms`` is the reconnection time that it ends with, where the stream asks for one.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import attrs

from trio_streamact.decoder import Event


@attrs.frozen
class Vector:
    """One stream and what is in it."""

    name: str
    data: bytes
    events: list[Event]
    retry_ms: int | None


def event_streams() -> list[Vector]:
    """Read all of ``event-streams.json``."""
    text = (Path(__file__).parent / "event-streams.json").read_text()
    return [_vector(**members) for members in json.loads(text)]


def _vector(
    name: str, events: list[dict[str, Any]], text: str = "", base64: str = "", retry_ms: int | None = None
) -> Vector:
    data = text.encode() or _bytes_of(base64)
    return Vector(name, data, [Event(**event) for event in events], retry_ms)


def _bytes_of(encoded: str) -> bytes:
    return base64.b64decode(encoded, validate=True)
