"""Convert validation errors to messages for the client: by dotted path, in limited number and length."""

from __future__ import annotations

import json
import threading
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, final
from uuid import UUID

import attrs
import cattrs

from ..errors import ROOT_FIELD, InvalidInput
from .declared import is_choice_of_values, is_list, is_union, members_of, unwrapped

INVALID = "Invalid value"
REQUIRED = "Field required"
TOO_DEEP = "Nested too deeply"
TOO_LARGE = "Invalid input, too large for a list of its errors"

MAX_ERRORS = 100
"""Validation stops after this many errors: a body with a million invalid values must not cost a million exceptions."""

TOO_MANY = f"More than {MAX_ERRORS} values are invalid"

PART_CHARS = 100
"""The longest part of a path in a report, in characters. Longer parts are cut."""

MESSAGE_CHARS = 500
"""The longest message in a report, in characters. Longer messages are cut."""

REPORT_BYTES = 14 * 1024
"""The largest report, in bytes of JSON strings with their escapes. The whole error frame stays below 16 KiB."""

MORE = "More values are invalid"

Path = tuple[str, ...]
"""The names and indices that lead from the input to a value in it."""


class InvalidValue(ValueError):  # noqa: N818 - not raised outside this folder
    """A value is not of the declared type. The message is meant for the client."""


class TooManyErrors(BaseException):  # not an Exception: cattrs catches and collects every Exception
    """The input has more than ``MAX_ERRORS`` errors."""


class TooDeep(BaseException):  # not an Exception, for the same reason
    """The input is nested deeper than Python's recursion limit allows."""


@final
class _ErrorCount(threading.local):
    """Counts the errors in one input. Structuring is synchronous, so one counter per thread is enough."""

    errors: int = 0

    def add_one(self) -> None:
        self.errors += 1
        if self.errors > MAX_ERRORS:
            raise TooManyErrors


error_count = _ErrorCount()
"""The number of errors so far in the input that is being structured."""


def invalid_value(expected: str) -> InvalidValue:
    """Count an error and return the exception to raise; *expected* describes a valid value.

    Raises:
        TooManyErrors: The input already has ``MAX_ERRORS`` errors.
    """
    error_count.add_one()
    return InvalidValue(f"Expected {expected}")


EXPECTED: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
    datetime: "an ISO 8601 date and time",
    date: "an ISO 8601 date",
    time: "an ISO 8601 time of day",
    UUID: "a UUID",
    Decimal: "a decimal number as text",
    bytes: "base64",
}
"""The descriptions of types in messages, after "Expected"."""


def expected_by(declared: Any) -> str:
    """Return a description of the JSON values that *declared* accepts, such as "a list"."""
    declared = unwrapped(declared)
    if is_union(declared):
        counted = Counter(map(expected_by, typing.get_args(declared)))
        return " or ".join(words if n == 1 else f"one of {n} kinds of {words[3:]}" for words, n in counted.items())
    if is_choice_of_values(declared):
        values = (json.dumps(value, default=str, ensure_ascii=False) for value, _ in members_of(declared))
        return f"one of {', '.join(values)}"
    return "a list" if is_list(declared) else EXPECTED.get(declared, "an object")


def messages_of(error: BaseException, path: Path, raw: object) -> Iterator[tuple[Path, str]]:
    """Yield every message in *error*, a tree of cattrs' errors, with the path of the value it is about.

    Args:
        error: What structuring *raw* raised.
        path: The path of *raw*.
        raw: The JSON value.
    """
    if isinstance(error, cattrs.ClassValidationError | cattrs.IterableValidationError):
        noted, bare = error.group_exceptions()
        for inner, note in noted:
            name = str(note.name if isinstance(note, cattrs.AttributeValidationNote) else note.index)
            missing = isinstance(inner, KeyError) and isinstance(raw, dict) and name not in raw
            if missing:
                yield (*path, name), REQUIRED
            else:
                yield from messages_of(inner, (*path, name), _member(raw, name))
        for inner in bare:
            yield from _constructor_messages(inner, path)
    else:
        yield from _describe(error, path, _message)


def _describe(
    error: BaseException, path: Path, message_of: Callable[[BaseException], str]
) -> Iterator[tuple[Path, str]]:
    if not isinstance(error, InvalidInput):
        yield path, message_of(error)
        return
    for field, messages in error.field_errors.items():
        for message in messages:
            yield path if field == ROOT_FIELD else (*path, field), message


def _member(raw: object, name: str) -> object:
    if isinstance(raw, list):
        return raw[int(name)]
    return raw.get(name) if isinstance(raw, dict) else None


def _constructor_messages(error: BaseException, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the messages of *error*, which ``__init__`` raised: by field if attrs' validators raised it, else one
    message about the whole object."""
    found = False
    instance = _instance_under_construction(error)
    if instance is not None:
        # attrs sets all attributes, then validates in order, and stops at the first error. So the attributes are
        # there, and running all validators again finds the errors of the other fields.
        for attribute in attrs.fields(type(instance)):
            if attribute.validator is None or not hasattr(instance, attribute.name):
                continue
            try:
                attribute.validator(instance, attribute, getattr(instance, attribute.name))
            except Exception as invalid:
                found = True
                yield from _describe(invalid, (*path, attribute.name), _constructor_message)
    if not found:
        yield from _describe(error, path, _constructor_message)


def _instance_under_construction(error: BaseException) -> Any:
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name == "__init__":
            instance = traceback.tb_frame.f_locals.get("self")
            if instance is not None and attrs.has(type(instance)):
                return instance
        traceback = traceback.tb_next
    return None


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, InvalidValue) else INVALID


def _constructor_message(error: BaseException) -> str:
    """Return the text of *error* if it is meant for the client, else a generic message.

    A validator reports an invalid value by a plain ``ValueError``, with a text for the client; so do attrs' own
    validators. Any other exception, such as ``JSONDecodeError`` or ``KeyError``, is a fault in the author's code, and
    its text may hold private data.
    """
    by_attrs = len(error.args) > 1 and isinstance(error.args[1], attrs.Attribute)
    if by_attrs or (type(error) is ValueError and len(error.args) == 1 and isinstance(error.args[0], str)):
        return str(error.args[0])
    return _message(error)


def by_field(messages: Iterable[tuple[Path, str]]) -> dict[str, list[str]]:
    """Return *messages* by dotted path, as the ``field_errors`` of an ``InvalidInput``.

    Paths and messages contain text from the client, so each is cut, and the report ends at ``REPORT_BYTES``.
    """
    collected: dict[str, list[str]] = {}
    size = 0
    for path, message in messages:
        field = ".".join(cut(name, PART_CHARS) for name in path) or ROOT_FIELD
        text = cut(message, MESSAGE_CHARS)
        size += len(json.dumps(text)) + (0 if field in collected else len(json.dumps(field)))
        if size > REPORT_BYTES:
            collected.setdefault(ROOT_FIELD, []).append(MORE)
            break
        collected.setdefault(field, []).append(text)
    return collected


def cut(text: str, chars: int) -> str:
    """Return *text*; if it is longer than *chars* characters, return its beginning and an ellipsis."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
