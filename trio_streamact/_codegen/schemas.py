"""Describe types as JSON Schema: a chunk as ``_protocol`` encodes it, an input as ``_inputs`` accepts it."""

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
    (datetime, {"type": "string", "format": "date-time"}),  # before `date`: datetime is a subclass of date
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
    """Creates the schemas of types, and collects the definitions that they refer to."""

    def __init__(self) -> None:
        self.definitions = Definitions()
        self._models = Models()

    def finish(self) -> None:
        """Fill in the schemas of pydantic models, which are only known after all types were described."""
        self._models.describe(self.definitions)

    def of(self, declared: Any, mode: Mode) -> Schema:
        """Return the schema of *declared*. For a type that is not known, it is the empty schema: any value."""
        declared = _bare(declared)
        if _is_alias(declared):
            return self._alias(declared, mode)
        if declared is None or declared is type(None):
            return {"type": "null"}
        if is_union(declared):
            return self._union(typing.get_args(declared), mode)
        if typing.get_origin(declared) is Literal:
            return _choice(typing.get_args(declared), mode)
        if is_class(declared, enum.Flag) and mode != "input":  # a combination of flags is sent as an integer
            return {"type": "integer"}
        if is_class(declared, enum.Enum):
            return self._named(declared, mode, lambda: _choice(list(declared), mode))
        for plain, schema in _PLAIN:
            if is_class(declared, plain):
                return dict(schema)
        return self._composed(declared, mode)

    def _composed(self, declared: Any, mode: Mode) -> Schema:
        base = typing.get_origin(declared) or declared
        # pydantic validates its dataclasses as input, but they are encoded like any dataclass.
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
                continue  # UNSET is not a value: it means that the member is absent
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
    """Return the type inside ``Annotated``, ``Required``, ``NewType`` and the like. Aliases stay: they have names."""
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
    if mode == "input":  # members with other values cannot be matched by JSON, so they are not valid input
        return {"enum": [value for value in values if value is None or isinstance(value, (str, int, float))]}
    try:
        return {"enum": [json.loads(encode_chunk(value).removeprefix(b"data: ")) for value in values]}
    except (TypeError, ValueError):  # a member that is not JSON serializable
        return {}


def _tag_of(declared: Any) -> dict[str, Schema]:
    """Return the field that msgspec adds to a tagged struct to distinguish its class."""
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
    except TypeError:  # an annotation of it is not hashable
        return repr(declared)
    return cast("Hashable", declared)


def _origin(declared: Any, qualified: str) -> tuple[str, ...]:
    """Return the module and the qualified name of a type, in parts. The last part includes its arguments."""
    *around, own = f"{declared.__module__}.{qualified}".replace(".<locals>", "").split(".")
    return (*around, own + "".join(pascal_case(title_of(argument)) for argument in typing.get_args(declared)))


def title_of(declared: Any) -> str:
    """Return *declared* in source notation, without modules: ``list[Token]``."""
    return re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", inspect.formatannotation(declared))


def _description_of(cls: type) -> str | None:
    """Return the docstring that the author wrote, or None if Python generated it."""
    text = vars(cls).get("__doc__")
    if not isinstance(text, str) or text.startswith(f"{cls.__name__}(") or text == "An enumeration.":
        return None
    return inspect.cleandoc(text) or None
