"""Types to JSON Schema: what ``wire`` writes of a chunk, and what ``inputs`` takes for an input."""

from __future__ import annotations

import enum
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Literal, cast, final
from uuid import UUID

from typing_extensions import ReadOnly

from .._inputs.declared import is_class, is_known_class, is_msgspec, is_namedtuple, is_pydantic, is_union
from .._protocol.encoding import encode_chunk
from .definitions import Definitions, Schema
from .fields import Mode, fields_of, filled_in, resolved
from .models import Models
from .names import pascal_case

_PLAIN: tuple[tuple[type, Schema], ...] = (
    (bool, {"type": "boolean"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (str, {"type": "string"}),
    (datetime, {"type": "string", "format": "date-time"}),  # a datetime is a date too, so it comes first
    (date, {"type": "string", "format": "date"}),
    (time, {"type": "string", "format": "time"}),
    (UUID, {"type": "string", "format": "uuid"}),
    (Decimal, {"type": "string", "format": "decimal"}),
    (bytes, {"type": "string", "contentEncoding": "base64"}),
    (PurePath, {"type": "string"}),
)
_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, ReadOnly, typing.Final)


@final
class Schemas:
    """Makes the schemas of types, and gathers the definitions that they refer to."""

    def __init__(self) -> None:
        self.definitions = Definitions()
        self._models = Models()

    def finish(self) -> None:
        """Complete what could not be known before all types were met."""
        self._models.describe(self.definitions)

    def of(self, declared: Any, mode: Mode) -> Schema:
        """Say what *declared* looks like in JSON. Anything that says nothing of it is the empty schema."""
        declared = _bare(declared)
        if _is_alias(declared):
            return self._alias(declared, mode)
        if declared is None or declared is type(None):
            return {"type": "null"}
        if is_union(declared):
            return self._union(typing.get_args(declared), mode)
        if typing.get_origin(declared) is Literal:
            return _choice(typing.get_args(declared), mode)
        if is_class(declared, enum.Flag) and mode != "input":  # several members at once are sent as their sum
            return {"type": "integer"}
        if is_class(declared, enum.Enum):
            return self._named(declared, mode, lambda: _choice(list(declared), mode))
        for plain, schema in _PLAIN:
            if is_class(declared, plain):
                return dict(schema)
        return self._composed(declared, mode)

    def _composed(self, declared: Any, mode: Mode) -> Schema:
        base = typing.get_origin(declared) or declared
        # A dataclass of pydantic is made by pydantic, but sent like any dataclass.
        if is_pydantic(declared) and (mode == "input" or hasattr(declared, "model_fields")):
            return self._models.ref(declared, mode)
        if is_namedtuple(base):
            return self._named(declared, mode, lambda: self._namedtuple(declared, mode))
        if is_msgspec(declared) and base.__struct_config__.array_like:
            return self._named(declared, mode, lambda: self._array_of_struct(declared, mode))
        if is_msgspec(declared) or is_known_class(base):
            return self._named(declared, mode, lambda: self._object(declared, mode))
        if is_class(base, Mapping):
            return self._mapping(declared, mode)
        if is_class(base, tuple):
            return self._tuple(declared, mode)
        if is_class(base, Collection) or base is Iterable:
            arguments = typing.get_args(declared)
            return _array(self.of(arguments[0] if arguments else Any, mode))
        return {}

    def _named(self, declared: Any, mode: Mode, make: Callable[[], Schema]) -> Schema:
        base = typing.get_origin(declared) or declared

        def described() -> Schema:
            description = _description_of(base)
            return {"description": description, **make()} if description else make()

        return self.definitions.ref(_key(declared), mode, _origin(declared, base.__qualname__), described)

    def _alias(self, declared: Any, mode: Mode) -> Schema:
        alias = typing.get_origin(declared) or declared
        arguments = dict(zip(alias.__type_params__, typing.get_args(declared), strict=False))

        def make() -> Schema:
            return self.of(filled_in(resolved(alias.__value__, alias.__module__), arguments), mode)

        return self.definitions.ref(_key(declared), mode, _origin(declared, alias.__name__), make)

    def _union(self, members: Iterable[Any], mode: Mode) -> Schema:
        choices: list[Schema] = []
        for member in members:
            if getattr(member, "__module__", "") == "msgspec" and member.__name__ == "UnsetType":
                continue  # no value, but the absence of the member
            schema = self.of(member, mode)
            if not schema:
                return {}
            choices += [choice for choice in schema.get("anyOf", [schema]) if choice not in choices]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}

    def _object(self, declared: Any, mode: Mode) -> Schema:
        properties, required = _tag_of(declared), list(_tag_of(declared))
        for field in fields_of(declared, mode):
            properties[field.name] = self.of(field.type, mode)
            required += [field.name] if field.required else []
        schema: Schema = {"type": "object", "properties": properties}
        return {**schema, "required": required} if required else schema

    def _array_of_struct(self, declared: Any, mode: Mode) -> Schema:
        fields = fields_of(declared, mode)
        items = [*_tag_of(declared).values(), *(self.of(field.type, mode) for field in fields)]
        return {**_fixed(items), "minItems": len(items) - sum(not field.required for field in fields)}

    def _namedtuple(self, declared: Any, mode: Mode) -> Schema:
        return _fixed([{**self.of(field.type, mode), "title": field.name} for field in fields_of(declared, mode)])

    def _tuple(self, declared: Any, mode: Mode) -> Schema:
        arguments = typing.get_args(declared)
        if typing.get_origin(declared) is None or Ellipsis in arguments:
            return _array(self.of(arguments[0] if arguments else Any, mode))
        return _fixed([self.of(argument, mode) for argument in arguments])

    def _mapping(self, declared: Any, mode: Mode) -> Schema:
        arguments = typing.get_args(declared)
        key, value = arguments if len(arguments) == 2 else (Any, Any)
        schema: Schema = {"type": "object", "additionalProperties": self.of(value, mode)}
        keys = self.of(key, mode)
        keys = keys["$ref"].schema if "$ref" in keys else keys
        if "enum" in keys:
            names = [name if isinstance(name, str) else json.dumps(name) for name in keys["enum"]]
            schema["propertyNames"] = {"enum": names}
        elif keys == {"type": "integer"}:
            schema["propertyNames"] = {"pattern": "^[+-]?[0-9]+$"}
        return schema


def _bare(declared: Any) -> Any:
    """Look through what says something of a type and is none, but not through aliases: those have names."""
    while True:
        if typing.get_origin(declared) in _WRAPPERS:
            declared = typing.get_args(declared)[0]
        elif isinstance(declared, typing.NewType):
            declared = declared.__supertype__
        elif isinstance(declared, typing.TypeVar):
            declared = filled_in(declared, {})
        else:
            return declared


def _is_alias(declared: Any) -> bool:
    return type(typing.get_origin(declared) or declared).__name__ == "TypeAliasType"


def _choice(members: Iterable[Any], mode: Mode) -> Schema:
    values = [member.value if isinstance(member, enum.Enum) else member for member in members]
    if mode == "input":  # no other value is ever taken for a member
        return {"enum": [value for value in values if value is None or isinstance(value, (str, int, float))]}
    try:
        return {"enum": [json.loads(encode_chunk(value).removeprefix(b"data: ")) for value in values]}
    except (TypeError, ValueError):  # one that cannot be sent
        return {}


def _tag_of(declared: Any) -> dict[str, Schema]:
    """What msgspec adds to a struct for its class to be told from others."""
    config = getattr(typing.get_origin(declared) or declared, "__struct_config__", None)
    return {} if config is None or config.tag is None else {config.tag_field or "type": {"const": config.tag}}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items} if items else {"type": "array"}


def _fixed(items: list[Schema]) -> Schema:
    schema: Schema = {"type": "array", "items": False, "minItems": len(items)}
    return {**schema, "prefixItems": items} if items else {**schema, "maxItems": 0}


def _key(declared: Any) -> Hashable:
    try:
        hash(declared)
    except TypeError:  # it is annotated with something that cannot be a key
        return repr(declared)
    return cast("Hashable", declared)


def _origin(declared: Any, qualified: str) -> tuple[str, ...]:
    """Where a type is defined, in parts; the last is its name, with those of its arguments."""
    *around, own = f"{declared.__module__}.{qualified}".replace(".<locals>", "").split(".")
    return (*around, own + "".join(pascal_case(title_of(argument)) for argument in typing.get_args(declared)))


def title_of(declared: Any) -> str:
    """Give *declared* as its author would write it, without the modules: ``list[Token]``."""
    return re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", inspect.formatannotation(declared))


def _description_of(cls: type) -> str | None:
    """The docstring that the author wrote, and none that Python made up."""
    text = vars(cls).get("__doc__")
    if not isinstance(text, str) or text.startswith(f"{cls.__name__}(") or text == "An enumeration.":
        return None
    return inspect.cleandoc(text) or None
