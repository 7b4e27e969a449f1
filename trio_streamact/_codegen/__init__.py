"""Registered actions as what clients import: typed references for JavaScript and TypeScript, and OpenAPI.

Types are described as JSON Schema in two modes, since a field with a default may be left out of an input and is always
there in a chunk; TypeScript and OpenAPI are two ways to write that down. One idea a file, each of which knows only
those before it: ``reference``, ``names``, ``fields``, ``definitions``, ``models``, ``schemas``,
``description``, ``javascript``, ``typescript``, ``openapi``, ``assets``, ``cli``.
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
