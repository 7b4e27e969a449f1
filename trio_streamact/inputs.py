"""Raw values to validated input, and what is wrong with them by dotted path.

JSON is taken strictly: a number is not a string and ``true`` is not 1. Text (of a query, a form, a route) has no
types of its own, so it is first turned into the JSON that the declared type asks for (``as_json``); from there on
there is one way. attrs classes, dataclasses, TypedDicts and plain types are structured by cattrs; pydantic models and
msgspec structs by their own libraries; an object with ``validate`` does what it likes.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import inspect
import json
import math
import re
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from typing import Any, Literal, TypedDict, final
from uuid import UUID

import attrs
import cattrs
import orjson
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typeddict_structure_fn
from cattrs.preconf.orjson import make_converter
from cattrs.strategies import configure_union_passthrough
from typing_extensions import is_typeddict

from .errors import ROOT_FIELD, InvalidInput

Structure = Callable[[Any], Any]
FieldTypes = Callable[[str], Any]

INVALID = "Invalid value"
REQUIRED = "Field required"
TOO_DEEP = "Nested too deeply"


@final
class Text(str):
    """Text out of a query, a form or a route: it has no type yet but the one that the input declares."""

    __slots__ = ()


@final
@attrs.frozen
class InputSchema:
    """A declared input type, made ready once: raw values in, validated input out.

    Attributes:
        type: What was declared; ``Any`` lets every value through.
    """

    type: Any
    _structure: Structure
    _field_type: FieldTypes

    def __call__(self, raw: object) -> Any:
        """Validate *raw*: JSON values, in which ``Text`` may stand at the top or one level down.

        Raises:
            InvalidInput: *raw* is not what was declared; holds the messages by dotted path.
        """
        return self._structure(_texts_converted(raw, self._field_type))


def input_schema(declared: object) -> InputSchema:
    """Make the schema of a *declared* input: a type, a schema of pydantic or msgspec, or an object with ``validate``.

    Raises:
        TypeError: *declared* is none of these, or holds something that cannot be made of JSON.
    """
    if declared is Any or declared is object:
        return InputSchema(Any, lambda raw: raw, lambda _: Any)
    if _is_pydantic(declared):
        return InputSchema(declared, _by_pydantic(declared), _pydantic_fields(declared))
    if _is_msgspec(declared):
        return InputSchema(declared, _by_msgspec(declared), _msgspec_fields(declared))
    if not _is_known_class(declared) and callable(validate := getattr(declared, "validate", None)):
        return InputSchema(declared, _by_validate(declared, validate), lambda _: Any)
    return InputSchema(declared, _by_cattrs(declared), _field_types_of(declared))


def _by_validate(declared: object, validate: Callable[..., Any]) -> Structure:
    if inspect.iscoroutinefunction(validate):
        raise TypeError(f"{_named(declared)}.validate must be a plain function: input is validated without waiting")
    try:
        inspect.signature(validate).bind(object())
    except ValueError:  # a builtin that does not say what it takes
        pass
    except TypeError as error:
        raise TypeError(f"{_named(declared)} cannot be an input: validate(raw) fails: {error}") from None
    return validate


# Text to JSON


_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
_LISTS = (list, tuple, set, frozenset, Sequence, AbstractSet, Iterable)


def as_json(text: str, declared: Any) -> Any:
    """Make of *text* the JSON value that *declared* asks for, or leave it text where that cannot be.

    Numbers, ``true``, ``1``, ``on`` and their opposites, literals and enum values are converted; where an object or a
    list is declared a JSON text of one is read, and any other text is a list of one. An empty text is null where
    null is allowed and text is not: so the model's client encodes it.
    """
    plain = str(text)
    declared = _unwrapped(declared)
    origin = typing.get_origin(declared)
    if origin in (typing.Union, types.UnionType):
        return _as_one_of(plain, typing.get_args(declared))
    if _is_choice_of_values(declared):
        return _as_member(plain, [value for value, _ in _members(declared)])
    if declared is bool:
        return _BOOLEANS.get(plain.lower(), plain)
    if declared is int:
        return int(plain) if _INTEGER.fullmatch(plain) else plain
    if declared is float:
        return _finite(plain) if _NUMBER.fullmatch(plain) else plain
    if _is_list(declared):
        parsed = _parsed(plain, "[")
        return parsed if parsed is not None else [as_json(plain, _item_type(declared))]
    if _is_object(declared):
        parsed = _parsed(plain, "{")
        return plain if parsed is None else parsed
    return plain


def _finite(plain: str) -> float | str:
    number = float(plain)
    return number if math.isfinite(number) else plain  # JSON has no infinity, which 1e999 would be


def _texts_converted(raw: object, field_type: FieldTypes) -> object:
    if isinstance(raw, dict):
        return {str(name): _value_converted(value, field_type(name)) for name, value in raw.items()}
    return raw


def _value_converted(value: object, declared: Any) -> object:
    if isinstance(value, Text):
        return as_json(value, declared)
    if isinstance(value, list) and any(isinstance(item, Text) for item in value):
        # A key that was repeated. Where no list is declared, the validation says so.
        item_type = _item_type(_list_among(declared))
        return [as_json(item, item_type) if isinstance(item, Text) else item for item in value]
    return value


def _as_one_of(text: str, members: Sequence[Any]) -> Any:
    accepts_text = any(_unwrapped(member) in (str, Any) for member in members)
    if not text and type(None) in members and not accepts_text:
        return None
    for member in sorted(members, key=lambda member: _is_list(_unwrapped(member))):  # any text can be a list of one
        if member is type(None) or _unwrapped(member) is str:
            continue
        if not isinstance(value := as_json(text, member), str):
            return value
    return text


def _as_member(text: str, values: Sequence[Any]) -> Any:
    if text in values:
        return text
    for value in values:
        if not isinstance(value, str) and as_json(text, type(value)) == value:
            return value
    return text


def _parsed(text: str, opening: str) -> Any:
    if not text.lstrip().startswith(opening):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _unwrapped(declared: Any) -> Any:
    """Look through ``Annotated``, ``Required``, ``NewType`` and type aliases."""
    while True:
        if typing.get_origin(declared) in (typing.Annotated, typing.Required, typing.NotRequired):
            declared = typing.get_args(declared)[0]
        elif isinstance(declared, typing.NewType):
            declared = declared.__supertype__
        elif hasattr(declared, "__value__") and type(declared).__name__ == "TypeAliasType":
            declared = declared.__value__
        else:
            return declared


def _is_class(declared: Any, base: type | tuple[type, ...]) -> bool:
    return isinstance(declared, type) and issubclass(declared, base)


def _is_list(declared: Any) -> bool:
    base = typing.get_origin(declared) or declared
    return base in _LISTS or (
        _is_class(base, (list, tuple, set, frozenset, Sequence, AbstractSet)) and base not in (str, bytes)
    )


def _is_object(declared: Any) -> bool:
    base = typing.get_origin(declared) or declared
    return _is_class(base, Mapping) or _is_known_class(base) or _is_foreign(base)


def _list_among(declared: Any) -> Any:
    declared = _unwrapped(declared)
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return next((member for member in typing.get_args(declared) if _is_list(_unwrapped(member))), Any)
    return declared


def _item_type(declared: Any) -> Any:
    arguments = typing.get_args(_unwrapped(declared)) if _is_list(_unwrapped(declared)) else ()
    return arguments[0] if arguments else Any


# What a declared type says of its fields


def _field_types_of(declared: Any) -> FieldTypes:
    declared = _unwrapped(declared)
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        members = [_field_types_of(member) for member in typing.get_args(declared) if _is_known_class(member)]
        return lambda name: typing.Union[tuple(of(name) for of in members)] if members else Any  # noqa: UP007
    base = typing.get_origin(declared) or declared
    if _is_class(base, Mapping) and not is_typeddict(base):
        value_type = typing.get_args(declared)[1] if typing.get_args(declared) else Any
        return lambda _: value_type
    if not _is_known_class(base):
        return lambda _: Any
    try:
        hints = typing.get_type_hints(base, include_extras=True)
    except Exception as error:
        raise TypeError(f"cannot resolve the annotations of {_named(declared)}: {error}") from error
    parameters = dict(zip(getattr(base, "__parameters__", ()), typing.get_args(declared), strict=False))
    return lambda name: _filled_in(hints.get(name, Any), parameters)


def _filled_in(hint: Any, parameters: Mapping[Any, Any]) -> Any:
    """Put the arguments of a generic class in place of its type variables."""
    if isinstance(hint, typing.TypeVar):
        return parameters.get(hint, Any)
    if variables := getattr(hint, "__parameters__", ()):
        return hint[tuple(parameters.get(variable, Any) for variable in variables)]
    return hint


def _is_known_class(declared: Any) -> bool:
    base = typing.get_origin(declared) or declared
    return isinstance(base, type) and (attrs.has(base) or dataclasses.is_dataclass(base) or is_typeddict(base))


# cattrs


MAX_ERRORS = 100
"""Where a report of what is wrong stops: a body of a million wrong values must not cost a million exceptions."""


class _Refused(ValueError):  # noqa: N818 - never leaves this module
    """A value is not what was declared, in words meant for the client."""


class _TooManyErrors(BaseException):  # not an Exception: cattrs collects every one of those
    """The input is beyond repair."""


class _TooDeep(BaseException):  # the same
    """The input is nested deeper than Python calls may be."""


@final
@attrs.define(eq=False)
class _ErrorCount:
    """Counts what goes wrong in one input; structuring is synchronous, so one count serves all."""

    errors: int = 0

    def one_more(self) -> None:
        self.errors += 1
        if self.errors > MAX_ERRORS:
            raise _TooManyErrors


_count = _ErrorCount()


def _by_cattrs(declared: Any) -> Structure:
    try:
        hook = _converter.get_structure_hook(declared)
    except Exception as error:
        raise TypeError(f"{_named(declared)} cannot be an input: {error}") from error

    def structure(raw: object) -> Any:
        _count.errors = 0
        try:
            return hook(raw, declared)
        except _TooManyErrors:
            raise InvalidInput(f"More than {MAX_ERRORS} values are invalid") from None
        except _TooDeep:
            raise InvalidInput(TOO_DEEP) from None
        except Exception as error:
            raise InvalidInput(_collected(_messages(error, (), raw))) from None

    return structure


def _unsupported(declared: Any) -> typing.NoReturn:
    raise TypeError(f"cattrs does not know how to make {_named(declared)} of JSON")


_EXPECTED: dict[Any, str] = {
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
_READ_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
    Decimal: lambda text: _finite_decimal(Decimal(text)),
    bytes: lambda text: base64.b64decode(text, validate=True),
}


def _finite_decimal(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError("JSON has no infinity, and no other thing that is no number")
    return number


def _make_strict_converter() -> Any:
    converter = make_converter(structure_fallback_factory=_unsupported)
    # Once more, without bool: where it is among these, `int | str` takes true for an int.
    configure_union_passthrough(str | int | float | None, converter)
    for plain in (str, bool, int):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook(float, _as_float)
    for target, read in _READ_FROM_TEXT.items():
        converter.register_structure_hook(target, _from_text(read, _EXPECTED[target]))
    converter.register_structure_hook_factory(_is_namedtuple, partial(_namedtuple_hook, converter))
    _guard(converter, _is_list, list, "a list")
    _guard(converter, _is_object, dict, "an object", partial(_object_hook, converter))
    _guard(converter, _is_choice, object, None)
    # After the guards, so found before them: hooks that are registered later are asked first.
    converter.register_structure_hook_factory(_is_choice_of_values, _member_hook)
    converter.register_structure_hook_factory(_is_foreign, _foreign_hook)
    return converter


def _refused(words: str) -> _Refused:
    _count.one_more()
    return _Refused(f"Expected {words}")


def _exactly(plain: type) -> Callable[[Any, Any], Any]:
    words = _EXPECTED[plain]

    def structure(value: object, declared: Any) -> object:
        if declared is not plain and _is_class(declared := _unwrapped(declared), plain) and declared is not plain:
            return _of_subclass(declared, value, plain, structure)
        if type(value) is not plain:
            raise _refused(words)
        return value

    return structure


def _as_float(value: object, declared: Any) -> float:
    if declared is not float and _is_class(declared := _unwrapped(declared), float) and declared is not float:
        made: float = _of_subclass(declared, value, float, _as_float)
        return made
    if type(value) is not float and type(value) is not int:
        raise _refused(_EXPECTED[float])
    return float(value)  # cannot overflow: the parser reads integers beyond 64 bits as floats already


def _of_subclass(declared: Any, value: object, plain: type, structure: Callable[[Any, Any], Any]) -> Any:
    """Make a *declared*, which is a kind of *plain*: cattrs asks the hook of ``str`` for a ``StrEnum`` too."""
    if _is_class(declared, enum.Enum):
        return _member_hook(declared)(value, declared)
    return declared(structure(value, plain))


def _is_foreign(declared: Any) -> bool:
    return _is_pydantic(declared) or _is_msgspec(declared)


def _foreign_hook(declared: Any) -> Callable[[Any, Any], Any]:
    """Have a model of another library inside of a type of ours made by that library."""
    structure = _by_pydantic(declared) if _is_pydantic(declared) else _by_msgspec(declared)
    return lambda value, _: structure(value)


def _from_text(read: Callable[[str], Any], words: str) -> Callable[[Any, Any], Any]:
    def structure(value: object, _: Any) -> Any:
        if isinstance(value, str):
            try:
                return read(value)
            except (ValueError, InvalidOperation, binascii.Error):
                pass
        raise _refused(words)

    return structure


def _is_choice(declared: Any) -> bool:
    """Whether *declared* is a union of more than one thing and null: those say well enough what they expected."""
    is_union = typing.get_origin(declared) in (typing.Union, types.UnionType)
    return is_union and len([m for m in typing.get_args(declared) if m is not type(None)]) > 1


def _object_hook(converter: Any, declared: Any) -> Callable[[Any, Any], Any]:
    # Not the converter's own way to these functions: it would remember what they make in place of our guard.
    base = typing.get_origin(declared) or declared
    hook: Callable[[Any, Any], Any]
    if is_typeddict(base):
        hook = make_typeddict_structure_fn(_resolved_typeddict(declared), converter)
    elif attrs.has(base):
        attrs.resolve_types(base)
        hook = make_dict_structure_fn(declared, converter)
    elif dataclasses.is_dataclass(base):
        hook = make_dict_structure_fn(declared, converter)
    else:
        hook = _mapping_hook(converter, declared)
    return hook


def _resolved_typeddict(declared: Any) -> Any:
    """A TypedDict like *declared*, with no annotation that is text: Python does not see a ``NotRequired`` in those."""
    base = typing.get_origin(declared) or declared
    members: dict[str, Any] = {}
    field_type = _field_types_of(declared)
    for name in base.__annotations__:
        hint = field_type(name)
        said: Any = typing.get_origin(hint)
        if said not in (typing.Required, typing.NotRequired):
            hint = typing.Required[hint] if name in base.__required_keys__ else typing.NotRequired[hint]
        members[name] = hint
    return TypedDict(base.__name__, members)  # type: ignore[operator]  # mypy wants to know the members


def _is_namedtuple(declared: Any) -> bool:
    return _is_class(declared, tuple) and hasattr(declared, "_fields")


def _namedtuple_hook(converter: Any, declared: Any) -> Callable[[Any, Any], Any]:
    # Not the converter's own way: it knows no annotations that are text.
    hints = typing.get_type_hints(declared, include_extras=True)
    members = types.GenericAlias(tuple, tuple(hints.get(name, Any) for name in declared._fields))
    hook = converter.get_structure_hook(members)
    return lambda value, _: declared(*hook(value, members))


def _mapping_hook(converter: Any, declared: Any) -> Callable[[Any, Any], Any]:
    hook: Callable[[Any, Any], Any] = make_mapping_structure_fn(declared, converter)
    arguments = typing.get_args(declared)
    if not arguments or _unwrapped(arguments[0]) in (str, Any):
        return hook
    # In JSON every key is text, so `{"1": ...}` is all that a mapping by numbers can look like.
    return lambda value, _: hook({as_json(key, arguments[0]): member for key, member in value.items()}, declared)


def _guard(
    converter: Any,
    concerns: Callable[[Any], bool],
    accepted: type,
    expected: str | None,
    make: Callable[[Any], Callable[[Any, Any], Any]] | None = None,
) -> None:
    """Let cattrs structure what *concerns* names, but only out of an *accepted*: it would take a text for a list."""
    passing: set[Any] = set()  # types whose inner hook is being made just now
    inner_of = make or partial(converter.get_structure_hook, cache_result=False)

    def is_guarded(declared: Any) -> bool:
        return concerns(declared) and (make is not None or declared not in passing)

    def guarded(declared: Any) -> Callable[[Any, Any], Any]:
        if declared in passing:  # it holds itself: this very guard will be there when it is needed
            return lambda value, _: converter.structure(value, declared)
        passing.add(declared)
        try:
            inner = inner_of(declared)
        finally:
            passing.discard(declared)

        words = expected or _expected_by(declared)
        length = _fixed_length(declared)
        if length is not None:
            words = f"a list of {length}"

        def structure(value: Any, _: Any) -> Any:
            fits = isinstance(value, accepted)
            if not fits or (length is not None and len(value) != length):
                raise _refused(words)
            try:
                return inner(value, declared)
            except _Refused as error:
                if expected is None:  # a choice: what it expected is more than what the last one tried did
                    raise _Refused(f"Expected {words}") from error
                raise
            except cattrs.BaseValidationError as error:
                for found in error.exceptions:
                    if isinstance(found, RecursionError):
                        raise _TooDeep from None
                    if not isinstance(found, _Refused | cattrs.BaseValidationError):  # those were counted before
                        _count.one_more()
                raise
            except RecursionError:
                raise _TooDeep from None
            except InvalidInput:
                _count.one_more()
                raise
            except Exception as error:  # cattrs' own, in no words for a client
                raise _refused(words) from error

        return structure

    converter.register_structure_hook_factory(is_guarded, guarded)


def _expected_by(declared: Any) -> str:
    """What a value of type *declared* looks like in JSON."""
    declared = _unwrapped(declared)
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        counted = Counter(map(_expected_by, typing.get_args(declared)))
        return " or ".join(words if n == 1 else f"one of {n} kinds of {words[3:]}" for words, n in counted.items())
    if _is_choice_of_values(declared):
        values = (json.dumps(value, default=str, ensure_ascii=False) for value, _ in _members(declared))
        return f"one of {', '.join(values)}"
    return "a list" if _is_list(declared) else _EXPECTED.get(declared, "an object")


def _fixed_length(declared: Any) -> int | None:
    if typing.get_origin(declared) is not tuple or Ellipsis in typing.get_args(declared):
        return None
    return len(typing.get_args(declared))


def _is_choice_of_values(declared: Any) -> bool:
    return typing.get_origin(declared) is Literal or _is_class(declared, enum.Enum)


def _members(declared: Any) -> list[tuple[Any, Any]]:
    """What stands in JSON for each member of an enum or a literal, and that member."""
    members = declared if _is_class(declared, enum.Enum) else typing.get_args(declared)
    return [(member.value if isinstance(member, enum.Enum) else member, member) for member in members]


@cache
def _member_hook(declared: Any) -> Callable[[Any, Any], Any]:
    # By type and value: True == 1, and JSON's true is not its 1.
    by_value = {(type(value), value): member for value, member in _members(declared)}
    words = _expected_by(declared)

    def structure(value: object, _: Any) -> Any:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):  # TypeError: a list or an object, which no mapping can hold
            raise _refused(words) from None

    return structure


_converter = _make_strict_converter()

Path = tuple[str, ...]


def _messages(error: BaseException, path: Path, raw: object) -> Iterator[tuple[Path, str]]:
    """Every message in a tree of cattrs' errors, with the path of the value that it is about."""
    if isinstance(error, cattrs.ClassValidationError | cattrs.IterableValidationError):
        noted, bare = error.group_exceptions()
        for inner, note in noted:
            name = str(note.name if isinstance(note, cattrs.AttributeValidationNote) else note.index)
            missing = isinstance(inner, KeyError) and isinstance(raw, dict) and name not in raw
            if missing:
                yield (*path, name), REQUIRED
            else:
                yield from _messages(inner, (*path, name), _member(raw, name))
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
    return str(error) if isinstance(error, _Refused) else INVALID


def _constructor_words(error: BaseException) -> str:
    """The words of *error* where it was raised for the client to read.

    A plain ``ValueError`` is how a validator refuses, and its text is meant for whoever gave the value; so are the
    refusals of attrs' own validators. Anything else, a ``JSONDecodeError`` or a ``KeyError``, is some code's accident.
    """
    by_attrs = len(error.args) > 1 and isinstance(error.args[1], attrs.Attribute)
    if by_attrs or (type(error) is ValueError and len(error.args) == 1 and isinstance(error.args[0], str)):
        return str(error.args[0])
    return _words(error)


def _collected(messages: Iterable[tuple[Path, str]]) -> dict[str, list[str]]:
    collected: dict[str, list[str]] = {}
    for path, message in messages:
        collected.setdefault(".".join(path) or ROOT_FIELD, []).append(message)
    return collected


# pydantic and msgspec, where the user has them


def _bytes_of(raw: object) -> bytes:
    try:
        return orjson.dumps(raw)
    except TypeError:  # an integer beyond 64 bits out of a query, or more than 254 levels
        pass
    try:
        return json.dumps(raw).encode()
    except RecursionError:
        raise InvalidInput(TOO_DEEP) from None


def _is_pydantic(declared: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and (
        _is_class(declared, pydantic.BaseModel)
        or isinstance(declared, pydantic.TypeAdapter)
        or (isinstance(declared, type) and hasattr(declared, "__pydantic_validator__"))
    )


def _by_pydantic(declared: Any) -> Structure:
    import pydantic

    adapter = declared if isinstance(declared, pydantic.TypeAdapter) else pydantic.TypeAdapter(declared)

    def structure(raw: object) -> Any:
        try:
            # As JSON, since there strict still means that a date is written as text.
            return adapter.validate_json(_bytes_of(raw), strict=True)
        except pydantic.ValidationError as error:
            if error.error_count() > MAX_ERRORS:
                raise InvalidInput(f"More than {MAX_ERRORS} values are invalid") from None
            found = error.errors(include_url=False, include_context=False, include_input=False)
            if found[0]["type"] == "json_invalid":  # ours is valid, but for the 200 levels where pydantic stops
                raise InvalidInput(TOO_DEEP) from None
            messages = ((tuple(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")) for item in found)
            raise InvalidInput(_collected(messages)) from None

    return structure


def _pydantic_fields(declared: Any) -> FieldTypes:
    fields = getattr(declared, "model_fields", None) or getattr(declared, "__pydantic_fields__", None) or {}
    hints: dict[str, Any] = {}
    for name, field in fields.items():
        for key in (name, field.validation_alias):  # by which of them, the model's own settings say
            if isinstance(key, str):
                hints[key] = field.annotation
    return lambda name: hints.get(name, Any)


def _is_msgspec(declared: Any) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and _is_class(typing.get_origin(declared) or declared, msgspec.Struct)


_MSGSPEC_PATH = re.compile(r" - at `(key in )?\$(?P<path>.*)`$", re.DOTALL)
_MSGSPEC_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)


def _by_msgspec(declared: Any) -> Structure:
    import msgspec

    decoder = msgspec.json.Decoder(declared)

    def structure(raw: object) -> Any:
        try:
            return decoder.decode(_bytes_of(raw))
        except RecursionError:
            raise InvalidInput(TOO_DEEP) from None
        except msgspec.ValidationError as error:
            path, message = _msgspec_message(str(error))
            raise InvalidInput({path or ROOT_FIELD: [message]}) from None

    return structure


def _msgspec_message(text: str) -> tuple[str, str]:
    """The dotted path in a message of msgspec, which tells indices but not keys, and the rest of the message."""
    found = _MSGSPEC_PATH.search(text)
    path = found["path"].replace("[...]", ".*") if found else ""
    dotted = re.sub(r"\[(\d+)\]", r".\1", path).strip(".")
    message = _MSGSPEC_PATH.sub("", text)
    if missing := _MSGSPEC_MISSING.fullmatch(message):
        return f"{dotted}.{missing['name']}".strip("."), REQUIRED
    return dotted, message


def _msgspec_fields(declared: Any) -> FieldTypes:
    import msgspec

    try:
        hints = {field.encode_name: field.type for field in msgspec.structs.fields(declared)}
    except Exception as error:
        raise TypeError(f"{_named(declared)} cannot be an input: {error}") from error
    return lambda name: hints.get(name, Any)


def _named(declared: Any) -> str:
    return declared.__qualname__ if inspect.isclass(declared) else repr(declared)
