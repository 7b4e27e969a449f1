"""The errors of a stream: those that are sent to its client, and those that its handler meets."""

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
"""Messages by the dotted path of the input field."""

RETRY_AFTER_S = 5
"""The time after which a client may retry if too many streams were open, in seconds."""

ROOT_FIELD = "_root"
"""The key of messages about the whole input, as in nuxt-actions."""


class ActionError(Exception):
    """An error that is sent to the client unchanged.

    Raise it in a guard, a middleware or a handler. It is sent as the last frame of the stream.

    Args:
        code: The error, for programs: ``"UNAUTHORIZED"``.
        message: The error, for people.
        status_code: The HTTP status that describes the error. It is a member of the error frame; the response itself
            has the status 200.
        field_errors: Messages by the dotted path of the input field; ``"_root"`` is the whole input.
        retry_after_s: The time after which the client may retry, in seconds. It is sent as ``retryAfter``.

    Raises:
        TypeError: An argument has a type that clients do not accept in an error frame.
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
            raise TypeError(f"code and message of an ActionError must be strings, not {code!r} and {message!r}")
        if not isinstance(status_code, int) or isinstance(status_code, bool):
            raise TypeError(f"status_code of an ActionError must be an integer, not {status_code!r}")
        self.code = code
        self.message = message
        self.status_code = status_code
        self.field_errors: dict[str, list[str]] = _copy_of(field_errors)
        self.retry_after_s = retry_after_s
        # Pass our copy: the argument may contain iterators, which are now exhausted and which pickle rejects.
        super().__init__(code, message, status_code, self.field_errors)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let ``copy`` and ``pickle`` create a copy from the fields, without calling ``__init__``."""
        # BaseException.__reduce__ calls the class with `args`, but InvalidInput has other parameters.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]  # not in typeshed

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """Return the members of the error frame. Their names are those of nuxt-actions."""
        members: dict[str, Any] = {"code": self.code, "message": self.message, "statusCode": self.status_code}
        if self.field_errors:
            members["fieldErrors"] = self.field_errors
        if self.retry_after_s is not None:
            members["retryAfter"] = self.retry_after_s
        return members


@final
class InvalidInput(ActionError):  # noqa: N818 - `raise InvalidInput(...)` is clear without "Error"
    """The input is not valid. The client receives ``VALIDATION_ERROR``, 422.

    Args:
        field_errors: Messages by dotted path (``"user.email"``, ``"items.0"``), or one message about the whole input.
    """

    def __init__(self, field_errors: FieldErrors | str) -> None:
        if isinstance(field_errors, str):
            field_errors = {ROOT_FIELD: [field_errors]}
        super().__init__("VALIDATION_ERROR", "Input validation failed", 422, field_errors)


@final
class RejectedError(ActionError):
    """The stream does not open, and the reason is not the input. The outcome in its report is ``rejected``."""


@final
@attrs.frozen
class OversizedChunkError(ValueError):
    """An encoded chunk is larger than ``Limits.chunk_bytes``.

    Attributes:
        size_bytes: The size of the encoded chunk.
        limit_bytes: The limit.
    """

    size_bytes: int
    limit_bytes: int

    def __str__(self) -> str:
        return f"chunk of {self.size_bytes} bytes exceeds the limit of {self.limit_bytes} bytes"


class ErrorFields(TypedDict):
    """The fields of an error, which ``handle_server_error`` may return instead of an ``ActionError``.

    The default of ``status_code`` is 500.
    """

    code: str
    message: str
    status_code: NotRequired[int]


ServerErrorHandler = Callable[[Exception], ActionError | ErrorFields | None]
"""Converts an unexpected exception to the error that is sent to the client. It may also raise an ``ActionError``.

If it returns None or raises another exception, a generic message is sent."""


def parse_error(message: str) -> ActionError:
    """Return the error for a request that cannot be parsed."""
    return ActionError("PARSE_ERROR", message, 400)


def internal_error() -> ActionError:
    """Return the generic error for a failure before the stream opens."""
    return ActionError("INTERNAL_ERROR", "An unexpected error occurred", 500)


def stream_error() -> ActionError:
    """Return the generic error for a handler that failed."""
    return ActionError("STREAM_ERROR", "Stream handler error", 500)


def timeout_error() -> ActionError:
    """Return the error for a handler that exceeded ``Limits.lifetime_s``."""
    return ActionError("TIMEOUT_ERROR", "The stream exceeded its time limit", 408)


def shutdown_error() -> ActionError:
    """Return the error for a stream that a shutdown ends. The client may reconnect."""
    return ActionError("SERVER_SHUTDOWN", "The server is shutting down", 503)


def http_version_error() -> RejectedError:
    """Return the error for a client that uses HTTP/3: there, hypercorn does not report a client that has left."""
    message = "Streams are not served over HTTP/3; use HTTP/2 or HTTP/1.1"
    return RejectedError("HTTP_VERSION_NOT_SUPPORTED", message, 505)


def too_many_streams() -> RejectedError:
    """Return the error for a stream above ``Limits.streams`` or ``Limits.streams_per_client``. The client may retry."""
    return RejectedError("TOO_MANY_STREAMS", "Too many streams are open", 503, retry_after_s=RETRY_AFTER_S)


def _copy_of(field_errors: FieldErrors | None) -> dict[str, list[str]]:
    copy: dict[str, list[str]] = {}
    for path, messages in (field_errors or {}).items():
        # A string is an iterable of characters, but here it is one message.
        copy[str(path)] = [messages] if isinstance(messages, str) else [str(message) for message in messages]
    return copy
