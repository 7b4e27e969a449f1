"""Generate what clients import, from the registered actions: typed references for JavaScript and TypeScript, OpenAPI.

Types are first described as JSON Schema, in two modes: a field with a default is optional in an input, but always
present in a chunk. TypeScript and OpenAPI are written from these schemas.

One idea per file. Each file imports only files before it in this list: ``reference``, ``names``, ``fields``,
``definitions``, ``models``, ``schemas``, ``description``, ``javascript``, ``typescript``, ``openapi``, ``assets``,
``cli``.
"""

from .description import Description, describe
from .javascript import javascript
from .names import NameCollisionError, check_names
from .openapi import openapi
from .reference import StreamActionReference
from .schemas import title_of
from .typescript import typescript

__all__ = [
    "Description",
    "NameCollisionError",
    "StreamActionReference",
    "check_names",
    "describe",
    "javascript",
    "openapi",
    "title_of",
    "typescript",
]
