"""Convert any exception to the `ActionError` that is sent to the client."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .._common.exception_groups import sole_error
from ..errors import ActionError, ErrorFields, ServerErrorHandler


def expected_error(error: BaseException) -> ActionError | None:
    """Return the ``ActionError`` if *error* is meant for the client, else None.

    An ``ActionError`` is returned unchanged. An ``HTTPException`` of werkzeug with a status from 400 to 499 is
    converted, because Quart uses it for errors of the client. For a group that contains only such errors, the first is
    returned.
    """
    if isinstance(error, BaseExceptionGroup):
        members = [expected_error(member) for member in error.exceptions]
        return members[0] if all(members) else None
    if isinstance(error, ActionError):
        return error
    return _from_http(error) if isinstance(error, HTTPException) else None


def to_action_error(
    error: BaseException, handle_server_error: ServerErrorHandler | None, fallback: ActionError
) -> ActionError:
    """Convert *error* to the ``ActionError`` that is sent to the client.

    If ``expected_error`` returns an error, it is returned. Any other exception is passed to *handle_server_error*; for
    a group with a single member, that member is passed. If *handle_server_error* is None, returns None or raises
    another exception than an ``ActionError``, *fallback* is returned.
    """
    if (expected := expected_error(error)) is not None:
        return expected
    sole = sole_error(error)
    if handle_server_error is None or not isinstance(sole, Exception):
        return fallback
    try:
        answer = handle_server_error(sole)
        return fallback if answer is None else _from_fields(answer)
    except ActionError as raised:
        return raised
    except Exception as failure:
        # Add a note, so that both exceptions are logged, and neither is sent to the client.
        error.add_note(f"handle_server_error failed on this: {failure!r}")
        return fallback


def response_in(error: BaseException) -> HTTPException | None:
    """Return the ``HTTPException`` with a response of its own, for example of ``abort(redirect(...))``, or None."""
    sole = sole_error(error)
    return sole if isinstance(sole, HTTPException) and sole.response is not None else None


def _from_http(error: HTTPException) -> ActionError | None:
    status = error.code or getattr(error.response, "status_code", None)
    if not isinstance(status, int) or not 400 <= status < 500:
        return None
    name = HTTP_STATUS_CODES.get(status, "HTTP error")
    code = re.sub(r"[^A-Z0-9]+", "_", name.replace("'", "").upper()).strip("_")
    message = error.description if isinstance(error.description, str) else name
    return ActionError(code, message, status, retry_after_s=_seconds_until(getattr(error, "retry_after", None)))


def _seconds_until(retry_after: object) -> float | None:
    """Return werkzeug's value for ``Retry-After``, which may be a number or a ``datetime``, in seconds from now."""
    if isinstance(retry_after, datetime):
        moment = retry_after if retry_after.tzinfo else retry_after.replace(tzinfo=UTC)
        return max(0, math.ceil((moment - datetime.now(UTC)).total_seconds()))
    return retry_after if isinstance(retry_after, int | float) and not isinstance(retry_after, bool) else None


def _from_fields(error: ActionError | ErrorFields) -> ActionError:
    if isinstance(error, ActionError):
        return error
    return ActionError(error["code"], error["message"], error.get("status_code", 500))
