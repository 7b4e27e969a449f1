"""What a client may read of an error, and how any exception becomes one that it may."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest

from trio_streamact._common.exception_groups import sole_error
from trio_streamact._stream.error_mapping import expected_error, to_action_error
from trio_streamact.errors import (
    ROOT_FIELD,
    ActionError,
    ErrorFields,
    InvalidInput,
    internal_error,
    parse_error,
    shutdown_error,
    stream_error,
    timeout_error,
)

FALLBACK = stream_error()


def test_an_action_error_says_what_its_author_said() -> None:
    error = ActionError("NOT_FOUND", "No such chat", 404, {"chat": ["unknown"]})

    assert (error.code, error.message, error.status_code) == ("NOT_FOUND", "No such chat", 404)
    assert str(error) == "NOT_FOUND: No such chat"
    assert error.as_json() == {
        "code": "NOT_FOUND",
        "message": "No such chat",
        "statusCode": 404,
        "fieldErrors": {"chat": ["unknown"]},
    }


def test_an_action_error_is_a_400_without_field_errors_unless_it_says_more() -> None:
    assert ActionError("A", "b").as_json() == {"code": "A", "message": "b", "statusCode": 400}
    assert ActionError("A", "b", field_errors={}).as_json() == {"code": "A", "message": "b", "statusCode": 400}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, "message"), "code and message"),
        (("CODE", None), "code and message"),
        ((b"CODE", "message"), "code and message"),
        (("CODE", "message", "404"), "status_code"),
        (("CODE", "message", 404.0), "status_code"),
        (("CODE", "message", True), "status_code"),
        (("CODE", "message", None), "status_code"),
    ],
)
def test_an_action_error_that_no_client_would_understand_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        ActionError(*arguments)


def test_field_errors_are_copied_and_a_bare_text_is_one_message() -> None:
    messages = ["too long"]
    given: dict[Any, Any] = {"prompt": messages, "user.email": "missing", 3: ("a", "b"), "one": iter([ValueError("x")])}
    error = ActionError("A", "b", field_errors=given)
    messages.append("and more")
    given.clear()

    assert error.field_errors == {
        "prompt": ["too long"],
        "user.email": ["missing"],
        "3": ["a", "b"],
        "one": ["x"],
    }


def test_invalid_input_is_a_validation_error_by_field() -> None:
    assert InvalidInput({"items.0": ["Field required"]}).as_json() == {
        "code": "VALIDATION_ERROR",
        "message": "Input validation failed",
        "statusCode": 422,
        "fieldErrors": {"items.0": ["Field required"]},
    }


def test_invalid_input_of_one_text_is_about_the_whole_input() -> None:
    assert InvalidInput("Nothing fits").field_errors == {ROOT_FIELD: ["Nothing fits"]}


class NoCreditError(ActionError):
    """An app's own, with an ``__init__`` of its own."""

    def __init__(self, *, missing: int) -> None:
        super().__init__("NO_CREDIT", f"{missing} more are needed", 402)
        self.missing = missing


def pickled(error: ActionError) -> ActionError:
    made: ActionError = pickle.loads(pickle.dumps(error))
    return made


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize(
    "error",
    [
        ActionError("A", "b"),
        ActionError("A", "b", 503, {"prompt": ["too long"]}, retry_after_s=2.5),
        ActionError("A", "b", field_errors={"prompt": (word for word in ("too", "long"))}),
        InvalidInput({"items.0": ["Field required"]}),
        InvalidInput("Nothing fits"),
        NoCreditError(missing=3),
    ],
    ids=repr,
)
def test_an_action_error_can_be_copied_and_pickled(
    error: ActionError, again: Callable[[ActionError], ActionError]
) -> None:
    made = again(error)

    assert made is not error
    assert type(made) is type(error)
    assert (vars(made), made.args, str(made)) == (vars(error), error.args, str(error))


@pytest.mark.parametrize(
    ("error", "code", "status_code"),
    [
        (parse_error("Invalid JSON"), "PARSE_ERROR", 400),
        (internal_error(), "INTERNAL_ERROR", 500),
        (stream_error(), "STREAM_ERROR", 500),
        (timeout_error(), "TIMEOUT_ERROR", 408),
        (shutdown_error(), "SERVER_SHUTDOWN", 503),
    ],
)
def test_our_own_errors_have_the_codes_that_clients_know(error: ActionError, code: str, status_code: int) -> None:
    assert (error.code, error.status_code) == (code, status_code)


def nested(error: BaseException, levels: int) -> BaseException:
    for _ in range(levels):
        error = BaseExceptionGroup("a nursery", [error])
    return error


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_an_action_error_alone_in_its_groups_is_told_as_it_is(levels: int) -> None:
    error = ActionError("A", "b")

    assert sole_error(nested(error, levels)) is error
    assert to_action_error(nested(error, levels), None, FALLBACK) is error
    assert expected_error(nested(error, levels)) is error


def test_an_action_error_is_not_shown_to_handle_server_error() -> None:
    error = ActionError("A", "b")

    def handle(_: Exception) -> ActionError:
        raise AssertionError

    assert to_action_error(error, handle, FALLBACK) is error


def test_a_group_of_several_is_told_in_the_words_of_the_fallback() -> None:
    group = nested(ExceptionGroup("a nursery", [ActionError("A", "b"), ValueError("secret")]), 2)

    assert to_action_error(group, None, FALLBACK) is FALLBACK
    assert expected_error(group) is None


def test_any_other_exception_is_told_in_the_words_of_the_fallback() -> None:
    assert to_action_error(ValueError("secret"), None, FALLBACK) is FALLBACK
    assert expected_error(ValueError("secret")) is None


def test_handle_server_error_is_shown_the_sole_exception_of_nested_groups() -> None:
    seen: list[Exception] = []

    def handle(error: Exception) -> ActionError:
        seen.append(error)
        return ActionError("MAPPED", "In our words", 503)

    error = ValueError("secret")

    assert to_action_error(nested(error, 2), handle, FALLBACK).as_json() == {
        "code": "MAPPED",
        "message": "In our words",
        "statusCode": 503,
    }
    assert seen == [error]


@pytest.mark.parametrize(("mapping", "status_code"), [({}, 500), ({"status_code": 429}, 429)])
def test_a_mapping_of_handle_server_error_is_a_500_unless_it_says_otherwise(
    mapping: dict[str, Any], status_code: int
) -> None:
    fields = cast("ErrorFields", {"code": "MAPPED", "message": "Busy", **mapping})
    told = to_action_error(ValueError(), lambda _: fields, FALLBACK)

    assert (told.code, told.message, told.status_code) == ("MAPPED", "Busy", status_code)


MALFORMED: list[Any] = [
    "MAPPED",
    {},
    {"code": "MAPPED"},
    {"code": 1, "message": "x"},
    {"code": "A", "message": "b", "status_code": "500"},
]


@pytest.mark.parametrize("made", MALFORMED)
def test_a_handle_server_error_that_makes_nonsense_gives_the_fallback(made: Any) -> None:
    error = ValueError("secret")

    assert to_action_error(error, lambda _: made, FALLBACK) is FALLBACK
    assert "handle_server_error failed" in error.__notes__[0]


def test_a_handle_server_error_that_fails_gives_the_fallback_and_a_note_for_the_log() -> None:
    error = ValueError("secret")

    def handle(_: Exception) -> ErrorFields:
        raise KeyError("a mistake")

    assert to_action_error(error, handle, FALLBACK) is FALLBACK
    assert error.__notes__ == ["handle_server_error failed on this: KeyError('a mistake')"]


def test_handle_server_error_sees_no_exception_that_is_none_of_its_business() -> None:
    seen: list[Exception] = []

    def handle(error: Exception) -> ActionError:
        seen.append(error)
        return ActionError("MAPPED", "In our words")

    for error in (KeyboardInterrupt(), BaseExceptionGroup("a nursery", [SystemExit()])):
        assert to_action_error(error, handle, FALLBACK) is FALLBACK
    assert seen == []
