"""The strict converter of cattrs: it makes what the declared type says of JSON, and nothing of anything else."""

from __future__ import annotations

import typing
from collections.abc import Callable
from functools import partial
from typing import Any

import cattrs
from cattrs.preconf.orjson import make_converter
from cattrs.strategies import configure_union_passthrough

from ..errors import InvalidInput
from .declared import (
    Structure,
    fixed_length,
    is_choice,
    is_choice_of_values,
    is_foreign,
    is_list,
    is_namedtuple,
    is_object,
    named,
)
from .hooks import (
    READ_FROM_TEXT,
    Hook,
    as_float,
    exactly,
    foreign_hook,
    from_text,
    member_hook,
    namedtuple_hook,
    object_hook,
)
from .messages import (
    EXPECTED,
    TOO_DEEP,
    TOO_MANY,
    Refused,
    TooDeep,
    TooManyErrors,
    by_field,
    error_count,
    expected_by,
    messages_of,
    refused,
)


def by_cattrs(declared: Any) -> Structure:
    """Have cattrs make *declared*: attrs classes, dataclasses, TypedDicts, plain types and what is composed of them.

    Raises:
        TypeError: *declared* holds something that cannot be made of JSON.
    """
    try:
        # A converter for each: what it keeps of the types goes with the schema.
        hook = _make_strict_converter().get_structure_hook(declared)
    except Exception as error:
        raise TypeError(f"{named(declared)} cannot be an input: {error}") from error

    def structure(raw: object) -> Any:
        before, error_count.errors = error_count.errors, 0  # a validator may structure an input of its own
        try:
            return hook(raw, declared)
        except TooManyErrors:
            raise InvalidInput(TOO_MANY) from None
        except TooDeep:
            raise InvalidInput(TOO_DEEP) from None
        except Exception as error:
            raise InvalidInput(by_field(messages_of(error, (), raw))) from None
        finally:
            error_count.errors = before

    return structure


def _unsupported(declared: Any) -> typing.NoReturn:
    raise TypeError(f"cattrs does not know how to make {named(declared)} of JSON")


def _make_strict_converter() -> Any:
    converter = make_converter(structure_fallback_factory=_unsupported)
    # Once more, without bool: where it is among these, `int | str` takes true for an int.
    configure_union_passthrough(str | int | float | None, converter)
    for plain in (str, bool, int):
        converter.register_structure_hook(plain, exactly(plain))
    converter.register_structure_hook(float, as_float)
    for target, read in READ_FROM_TEXT.items():
        converter.register_structure_hook(target, from_text(read, EXPECTED[target]))
    converter.register_structure_hook_factory(is_namedtuple, partial(namedtuple_hook, converter))
    _guard(converter, is_list, list, "a list")
    _guard(converter, is_object, dict, "an object", partial(object_hook, converter))
    _guard(converter, is_choice, object, None)
    # After the guards, so found before them: hooks that are registered later are asked first.
    converter.register_structure_hook_factory(is_choice_of_values, member_hook)
    converter.register_structure_hook_factory(is_foreign, foreign_hook)
    return converter


def _guard(
    converter: Any,
    concerns: Callable[[Any], bool],
    accepted: type,
    expected: str | None,
    make: Callable[[Any], Hook] | None = None,
) -> None:
    """Let cattrs structure what *concerns* names, but only out of an *accepted*: it would take a text for a list."""
    passing: set[Any] = set()  # types whose inner hook is being made just now
    inner_of = make or partial(converter.get_structure_hook, cache_result=False)

    def is_guarded(declared: Any) -> bool:
        return concerns(declared) and (make is not None or declared not in passing)

    def guarded(declared: Any) -> Hook:
        if declared in passing:  # it holds itself: this very guard will be there when it is needed
            return lambda value, _: converter.structure(value, declared)
        passing.add(declared)
        try:
            inner = inner_of(declared)
        finally:
            passing.discard(declared)

        words = expected or expected_by(declared)
        length = fixed_length(declared)
        if length is not None:
            words = f"a list of {length}"

        def structure(value: Any, _: Any) -> Any:
            fits = isinstance(value, accepted)
            if not fits or (length is not None and len(value) != length):
                raise refused(words)
            try:
                return inner(value, declared)
            except Refused as error:
                if expected is None:  # a choice: what it expected is more than what the last one tried did
                    raise Refused(f"Expected {words}") from error
                raise
            except cattrs.BaseValidationError as error:
                for found in error.exceptions:
                    if isinstance(found, RecursionError):
                        raise TooDeep from None
                    if not isinstance(found, Refused | cattrs.BaseValidationError):  # those were counted before
                        error_count.one_more()
                raise
            except RecursionError:
                raise TooDeep from None
            except InvalidInput:
                error_count.one_more()
                raise
            except Exception as error:  # cattrs' own, in no words for a client
                raise refused(words) from error

        return structure

    converter.register_structure_hook_factory(is_guarded, guarded)
