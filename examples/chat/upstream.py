"""A model on an OpenAI-compatible server, through the ``openai`` package, which supports Trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import openai
from attrs import define, field

from trio_streamact import ActionError

if TYPE_CHECKING:
    from .model import Model, Send

TIMEOUT_S = 60.0
"""The longest time without data from the upstream server, in seconds."""


@asynccontextmanager
async def open_upstream(base_url: str, api_key: str, model: str) -> AsyncIterator[Model]:
    """Yield the *model* at *base_url*. At the end of the block, its connections are closed."""
    # No retries: the user sees the failure at once, and can send the prompt again.
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=TIMEOUT_S, max_retries=0) as client:
        yield Upstream(client, model).answer


@define
class Upstream:
    """One model of one upstream server."""

    client: openai.AsyncOpenAI = field(repr=False)
    model: str

    async def answer(self, prompt: str, send: Send) -> None:
        """Send the answer of the model to *prompt*. If this is cancelled, the connection is closed, so the model stops.

        Raises:
            ActionError: The upstream server failed. The message does not contain text of the server, because that may
                contain the API key.
        """
        try:
            completion = await self.client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": prompt}], stream=True
            )
            # However the block ends, for example by Stop, it closes the connection. So the upstream server stops, too.
            async with completion:
                async for chunk in completion:
                    for choice in chunk.choices:
                        if choice.delta.content:
                            await send(choice.delta.content)
        except openai.OpenAIError as error:
            raise _action_error(error) from None  # not from it: a cause is logged, and this one may contain the API key


def _action_error(error: openai.OpenAIError) -> ActionError:
    match error:
        case openai.APITimeoutError():
            return ActionError("UPSTREAM_TIMEOUT", "The model's server did not respond in time", 504)
        case openai.APIConnectionError():
            return ActionError("UPSTREAM_UNREACHABLE", "The model's server cannot be reached", 502)
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ActionError("UPSTREAM_REFUSED", "The model's server does not accept the API key", 502)
        case openai.RateLimitError():
            return ActionError("UPSTREAM_BUSY", "The model's server accepts no more requests at the moment", 429)
        case openai.APIStatusError():
            return ActionError("UPSTREAM_ERROR", f"The model's server answered {error.status_code}", 502)
        case _:
            return ActionError("UPSTREAM_ERROR", "The model's server did not complete its answer", 502)
