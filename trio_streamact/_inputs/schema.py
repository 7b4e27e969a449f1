"""A declared input, made ready once: which library makes it, and what its fields ask of texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, final

import attrs

from .costs import Bounds, bounding, check_value, hashes_numbers
from .declared import Structure, field_types_of, is_known_class, is_msgspec, is_pydantic, named
from .foreign import by_msgspec, by_pydantic, msgspec_fields, pydantic_fields
from .strict import by_cattrs
from .texts import ObjectTexts


@final
@attrs.frozen
class InputSchema:
    """A declared input type, made ready once: raw values in, validated input out.

    Attributes:
        type: What was declared; ``Any`` lets every value through.
        structure: Validates JSON values in which no ``Text`` stands; they need not be looked through for one.
    """

    type: Any
    structure: Structure
    _texts: ObjectTexts = attrs.field(converter=ObjectTexts)
    _hashes_numbers: bool = attrs.field(init=False)

    @_hashes_numbers.default
    def _does_it_hash_numbers(self) -> bool:
        return hashes_numbers(self.type)

    def __call__(self, raw: object) -> Any:
        """Validate *raw*: JSON values, in which ``Text`` may stand at the top or one level down.

        Raises:
            InvalidInput: *raw* is not what was declared; holds the messages by dotted path.
        """
        return self.structure(self._texts.converted(raw))

    def bounded(self, raw: object, size_bytes: int, bounds: Bounds) -> Callable[[], Any]:
        """Check what it costs to validate *raw*, which came in *size_bytes*; return the function that validates it.

        Raises:
            InvalidInput: It would cost too much.
        """
        with bounding(bounds):
            value = self._texts.converted(raw)
        check_value(value, size_bytes, bounds, hashes_numbers=self._hashes_numbers)
        return partial(self.structure, value)


def input_schema(declared: object) -> InputSchema:
    """Make the schema of a *declared* input: a type, a schema of pydantic or msgspec, or an object with ``validate``.

    Raises:
        TypeError: *declared* is none of these, or holds something that cannot be made of JSON.
    """
    if declared is Any or declared is object:
        return InputSchema(Any, lambda raw: raw, lambda _: Any)
    if is_pydantic(declared):
        return InputSchema(declared, by_pydantic(declared), pydantic_fields(declared))
    if is_msgspec(declared):
        return InputSchema(declared, by_msgspec(declared), msgspec_fields(declared))
    if not is_known_class(declared) and callable(validate := getattr(declared, "validate", None)):
        return InputSchema(declared, _by_validate(declared, validate), lambda _: Any)
    return InputSchema(declared, by_cattrs(declared), field_types_of(declared))


def _by_validate(declared: object, validate: Callable[..., Any]) -> Structure:
    if inspect.iscoroutinefunction(validate):
        raise TypeError(f"{named(declared)}.validate must be a plain function: input is validated without waiting")
    try:
        inspect.signature(validate).bind(object())
    except ValueError:  # a builtin that does not say what it takes
        pass
    except TypeError as error:
        raise TypeError(f"{named(declared)} cannot be an input: validate(raw) fails: {error}") from None
    return validate
