"""Validate raw values as the input of an action, and report errors by dotted path.

JSON is validated strictly: a number is not a string, and ``true`` is not 1. Text from a query, a form or a route has
no types, so ``as_json`` first converts it to the JSON that the declared type expects. After that, all input is
validated in the same way. cattrs structures attrs classes, dataclasses, TypedDicts and plain types. pydantic and
msgspec validate their own models and structs. An object with ``validate`` validates the raw value itself.

One idea per file. Each file imports only files before it in this list: ``declared``, ``costs``, ``texts``,
``messages``, ``foreign``, ``hooks``, ``strict``, ``schema``.
"""

from .costs import Bounds, check_json
from .messages import MAX_ERRORS, by_field
from .schema import InputSchema, input_schema
from .texts import UntypedText, as_json

__all__ = ["MAX_ERRORS", "Bounds", "InputSchema", "UntypedText", "as_json", "by_field", "check_json", "input_schema"]
