"""Let pydantic and msgspec validate their own types, and convert their errors to ``InvalidInput``."""

from __future__ import annotations

import re
from typing import Any

from .._protocol.json import encode_json
from ..errors import InvalidInput
from .declared import FieldTypes, Structure, named
from .messages import MAX_ERRORS, MESSAGE_CHARS, REQUIRED, TOO_DEEP, TOO_MANY, by_field
from .pydantic_costs import PydanticCosts


def by_pydantic(declared: Any) -> Structure:
    """Return the function that validates *declared* with pydantic: a model, a dataclass or a ``TypeAdapter``."""
    import pydantic

    adapter = declared if isinstance(declared, pydantic.TypeAdapter) else pydantic.TypeAdapter(declared)
    costs = PydanticCosts.of(adapter.core_schema)

    def structure(raw: object) -> Any:
        # As JSON: pydantic's strict mode accepts a date as text in JSON, but not in Python values.
        encoded = _bytes_of(raw)
        costs.check(raw, len(encoded))
        del raw
        try:
            return adapter.validate_json(encoded, strict=True)
        except pydantic.ValidationError as error:
            if error.error_count() > MAX_ERRORS:
                raise InvalidInput(TOO_MANY) from None
            found = error.errors(include_url=False, include_context=False, include_input=False)
            if found[0]["type"] == "json_invalid":  # our JSON is valid, but pydantic stops at 200 levels
                raise InvalidInput(TOO_DEEP) from None
            messages = ((tuple(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")) for item in found)
            raise InvalidInput(by_field(messages)) from None

    return structure


def pydantic_fields(declared: Any) -> FieldTypes:
    """Return the types of the fields of a pydantic model."""
    fields = getattr(declared, "model_fields", None) or getattr(declared, "__pydantic_fields__", None) or {}
    hints: dict[str, Any] = {}
    for name, field in fields.items():
        for key in (name, field.validation_alias):  # the model's configuration decides which one is valid
            if isinstance(key, str):
                hints[key] = field.annotation
    return lambda name: hints.get(name, Any)


_MSGSPEC_AT = " - at `"
_MSGSPEC_PLACE = re.compile(r"(key in )?\$(?P<path>.*)", re.DOTALL)
_MSGSPEC_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)


def by_msgspec(declared: Any) -> Structure:
    """Return the function that validates *declared* with msgspec, which reports the first error only."""
    import msgspec

    decoder = msgspec.json.Decoder(declared)

    def structure(raw: object) -> Any:
        encoded = _bytes_of(raw)
        del raw
        try:
            return decoder.decode(encoded)
        except RecursionError:
            raise InvalidInput(TOO_DEEP) from None
        except msgspec.ValidationError as error:
            path, message = _msgspec_message(str(error))
            raise InvalidInput(by_field([(tuple(path.split(".")), message)])) from None

    return structure


def _msgspec_message(text: str) -> tuple[str, str]:
    """Split *text*, a message of msgspec, into its dotted path and the rest. The path has indices but no keys."""
    # Search from the end: the message may quote input, and that input may look like a path.
    at = text.rfind(_MSGSPEC_AT) if text.endswith("`") else -1
    found = _MSGSPEC_PLACE.fullmatch(text, at + len(_MSGSPEC_AT), len(text) - 1) if at >= 0 else None
    end = len(text) if found is None else at
    message = text[: min(end, MESSAGE_CHARS + 1)]  # a slice, since a copy of a long text takes memory
    path = found["path"].replace("[...]", ".*") if found else ""
    dotted = re.sub(r"\[(\d+)\]", r".\1", path).strip(".")
    if missing := _MSGSPEC_MISSING.fullmatch(message):
        return f"{dotted}.{missing['name']}".strip("."), REQUIRED
    return dotted, message


def msgspec_fields(declared: Any) -> FieldTypes:
    """Return the types of the fields of a msgspec struct.

    Raises:
        TypeError: The annotations of *declared* cannot be resolved.
    """
    import msgspec

    try:
        hints = {field.encode_name: field.type for field in msgspec.structs.fields(declared)}
    except Exception as error:
        raise TypeError(f"{named(declared)} cannot be an input: {error}") from error
    return lambda name: hints.get(name, Any)


def _bytes_of(raw: object) -> bytes:
    try:
        return encode_json(raw)
    except TypeError:  # JSON values and texts are serializable, unless they are nested too deeply
        raise InvalidInput(TOO_DEEP) from None
