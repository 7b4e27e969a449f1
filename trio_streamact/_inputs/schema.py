"""The schema of a declared input, prepared once: the library that validates it, and how its fields convert text."""

from __future__ import annotations

import inspect
from collections.abc import Callable
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
    """Validates raw values as the declared input type. It is prepared once per action.

    Attributes:
        type: The declared type; ``Any`` accepts every value.
        structure: Validates JSON values that contain no ``UntypedText``, without searching them for it.
    """

    type: Any
    structure: Structure
    _texts: ObjectTexts = attrs.field(converter=ObjectTexts)
    _hashes_numbers: bool = attrs.field(init=False)

    @_hashes_numbers.default
    def _set_hashes_numbers(self) -> bool:
        return hashes_numbers(self.type)

    def __call__(self, raw: object) -> Any:
        """Return *raw* as the declared type. ``UntypedText`` may be a field of *raw*, or an item of a field.

        Raises:
            InvalidInput: *raw* is not of the declared type. Carries the messages by dotted path.
        """
        return self.structure(self._texts.converted(raw))

    def bounded(self, raw: object, size_bytes: int, bounds: Bounds) -> Callable[[], Any]:
        """Check *raw*, which was parsed from *size_bytes*, against *bounds*; return what validates it, once.

        Raises:
            InvalidInput: *raw* exceeds *bounds*.
        """
        with bounding(bounds):
            value = self._texts.converted(raw)
        check_value(value, size_bytes, bounds, hashes_numbers=self._hashes_numbers)
        once = [value]
        del raw, value  # so that pydantic and msgspec, which validate a copy, can free it
        return lambda: self.structure(once.pop())


def input_schema(declared: object) -> InputSchema:
    """Return the schema of *declared*: a type, a schema of pydantic or msgspec, or an object with ``validate``.

    Raises:
        TypeError: *declared* is not valid, or contains a type that cannot be structured from JSON.
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
        raise TypeError(f"{named(declared)}.validate is async: expected a function that is not async")
    try:
        inspect.signature(validate).bind(object())
    except ValueError:  # a builtin without a signature
        pass
    except TypeError as error:
        raise TypeError(f"{named(declared)} cannot be an input: validate(raw) cannot be called: {error}") from None
    return validate
