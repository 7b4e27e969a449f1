"""A reference: all that a client must know of an action to call it."""

from __future__ import annotations

from typing import Any, Generic, final

import attrs
from typing_extensions import TypeForm, TypeVar

# Contravariant, so that a reference whose input may be None is one that needs no input: see `open_stream_action`.
Input = TypeVar("Input", contravariant=True, default=Any)
Chunk = TypeVar("Chunk", default=Any)


@final
@attrs.frozen
class StreamActionReference(Generic[Input, Chunk]):
    """Where an action is served, how it is called, and what it takes and sends.

    ``StreamActionReference("/chat", input=Prompt, chunk=Token | Progress)`` is a
    ``StreamActionReference[Prompt, Token | Progress]``: type checkers infer both from the arguments. One that does not
    know ``TypeForm`` takes a union for ``Any``.

    Args:
        path: Its path, or a whole URL; a variable stands in it as ``{name}`` and is filled from the input.
        method: The HTTP method.
        input: The type that it takes, ``Any`` for anything; ``Prompt | None`` where the input may be left out.
        chunk: The type that it sends, ``Any`` for any JSON.
        name: What it is called, for logs.
        description: What it does, or None.
    """

    path: str
    method: str = "POST"
    input: TypeForm[Input] = Any
    chunk: TypeForm[Chunk] = Any
    name: str = ""
    description: str | None = None
