"""Describe the registered actions as an OpenAPI 3.2 document.

Source: OpenAPI Specification 3.2.0, "Sequential Media Types" and "Special Considerations for Server-Sent Events". An
event is an object of its fields, and its ``data`` is a string. Comments are omitted, so heartbeats are too.
"""

from __future__ import annotations

import re
from typing import Any

from .._protocol.encoding import ERROR_KEY, encode_done
from .definitions import Definition, Schema, replaced
from .description import DescribedAction, Description, object_of
from .names import first_free

_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "QUERY"})
_COMPONENTS = "#/components/schemas/"
_ERROR: Schema = {
    "description": "The error with which a failed stream ends.",
    "type": "object",
    "properties": {
        "code": {"type": "string", "description": "The error, for programs."},
        "message": {"type": "string", "description": "The error, for people."},
        "statusCode": {
            "type": "integer",
            "description": "The HTTP status that describes the error. The response itself has the status 200.",
        },
        "fieldErrors": {
            "type": "object",
            "description": "Error messages by the dotted path of the input field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "retryAfter": {"type": "number", "description": "The time after which to retry, in seconds."},
    },
    "required": ["code", "message", "statusCode"],
}


def openapi(description: Description, title: str) -> dict[str, Any]:
    """Return the OpenAPI document of the actions, as plain JSON values."""
    paths: dict[str, Any] = {}
    taken = {action.export for action in description.actions}
    for action in description.actions:
        path = paths.setdefault(action.route.template, {})
        for method in action.route.methods:
            name = action.export
            if method != action.route.methods[0]:
                name = first_free(f"{name}{method.capitalize()}", taken.__contains__)
            operation = {"operationId": name, **_operation(action, in_query=method in ("GET", "HEAD"))}
            if method in _METHODS:
                path.setdefault(method.lower(), operation)
            else:
                path.setdefault("additionalOperations", {}).setdefault(method, operation)
    schemas = {_component(definition): definition.schema for definition in description.definitions}
    document = {
        "openapi": "3.2.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": {"schemas": {**dict(sorted(schemas.items())), "ActionError": _ERROR}},
    }
    refs = {definition: _COMPONENTS + _component(definition) for definition in description.definitions}
    plain: dict[str, Any] = replaced(document, refs)
    return plain


def _component(definition: Definition) -> str:
    # OpenAPI allows only ASCII in the names of components; Python allows more.
    return re.sub(r"[^A-Za-z0-9_.-]", lambda found: f"u{ord(found[0]):x}", definition.name)


def _operation(action: DescribedAction, *, in_query: bool) -> dict[str, Any]:
    summary, _, more = action.documentation.partition("\n")
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": schema} for name, schema in action.variables.items()
    ]
    body = _without(action.input, action.variables)
    if body is not None and in_query:
        parameters += _query(body)
    operation = {
        "summary": summary,
        "description": more.strip(),
        "parameters": parameters,
        "requestBody": None if body is None or in_query else _body(body),
        "responses": {"200": _stream(action)},
    }
    return {name: member for name, member in operation.items() if member}


def _without(schema: Schema | None, variables: dict[str, Schema]) -> Schema | None:
    """Return the part of an input that the query or the body carries; the path carries *variables*."""
    known = object_of(schema or {})
    if not variables or not known.get("properties"):
        return schema
    properties = {name: member for name, member in known["properties"].items() if name not in variables}
    if len(properties) == len(known["properties"]):
        return schema
    required = [name for name in known.get("required", []) if name in properties]
    left = {**known, "properties": properties, "required": required}
    return left if properties else None


def _query(schema: Schema) -> list[dict[str, Any]]:
    known = object_of(schema)
    if "properties" not in known:
        content = {"application/x-www-form-urlencoded": {"schema": schema}}
        return [{"name": "query", "in": "querystring", "content": content}]
    required = known.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, **_query_value(member)}
        for name, member in known["properties"].items()
    ]


def _query_value(schema: Schema) -> dict[str, Any]:
    # In a query, an object is JSON text. A list may be JSON text too, but OpenAPI expects a repeated name.
    if object_of(schema).get("type") == "object":
        return {"content": {"application/json": {"schema": schema}}}
    return {"schema": schema}


def _body(schema: Schema) -> dict[str, Any]:
    known = object_of(schema)  # an empty body counts as an empty object, so any other type requires a body
    required = bool(known.get("required")) or ("type" in known and known["type"] != "object")
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _stream(action: DescribedAction) -> dict[str, Any]:
    return {
        "description": "The chunks, then one last event, the ending: done, or an error.",
        "content": {"text/event-stream": {"itemSchema": {"anyOf": [_chunk(action), *_endings(action)]}}},
    }


def _chunk(action: DescribedAction) -> Schema:
    return _event("A chunk.", _json(action.chunk))


def _endings(action: DescribedAction) -> list[Schema]:
    error = {"$ref": f"{_COMPONENTS}ActionError"}
    if action.dialect == "named":
        return [
            _event("The stream is complete.", {"const": _data(encode_done("named"))}, "done"),
            _event("The stream failed.", _json(error), "error"),
        ]
    marked = {"type": "object", "properties": {ERROR_KEY: error}, "required": [ERROR_KEY]}
    return [
        _event("The stream is complete.", {"const": _data(encode_done("marked"))}),
        _event("The stream failed.", _json(marked)),
    ]


def _event(description: str, data: Schema, name: str = "") -> Schema:
    properties = {"data": data, **({"event": {"const": name}} if name else {})}
    return {"description": description, "type": "object", "properties": properties, "required": sorted(properties)}


def _json(schema: Schema) -> Schema:
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}


def _data(frame: bytes) -> str:
    return frame.decode().partition("data: ")[2].strip()
