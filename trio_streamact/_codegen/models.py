"""Describe pydantic models; pydantic itself generates their schemas."""

from __future__ import annotations

from typing import Any, final

from .definitions import Definitions, Schema
from .fields import Mode
from .names import pascal_case

_MODES: dict[Mode, Any] = {"input": "validation", "chunk": "serialization"}
_NAMES_ARE_KEYS = ("properties", "patternProperties", "dependentSchemas")
_VALUES = ("const", "default", "enum", "examples", "required")
_OMITTED = ("title", "discriminator")  # pydantic adds titles everywhere; the members already contain the discriminator


@final
class Models:
    """The pydantic models that were found. All are described at once, because only then does pydantic choose different
    names for models of the same name."""

    def __init__(self) -> None:
        self._found: list[tuple[Any, Mode, Schema]] = []

    def ref(self, model: Any, mode: Mode) -> Schema:
        """Return a placeholder for the schema of *model*. ``describe`` fills it in."""
        schema: Schema = {"pydantic": len(self._found)}
        self._found.append((model, mode, schema))
        return schema

    def describe(self, definitions: Definitions) -> None:
        """Fill in all placeholders."""
        for mode in _MODES:
            found = [(model, schema) for model, of, schema in self._found if of == mode]
            if found:
                _describe([model for model, _ in found], [schema for _, schema in found], mode, definitions)


def _describe(models: list[Any], schemas: list[Schema], mode: Mode, definitions: Definitions) -> None:
    import pydantic

    adapter = pydantic.TypeAdapter
    inputs = [
        (number, _MODES[mode], model if isinstance(model, adapter) else adapter(model))
        for number, model in enumerate(models)
    ]
    found, rest = adapter.json_schemas(inputs, ref_template="{model}", schema_generator=_generator())
    named = rest.get("$defs", {})

    def ref(name: str) -> Schema:
        return definitions.ref(("pydantic", name), mode, _origin(name), lambda: converted(named[name]))

    def converted(schema: Any) -> Any:
        if not isinstance(schema, dict):
            return [converted(item) for item in schema] if isinstance(schema, list) else schema
        made: Schema = {}
        for key, member in schema.items():
            if key == "$ref":
                made |= ref(member)
            elif key in _NAMES_ARE_KEYS:
                made[key] = {name: converted(of_name) for name, of_name in member.items()}
            elif key not in _OMITTED:
                made[key] = member if key in _VALUES else converted(member)
        return made

    for number, schema in enumerate(schemas):
        schema.clear()
        schema.update(converted(found[number, _MODES[mode]]))


def _origin(name: str) -> tuple[str, ...]:
    return (name if _is_plain(name) else pascal_case(name),)


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not name.endswith("_") and "__" not in name  # else pydantic composed the name


def _generator() -> type[Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        """Pydantic's generator, except that fields with defaults are required in a chunk, and that a type without a
        schema is not an error."""

        def emit_warning(self, kind: Any, detail: str) -> None:
            """Do not warn: a type without a schema is described as unknown."""

        def field_is_required(self, field: Any, total: bool) -> bool:
            if self.mode == "serialization" and field["type"] != "typed-dict-field":
                return field.get("serialization_exclude_if") is None
            return super().field_is_required(field, total)

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Any:  # noqa: ARG002 - pydantic's
            return {}

    return Generator
