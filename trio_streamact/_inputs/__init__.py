"""Raw values to validated input, and what is wrong with them by dotted path.

JSON is taken strictly: a number is not a string and ``true`` is not 1. Text (of a query, a form, a route) has no
types of its own, so it is first turned into the JSON that the declared type asks for (``as_json``); from there on
there is one way. attrs classes, dataclasses, TypedDicts and plain types are structured by cattrs; pydantic models and
msgspec structs by their own libraries; an object with ``validate`` does what it likes.

One idea a file, each of which knows only those before it: ``declared``, ``costs``, ``texts``, ``messages``,
``foreign``, ``hooks``, ``strict``, ``schema``.
"""

from .costs import Bounds, check_json
from .messages import MAX_ERRORS, by_field
from .schema import InputSchema, input_schema
from .texts import Text, as_json

__all__ = ["MAX_ERRORS", "Bounds", "InputSchema", "Text", "as_json", "by_field", "check_json", "input_schema"]
