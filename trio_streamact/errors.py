"""What a stream can fail with."""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NotRequired, TypedDict, final

import attrs

from ._common.versions import UnrepairedWarning

__all__ = [
    "ActionError",
    "ErrorFields",
    "FieldErrors",
    "InvalidInput",
    "OversizedChunkError",
    "ServerErrorHandler",
    "UnrepairedWarning",
]

FieldErrors = Mapping[str, Iterable[str]]
"""Messages by the dotted path of the input field that they are about."""

RETRY_AFTER_S = 5
"""When a client that found no room may come back, in seconds."""

ROOT_FIELD = "_root"
"""The key of a message that belongs to the input as a whole (the model's name for it)."""


class ActionError(Exception):
    """An error that its author means the client to read, word for word.

    Raise it in middleware or in a handler; the client gets it as the stream's last frame.

    Args:
        code: What went wrong, for programs: ``"UNAUTHORIZED"``.
        message: The same for people.
        status_code: The HTTP status that says it best. It travels inside the error frame; the response is a 200.
        field_errors: Messages by the dotted path of the input field they are about; ``"_root"`` is the whole input.
        retry_after_s: Seconds after which it may be worth to try again; the client reads ``retryAfter``.

    Raises:
        TypeError: An argument is of a type that the model's client would not take for an error.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status_code: int = 400,
        field_errors: FieldErrors | None = None,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        if not (isinstance(code, str) and isinstance(message, str)):
            raise TypeError("code and message of an ActionError are strings")
        if not isinstance(status_code, int) or isinstance(status_code, bool):
            raise TypeError("status_code of an ActionError is an integer")
        self.code = code
        self.message = message
        self.status_code = status_code
        self.field_errors: dict[str, list[str]] = _copy_of(field_errors)
        self.retry_after_s = retry_after_s
        # Our copy: what was given may be an iterator, which is used up by now and which pickle would refuse.
        super().__init__(code, message, status_code, self.field_errors)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let ``copy`` and ``pickle`` make it anew out of its fields, whatever the ``__init__`` of its class takes."""
        # An exception's own way calls the class with `args`, which are not what InvalidInput is called with.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]  # not in typeshed

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """The error as it stands in an error frame, in the member names of the model."""
        members: dict[str, Any] = {"code": self.code, "message": self.message, "statusCode": self.status_code}
        if self.field_errors:
            members["fieldErrors"] = self.field_errors
        if self.retry_after_s is not None:
            members["retryAfter"] = self.retry_after_s
        return members


@final
class InvalidInput(ActionError):  # noqa: N818 - reads as what it says: `raise InvalidInput(...)`
    """The input is not what the action takes; the client reads ``VALIDATION_ERROR``, 422.

    Args:
        field_errors: Messages by dotted path (``"user.email"``, ``"items.0"``), or one message about the whole input.
    """

    def __init__(self, field_errors: FieldErrors | str) -> None:
        if isinstance(field_errors, str):
            field_errors = {ROOT_FIELD: [field_errors]}
        super().__init__("VALIDATION_ERROR", "Input validation failed", 422, field_errors)


@final
class RejectedError(ActionError):
    """The stream is not opened, whatever the input; the report calls that ``rejected``."""


@final
@attrs.frozen
class OversizedChunkError(ValueError):
    """A chunk, once encoded, is larger than we agreed to hold in memory."""

    size_bytes: int
    limit_bytes: int

    def __str__(self) -> str:
        return f"chunk of {self.size_bytes} bytes; the limit is {self.limit_bytes}"


class ErrorFields(TypedDict):
    """What ``handle_server_error`` may return in place of an ``ActionError``; the status is 500 if it is left out."""

    code: str
    message: str
    status_code: NotRequired[int]


ServerErrorHandler = Callable[[Exception], ActionError | ErrorFields | None]
"""Converts an exception that is not meant for the client to what the client receives; it may raise an ``ActionError``.

None, or another exception, is the generic message."""


def parse_error(message: str) -> ActionError:
    """The request could not be read at all."""
    return ActionError("PARSE_ERROR", message, 400)


def internal_error() -> ActionError:
    """Something failed before the stream opened; says nothing of what."""
    return ActionError("INTERNAL_ERROR", "An unexpected error occurred", 500)


def stream_error() -> ActionError:
    """The handler failed; says nothing of how."""
    return ActionError("STREAM_ERROR", "Stream handler error", 500)


def timeout_error() -> ActionError:
    """The action's lifetime is over."""
    return ActionError("TIMEOUT_ERROR", "The stream exceeded its time limit", 408)


def shutdown_error() -> ActionError:
    """The server is stopping; the client may come back."""
    return ActionError("SERVER_SHUTDOWN", "The server is shutting down", 503)


def http_version_error() -> RejectedError:
    """The client speaks a version of HTTP over which streams cannot be kept in hand."""
    message = "Streams are not served over HTTP/3; use HTTP/2 or HTTP/1.1"
    return RejectedError("HTTP_VERSION_NOT_SUPPORTED", message, 505)


def too_many_streams() -> RejectedError:
    """There is no room; there may be soon."""
    return RejectedError("TOO_MANY_STREAMS", "Too many streams are open", 503, retry_after_s=RETRY_AFTER_S)


def _copy_of(field_errors: FieldErrors | None) -> dict[str, list[str]]:
    copy: dict[str, list[str]] = {}
    for path, messages in (field_errors or {}).items():
        # A bare string is an iterable of characters, which nobody ever means.
        copy[str(path)] = [messages] if isinstance(messages, str) else [str(message) for message in messages]
    return copy
