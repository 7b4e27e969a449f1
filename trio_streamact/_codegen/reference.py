"""A reference: all that a client must know of an action to call it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, final

import attrs

Input = TypeVar("Input")
Chunk = TypeVar("Chunk")


@final
@attrs.frozen
class StreamActionReference(Generic[Input, Chunk]):
    """Where an action is served, how it is called, and what it takes and sends.

    Args:
        path: Its path, or a whole URL; a variable stands in it as ``{name}`` and is filled from the input.
        method: The HTTP method.
        input: What it takes, ``Any`` for anything.
        chunk: What it sends, ``Any`` for any JSON.
        name: What it is called, for logs.
        description: What it does, or None.
    """

    path: str
    method: str = "POST"
    input: Any = Any
    chunk: Any = Any
    name: str = ""
    description: str | None = None
