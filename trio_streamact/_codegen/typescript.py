"""Write the registered actions as TypeScript declarations that import nothing."""

from __future__ import annotations

import textwrap
from typing import Any

from .definitions import Definition, Schema
from .description import DescribedAction, Description, object_of
from .javascript import GENERATED_BY, text

LINE = 110
"""The longest union on one line, in characters."""

EXACT = 2**53
"""The largest integer that a JavaScript number represents exactly."""

_PLAIN = {"boolean": "boolean", "integer": "number", "null": "null", "number": "number", "string": "string"}


def typescript(description: Description, *, with_docs: bool = True) -> str:
    """Return the text of ``actions.d.ts``; *with_docs* includes the docstrings of the actions and their types."""
    parts = [f"// {GENERATED_BY}"]
    for definition in sorted(description.definitions, key=lambda each: each.name):
        docs = definition.schema.get("description", "") if with_docs else ""
        parts.append(documented(docs, _definition(definition, with_docs)))
    parts += [documented(action.documentation if with_docs else "", _action(action)) for action in description.actions]
    parts += ["export {};"] if len(parts) == 1 else []
    return "\n\n".join(parts) + "\n"


def documented(docs: str, declaration: str) -> str:
    """Return *declaration* with *docs* as a comment above it."""
    lines = docs.replace("*/", "*\\/").splitlines()
    if not lines:
        return declaration
    if len(lines) == 1:
        return f"/** {lines[0]} */\n{declaration}"
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in lines), " */", declaration])


def _action(action: DescribedAction) -> str:
    return "\n".join(
        [
            f"export declare const {action.export}: {{",
            f"  readonly name: {text(action.name)};",
            "  readonly path: string;",
            f"  readonly method: {text(action.route.methods[0])};",
            f"  readonly __types?: {{ input: {_input(action)}; chunk: {type_of(action.chunk)} }};",
            "};",
        ]
    )


def _input(action: DescribedAction) -> str:
    """Return the type of the input for clients: the declared input, and the variables that are only in the path."""
    taken = action.input
    required = object_of(taken or {}).get("required", [])
    missing = {name: schema for name, schema in action.variables.items() if name not in required}
    if not missing:
        return "void" if taken is None else type_of(taken)
    variables: Schema = {"type": "object", "properties": missing, "required": list(missing)}
    if not taken:
        return type_of(variables if taken is None else {**variables, "additionalProperties": True})
    return type_of({"allOf": [taken, variables]})


def _definition(definition: Definition, with_docs: bool) -> str:
    schema, name = definition.schema, definition.name
    if "properties" in schema and not _is_intersection(schema):
        members = textwrap.indent("\n".join(_members(schema, with_docs)), "  ")
        return f"export interface {name} {{\n{members}\n}}" if members else f"export interface {name} {{}}"
    if len(written := type_of(schema)) <= LINE:
        return f"export type {name} = {written};"
    return "\n".join([f"export type {name} =", *(f"  | {choice}" for choice in _choices(schema))]) + ";"


def type_of(schema: Any) -> str:
    """Return the TypeScript type of *schema*."""
    return " | ".join(_choices(schema))


def _choices(schema: Any) -> list[str]:
    if isinstance(schema, bool):
        return ["unknown" if schema else "never"]
    if "$ref" in schema:
        return [schema["$ref"].name]
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return _distinct([_literal(value) for value in values]) or ["never"]
    if members := schema.get("anyOf") or schema.get("oneOf"):
        return _distinct([choice for member in members for choice in _choices(member)])
    if "allOf" in schema:
        return [" & ".join(map(_atom, schema["allOf"]))]
    kinds = schema.get("type", "object" if "properties" in schema else None)
    return _distinct([_of_kind(kind, schema) for kind in (kinds if isinstance(kinds, list) else [kinds])])


def _of_kind(kind: str | None, schema: Schema) -> str:
    if kind == "array":
        return _tuple(schema) if "prefixItems" in schema or schema.get("maxItems") == 0 else _list(schema)
    return _object(schema) if kind == "object" else _PLAIN.get(kind or "", "unknown")


def _distinct(choices: list[str]) -> list[str]:
    return ["unknown"] if "unknown" in choices else list(dict.fromkeys(choices))


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {'; '.join(f'{_key(name)}: {_literal(member)}' for name, member in value.items())} }}"
    return "number" if abs(value) > EXACT else repr(value)


def _list(schema: Schema) -> str:
    return f"{_atom(schema.get('items', True))}[]"


def _tuple(schema: Schema) -> str:
    items = schema.get("prefixItems", [])
    needed = schema.get("minItems", 0)
    written = []
    for number, item in enumerate(items):
        optional = "" if number < needed else "?"
        written.append(f"{item['title']}{optional}: {type_of(item)}" if "title" in item else f"{_atom(item)}{optional}")
    if schema.get("items") is not False and schema.get("maxItems", len(items) + 1) > len(items):
        rest = _list(schema)
        written.append(f"...rest: {rest}" if items and "title" in items[0] else f"...{rest}")
    return f"[{', '.join(written)}]"


def _object(schema: Schema) -> str:
    if _is_intersection(schema):
        named = {**schema, "additionalProperties": False}
        return f"{_object(named)} & {{ {_index(schema)}; }}"
    members = " ".join(_members(schema, with_docs=False)).removesuffix(";")
    return f"{{ {members} }}" if members else "{}"


def _members(schema: Schema, with_docs: bool) -> list[str]:
    members = []
    for name, member in schema.get("properties", {}).items():
        optional = "" if name in schema.get("required", []) else "?"
        docs = member.get("description", "") if with_docs and isinstance(member, dict) else ""
        members.append(documented(docs, f"{_key(name)}{optional}: {type_of(member)};"))
    return [*members, f"{index};"] if (index := _index(schema)) else members


def _index(schema: Schema) -> str:
    """Return the index signature for the members that are not named in *schema*, or ""."""
    others = schema.get("additionalProperties", "properties" not in schema)
    if patterns := schema.get("patternProperties"):
        others = {"anyOf": list(patterns.values())}
    if others is False:
        return ""
    names = object_of(schema.get("propertyNames", {}))
    if "enum" in names:
        return f"[key in {type_of(names)}]?: {type_of(others)}"
    return f"[key: string]: {type_of(others)}"


def _is_intersection(schema: Schema) -> bool:
    """Return True if *schema* must be an intersection: an index signature restricts the types of named members."""
    index = _index(schema) if schema.get("properties") else ""
    return "allOf" in schema or (index != "" and not index.endswith(": unknown"))


def _atom(schema: Any) -> str:
    written = type_of(schema)
    is_composed = len(_choices(schema)) > 1 or (isinstance(schema, dict) and _is_intersection(schema))
    return f"({written})" if is_composed else written


def _key(name: str) -> str:
    return name if name.isidentifier() else text(name)
