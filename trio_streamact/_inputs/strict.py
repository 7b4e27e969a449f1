"""Structure JSON with cattrs, strictly: a value that is not of the declared type is an error, and is not converted."""

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
    InvalidValue,
    TooDeep,
    TooManyErrors,
    by_field,
    error_count,
    expected_by,
    invalid_value,
    messages_of,
)


def by_cattrs(declared: Any) -> Structure:
    """Return the function that structures *declared*: an attrs class, a dataclass, a TypedDict, a plain type, or a
    type composed of these.

    Raises:
        TypeError: *declared* contains a type that cannot be structured from JSON.
    """
    try:
        # One converter per schema, so that its caches are freed with the schema.
        hook = _make_strict_converter().get_structure_hook(declared)
    except Exception as error:
        raise TypeError(f"{named(declared)} cannot be an input: {error}") from error

    def structure(raw: object) -> Any:
        before, error_count.errors = error_count.errors, 0  # a validator may itself structure another input
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
    raise TypeError(f"cattrs cannot structure {named(declared)} from JSON")


def _make_strict_converter() -> Any:
    converter = make_converter(structure_fallback_factory=_unsupported)
    # Configure this again, without bool: with bool, `int | str` would accept true as an int.
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
    # Registered after the guards: cattrs tries the hooks that were registered last first.
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
    """Register a hook that checks that a value is an instance of *accepted* before cattrs structures it.

    Without it, cattrs would structure a string as a list of characters.

    Args:
        converter: The converter.
        concerns: Returns True for the declared types that the hook is for.
        accepted: The type of valid JSON values.
        expected: The description of a valid value; None to derive it from the declared type.
        make: Returns the inner hook for a declared type; None for cattrs' own.
    """
    passing: set[Any] = set()  # the types whose inner hook is being created
    inner_of = make or partial(converter.get_structure_hook, cache_result=False)

    def is_guarded(declared: Any) -> bool:
        return concerns(declared) and (make is not None or declared not in passing)

    def guarded(declared: Any) -> Hook:
        if declared in passing:  # a recursive type: its guard will be registered when a value is structured
            return lambda value, _: converter.structure(value, declared)
        passing.add(declared)
        try:
            inner = inner_of(declared)
        finally:
            passing.discard(declared)

        description = expected or expected_by(declared)
        length = fixed_length(declared)
        if length is not None:
            description = f"a list of length {length}"

        def structure(value: Any, _: Any) -> Any:
            fits = isinstance(value, accepted)
            if not fits or (length is not None and len(value) != length):
                raise invalid_value(description)
            try:
                return inner(value, declared)
            except InvalidValue as error:
                if expected is None:  # a union: name all its members, not only the one that cattrs tried last
                    raise InvalidValue(f"Expected {description}") from error
                raise
            except cattrs.BaseValidationError as error:
                for found in error.exceptions:
                    if isinstance(found, RecursionError):
                        raise TooDeep from None
                    if not isinstance(found, InvalidValue | cattrs.BaseValidationError):  # these are counted already
                        error_count.add_one()
                raise
            except RecursionError:
                raise TooDeep from None
            except InvalidInput:
                error_count.add_one()
                raise
            except Exception as error:  # an error of cattrs: its text is not meant for a client
                raise invalid_value(description) from error

        return structure

    converter.register_structure_hook_factory(is_guarded, guarded)
