"""What is said of a call when it is made, and what is made of that once for all its inputs."""

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
    """The options of a call; for what they mean see ``open_stream_action``."""

    http: httpx2.AsyncClient | None
    headers: HeadersSource | None
    follow_redirects: bool
    timeout: float | None
    watchdog_s: float | None
    max_event_bytes: int


class AddressOptions(CallOptions, total=False):
    """The same, where it is an address that is called and no reference."""

    method: str


@final
@attrs.frozen
class Prepared(Generic[Chunk]):
    """An action, ready to be called."""

    call: Call
    _structure: Structure
    _max_event_bytes: int

    def reader(self) -> ChunkReader[Chunk]:
        """Give what reads the chunks of one stream."""
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
    """Make ready what can be done before there is an input; what a reference says wins.

    Raises:
        TypeError: *action* is neither a URL nor a reference, or the chunk is of a type that cannot be made of JSON.
    """
    if isinstance(action, StreamActionReference):
        method, chunk = action.method, action.chunk
    url = action.path if isinstance(action, StreamActionReference) else action
    if not isinstance(url, str):
        raise TypeError(
            f"action must be a URL or a StreamActionReference, not {url!r}; a view does not know where it is served: "
            'StreamActionReference("http://127.0.0.1:8000/api/_actions/...", chunk=...) does'
        )
    limits_s = (_or_for_ever(timeout), _or_for_ever(watchdog_s))
    call = Call(url, method.upper(), http, headers, follow_redirects, *limits_s)
    return Prepared(call, structure_of(chunk), max_event_bytes)


def _or_for_ever(limit_s: float | None) -> float:
    return math.inf if limit_s is None else limit_s
