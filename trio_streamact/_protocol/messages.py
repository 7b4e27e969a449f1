"""Convert events to messages: a chunk, or one of the endings, in either dialect."""

from __future__ import annotations

import sys
from typing import Any, final

import attrs

from ..errors import ActionError
from .decoding import Event, MalformedFrameError
from .encoding import DONE_KEY, ERROR_KEY
from .json import read_json

MAX_FLOAT = sys.float_info.max


@final
@attrs.frozen
class Chunk:
    """The value of one ``send``, as JSON values."""

    data: Any


@final
@attrs.frozen
class Done:
    """The stream is complete."""


def read_frame(event: Event) -> Chunk | Done | ActionError:
    """Return the message in *event*. The event shows its dialect, so the caller does not name one.

    Raises:
        MalformedFrameError: The data is not valid JSON, or the event is a malformed error frame.
    """
    value = read_json(event.data.encode(errors="replace"))
    ending = ending_of(event.type, value)
    return Chunk(value) if ending is None else ending


def ending_of(type_: str, value: Any) -> Done | ActionError | None:
    """Return the ending in an event of type *type_* with the data *value*, or None if the event is a chunk.

    Raises:
        MalformedFrameError: The event is a malformed error frame.
    """
    if type_ == "error":
        return _error_of(value)
    members = value if isinstance(value, dict) else {}
    if ERROR_KEY in members:
        return _error_of(members[ERROR_KEY])
    return Done() if type_ == "done" or DONE_KEY in members else None


def _error_of(members: Any) -> ActionError:
    # Check the type of every member, as the browser client does: programs rely on them.
    members = members if isinstance(members, dict) else {}
    code, message, status = members.get("code"), members.get("message"), members.get("statusCode")
    field_errors, retry_after_s = members.get("fieldErrors"), members.get("retryAfter")
    if (
        isinstance(code, str)
        and isinstance(message, str)
        and _is_number(status)
        and status % 1 == 0
        and 100 <= status <= 599
        and (field_errors is None or _are_field_errors(field_errors))
        and (retry_after_s is None or (_is_number(retry_after_s) and 0 <= retry_after_s <= MAX_FLOAT))
    ):
        return ActionError(code, message, int(status), field_errors, retry_after_s=retry_after_s)
    raise MalformedFrameError("malformed error frame: a member is missing, or its type or value is invalid")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_field_errors(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(messages, list) and all(isinstance(message, str) for message in messages)
        for messages in value.values()
    )
