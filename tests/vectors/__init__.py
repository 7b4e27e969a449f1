"""Byte streams and what is in them, as JSON, for Python and JavaScript alike.

``event-streams.json``, for the decoders: each has a ``name``, its bytes as ``text`` (to be encoded as UTF-8) or as
``base64``, and the ``events`` that a reader dispatches; ``retry_ms`` is the reconnection time that it ends with, where
the stream asks for one.

``runs.json``, for the clients: the bytes of a response in the same way, and what a client holds once it has read them,
however they were cut: its ``chunks``, its ``status``, and its ``error`` in the member names of an error frame. There is
no ``message`` in it where the client may choose its words. ``max_event_bytes`` is the client's bound on one event,
where it is not the default.

``responses.json``, for the clients: the bytes of a response with its head as ``text``, in ISO 8859-1, and the ``error``
that a run ends with, in the member names of an error frame, or null where it is done.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import attrs

from trio_streamact._protocol.decoding import Event


@attrs.frozen
class Vector:
    """One stream and what is in it."""

    name: str
    data: bytes
    events: list[Event]
    retry_ms: int | None


@attrs.frozen
class Run:
    """The body of one response, and what a client makes of it."""

    name: str
    data: bytes
    chunks: list[Any]
    status: str
    error: dict[str, Any] | None
    max_event_bytes: int | None


@attrs.frozen
class RawResponse:
    """One response with its head, and what a run ends with."""

    name: str
    data: bytes
    error: dict[str, Any] | None


def event_streams() -> list[Vector]:
    """Read all of ``event-streams.json``."""
    return [_vector(**members) for members in _read("event-streams.json")]


def runs() -> list[Run]:
    """Read all of ``runs.json``."""
    return [_run(**members) for members in _read("runs.json")]


def responses() -> list[RawResponse]:
    """Read all of ``responses.json``."""
    return [
        RawResponse(members["name"], members["text"].encode("latin-1"), members["error"])
        for members in _read("responses.json")
    ]


def _read(name: str) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = json.loads((Path(__file__).parent / name).read_text())
    return members


def _vector(
    name: str, events: list[dict[str, Any]], text: str = "", base64: str = "", retry_ms: int | None = None
) -> Vector:
    return Vector(name, _bytes_of(text, base64), [Event(**event) for event in events], retry_ms)


def _run(name: str, text: str = "", base64: str = "", max_event_bytes: int | None = None, **expected: Any) -> Run:
    return Run(name, _bytes_of(text, base64), max_event_bytes=max_event_bytes, **expected)


def _bytes_of(text: str, encoded: str) -> bytes:
    return text.encode() or base64.b64decode(encoded, validate=True)
