"""References: what a client needs to know to call an action."""

from __future__ import annotations

from typing import Any, Generic, final

import attrs
from typing_extensions import TypeForm, TypeVar

# Contravariant: a reference whose input may be None is then also a reference that needs no input, as
# `open_stream_action` expects.
Input = TypeVar("Input", contravariant=True, default=Any)
Chunk = TypeVar("Chunk", default=Any)


@final
@attrs.frozen
class StreamActionReference(Generic[Input, Chunk]):
    """The path, the method and the types of an action.

    ``StreamActionReference("/chat", input=Prompt, chunk=Token | Progress)`` is a
    ``StreamActionReference[Prompt, Token | Progress]``: type checkers infer both from the arguments. A type checker
    without ``TypeForm`` infers ``Any`` for a union.

    Args:
        path: The path of the action, or a full URL. A variable ``{name}`` is filled from the field *name* of the input.
        method: The HTTP method.
        input: The type of the input; ``Any`` for any value, ``Prompt | None`` if the input may be omitted.
        chunk: The type of the chunks; ``Any`` for any JSON value.
        name: The name of the action, for logs.
        description: The description of the action, or None.
    """

    path: str
    method: str = "POST"
    input: TypeForm[Input] = Any
    chunk: TypeForm[Chunk] = Any
    name: str = ""
    description: str | None = None
