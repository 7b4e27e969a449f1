"""What is wrong with an input, for its client: words by dotted path, and no more of them than are of use."""

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

MAX_ERRORS = 100
"""Where a report of what is wrong stops: a body of a million wrong values must not cost a million exceptions."""

TOO_MANY = f"More than {MAX_ERRORS} values are invalid"

PART_CHARS = 100
"""How much of one name is told in a path."""

MESSAGE_CHARS = 500
"""How much of one message is told."""

REPORT_BYTES = 14 * 1024
"""Where a report ends, escapes counted: with its punctuation and what is around it, it stays below 16 KiB."""

MORE = "There is more that is invalid"

Path = tuple[str, ...]
"""The names and indices that lead from the input to a value in it."""


class Refused(ValueError):  # noqa: N818 - never leaves this folder
    """A value is not what was declared, in words meant for the client."""


class TooManyErrors(BaseException):  # not an Exception: cattrs collects every one of those
    """The input is beyond repair."""


class TooDeep(BaseException):  # the same
    """The input is nested deeper than Python calls may be."""


@final
class _ErrorCount(threading.local):
    """Counts what goes wrong in one input; structuring is synchronous, so one count serves all of a thread."""

    errors: int = 0

    def one_more(self) -> None:
        self.errors += 1
        if self.errors > MAX_ERRORS:
            raise TooManyErrors


error_count = _ErrorCount()
"""What went wrong so far in the input that is being structured."""


def refused(words: str) -> Refused:
    """Count one more error, and give it to be raised: *words* are what was expected."""
    error_count.one_more()
    return Refused(f"Expected {words}")


# What was expected


EXPECTED: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
    datetime: "a date and time as ISO 8601 has it",
    date: "a date as ISO 8601 has it",
    time: "a time of day as ISO 8601 has it",
    UUID: "a UUID",
    Decimal: "a decimal number as text",
    bytes: "base64",
}


def expected_by(declared: Any) -> str:
    """What a value of type *declared* looks like in JSON."""
    declared = unwrapped(declared)
    if is_union(declared):
        counted = Counter(map(expected_by, typing.get_args(declared)))
        return " or ".join(words if n == 1 else f"one of {n} kinds of {words[3:]}" for words, n in counted.items())
    if is_choice_of_values(declared):
        values = (json.dumps(value, default=str, ensure_ascii=False) for value, _ in members_of(declared))
        return f"one of {', '.join(values)}"
    return "a list" if is_list(declared) else EXPECTED.get(declared, "an object")


# A tree of errors to messages by dotted path


def messages_of(error: BaseException, path: Path, raw: object) -> Iterator[tuple[Path, str]]:
    """Every message in a tree of cattrs' errors, with the path of the value that it is about."""
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
        yield from _told(error, path, _words)


def _told(error: BaseException, path: Path, words_of: Callable[[BaseException], str]) -> Iterator[tuple[Path, str]]:
    if not isinstance(error, InvalidInput):
        yield path, words_of(error)
        return
    for field, messages in error.field_errors.items():
        for message in messages:
            yield path if field == ROOT_FIELD else (*path, field), message


def _member(raw: object, name: str) -> object:
    if isinstance(raw, list):
        return raw[int(name)]
    return raw.get(name) if isinstance(raw, dict) else None


def _constructor_messages(error: BaseException, path: Path) -> Iterator[tuple[Path, str]]:
    """What ``__init__`` refused: by field where attrs' validators did it, else of the object as a whole."""
    found = False
    instance = _instance_under_construction(error)
    if instance is not None:
        # attrs sets every attribute before it validates the first one, and stops at the first that fails.
        for attribute in attrs.fields(type(instance)):
            if attribute.validator is None or not hasattr(instance, attribute.name):
                continue
            try:
                attribute.validator(instance, attribute, getattr(instance, attribute.name))
            except Exception as refusal:
                found = True
                yield from _told(refusal, (*path, attribute.name), _constructor_words)
    if not found:
        yield from _told(error, path, _constructor_words)


def _instance_under_construction(error: BaseException) -> Any:
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name == "__init__":
            instance = traceback.tb_frame.f_locals.get("self")
            if instance is not None and attrs.has(type(instance)):
                return instance
        traceback = traceback.tb_next
    return None


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, Refused) else INVALID


def _constructor_words(error: BaseException) -> str:
    """The words of *error* where it was raised for the client to read.

    A plain ``ValueError`` is how a validator refuses, and its text is meant for whoever gave the value; so are the
    refusals of attrs' own validators. Anything else, a ``JSONDecodeError`` or a ``KeyError``, is some code's accident.
    """
    by_attrs = len(error.args) > 1 and isinstance(error.args[1], attrs.Attribute)
    if by_attrs or (type(error) is ValueError and len(error.args) == 1 and isinstance(error.args[0], str)):
        return str(error.args[0])
    return _words(error)


def by_field(messages: Iterable[tuple[Path, str]]) -> dict[str, list[str]]:
    """Return *messages* as an ``InvalidInput`` takes them, by dotted path.

    Paths and messages hold what the client sent, so each is cut, and the report ends at ``REPORT_BYTES``.
    """
    collected: dict[str, list[str]] = {}
    size = 0
    for path, message in messages:
        field = ".".join(cut(name, PART_CHARS) for name in path) or ROOT_FIELD
        said = cut(message, MESSAGE_CHARS)
        size += len(json.dumps(said)) + (0 if field in collected else len(json.dumps(field)))
        if size > REPORT_BYTES:
            collected.setdefault(ROOT_FIELD, []).append(MORE)
            break
        collected.setdefault(field, []).append(said)
    return collected


def cut(text: str, chars: int) -> str:
    """Return *text*, or its beginning and an ellipsis where it is longer than *chars*."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
