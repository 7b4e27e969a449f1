"""Events back to what the server meant by them: a chunk, or one of the endings, in either dialect."""

from __future__ import annotations

import json
from typing import Any, final

import attrs

from .decoder import Event
from .errors import ActionError
from .wire import DONE_KEY, ERROR_KEY


@final
@attrs.frozen
class Chunk:
    """What one ``send`` sent, as JSON values."""

    data: Any


@final
@attrs.frozen
class Done:
    """The stream is complete."""


@final
class MalformedFrameError(ValueError):
    """An event is none that a stream action sends."""


def read_frame(event: Event) -> Chunk | Done | ActionError:
    """Say what *event* means. The dialect is the event's own matter: a reader needs not know it beforehand.

    Raises:
        MalformedFrameError: Its data is no JSON, or its error no error.
    """
    try:
        data = json.loads(event.data)  # not orjson, which makes inexact floats of integers beyond 64 bits
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("the data of an event is no JSON") from error
    members = data if isinstance(data, dict) else {}
    if event.type == "error":
        return _error_of(data)
    if ERROR_KEY in members:
        return _error_of(members[ERROR_KEY])
    if event.type == "done" or DONE_KEY in members:
        return Done()
    return Chunk(data)


def _error_of(members: Any) -> ActionError:
    try:
        return ActionError(
            members["code"],
            members["message"],
            members["statusCode"],
            members.get("fieldErrors"),
            retry_after_s=members.get("retryAfter"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedFrameError("the error of an event is none") from error
