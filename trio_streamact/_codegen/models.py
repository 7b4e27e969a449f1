"""Models of pydantic, described by pydantic itself."""

from __future__ import annotations

from typing import Any, final

from .definitions import Definitions, Schema
from .fields import Mode
from .names import pascal_case

_MODES: dict[Mode, Any] = {"input": "validation", "chunk": "serialization"}
_NAMES_ARE_KEYS = ("properties", "patternProperties", "dependentSchemas")
_VALUES = ("const", "default", "enum", "examples", "required")
_LEFT_OUT = ("title", "discriminator")  # pydantic titles everything; what discriminates stands in the members too


@final
class Models:
    """The models that were met. Described all at once, since only so does pydantic tell those of one name apart."""

    def __init__(self) -> None:
        self._met: list[tuple[Any, Mode, Schema]] = []

    def ref(self, model: Any, mode: Mode) -> Schema:
        """Give what will be the schema of *model* once all are described."""
        schema: Schema = {"pydantic": len(self._met)}
        self._met.append((model, mode, schema))
        return schema

    def describe(self, definitions: Definitions) -> None:
        """Fill in all schemas that were given."""
        for mode in _MODES:
            met = [(model, schema) for model, of, schema in self._met if of == mode]
            if met:
                _describe([model for model, _ in met], [schema for _, schema in met], mode, definitions)


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
            elif key not in _LEFT_OUT:
                made[key] = member if key in _VALUES else converted(member)
        return made

    for number, schema in enumerate(schemas):
        schema.clear()
        schema.update(converted(found[number, _MODES[mode]]))


def _origin(name: str) -> tuple[str, ...]:
    return (name if _is_plain(name) else pascal_case(name),)


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not name.endswith("_") and "__" not in name  # else pydantic put it together


def _generator() -> type[Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        """Pydantic's own, but that a chunk always has its fields with defaults, and nothing is refused or warned of."""

        def emit_warning(self, kind: Any, detail: str) -> None:
            """Say nothing: what cannot be described is unknown."""

        def field_is_required(self, field: Any, total: bool) -> bool:
            if self.mode == "serialization" and field["type"] != "typed-dict-field":
                return field.get("serialization_exclude_if") is None
            return super().field_is_required(field, total)

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Any:  # noqa: ARG002 - pydantic's
            return {}

    return Generator
