"""The action of the chat. It does not depend on an app; ``examples/demo.py`` registers it."""

from __future__ import annotations

from attrs import Attribute, define, field, validators
from quart import current_app

from trio_streamact import Stream, define_stream_action

from .model import Model


@define
class Prompt:
    prompt: str = field(validator=validators.max_len(2000))

    @prompt.validator
    def _is_not_blank(self, _: Attribute[str], value: str) -> None:
        if not value.strip():
            raise ValueError("Write something first")


@define
class Token:
    text: str


@define_stream_action
async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
    """Answer a prompt, a few letters or words at a time."""
    model: Model = current_app.config["MODEL"]

    async def send(text: str) -> None:
        await stream.send(Token(text))

    await model(input.prompt, send)
