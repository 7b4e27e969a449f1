"""The options of a call, and their preparation, which is done once for all inputs."""

from __future__ import annotations

import math
from typing import Any, Generic, TypedDict, TypeVar, final

import attrs
import httpx2

from .._codegen import StreamActionReference
from .._protocol.decoding import EventDecoder
from .chunks import ChunkReader, Structure, structure_of
from .connection import Call, HeadersSource

Chunk = TypeVar("Chunk")

MAX_EVENT_BYTES = EventDecoder().max_event_bytes


class CallOptions(TypedDict, total=False):
    """The options of a call; see ``open_stream_action`` for their meaning."""

    http: httpx2.AsyncClient | None
    headers: HeadersSource | None
    follow_redirects: bool
    timeout: float | None
    watchdog_s: float | None
    max_event_bytes: int


class AddressOptions(CallOptions, total=False):
    """The options of a call to a URL. A reference already contains its method."""

    method: str


@final
@attrs.frozen
class Prepared(Generic[Chunk]):
    """The parameters of a call that are prepared before there is an input."""

    call: Call
    _structure: Structure
    _max_event_bytes: int

    def reader(self) -> ChunkReader[Chunk]:
        """Return a reader for the chunks of one stream."""
        return ChunkReader(self._structure, EventDecoder(self._max_event_bytes))


def prepared(
    action: str | StreamActionReference[Any, Any],
    *,
    http: httpx2.AsyncClient | None = None,
    method: str = "POST",
    headers: HeadersSource | None = None,
    follow_redirects: bool = False,
    timeout: float | None = None,
    watchdog_s: float | None = None,
    max_event_bytes: int = MAX_EVENT_BYTES,
    chunk: Any = Any,
) -> Prepared[Any]:
    """Prepare a call. If *action* is a reference, its method and chunk type replace *method* and *chunk*.

    Raises:
        TypeError: *action* is neither a URL nor a reference, or *chunk* cannot be structured from JSON.
    """
    if isinstance(action, StreamActionReference):
        method, chunk = action.method, action.chunk
    url = action.path if isinstance(action, StreamActionReference) else action
    if not isinstance(url, str):
        raise TypeError(
            f"action must be a URL or a StreamActionReference, not {url!r}; a view has no URL: use "
            'StreamActionReference("http://127.0.0.1:8000/api/_actions/...", chunk=...)'
        )
    limits_s = (_or_infinite(timeout), _or_infinite(watchdog_s))
    call = Call(url, method.upper(), http, headers, follow_redirects, *limits_s)
    return Prepared(call, structure_of(chunk), max_event_bytes)


def _or_infinite(limit_s: float | None) -> float:
    return math.inf if limit_s is None else limit_s
