"""A model behind an OpenAI-compatible server, through the ``openai`` package, which runs under Trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import openai
from attrs import define, field

from trio_streamact import ActionError

if TYPE_CHECKING:
    from .model import Model, Say

TIMEOUT_S = 60.0
"""How long the upstream server may say nothing, in seconds."""


@asynccontextmanager
async def open_upstream(base_url: str, api_key: str, model: str) -> AsyncIterator[Model]:
    """Give the *model* at *base_url*; its connections last as long as the block."""
    # Without retries: a reader rather learns of the failure now, and sends the prompt again.
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=TIMEOUT_S, max_retries=0) as client:
        yield Upstream(client, model).answer


@define
class Upstream:
    """One model of one upstream server."""

    client: openai.AsyncOpenAI = field(repr=False)
    model: str

    async def answer(self, prompt: str, say: Say) -> None:
        """Say what the model says to *prompt*. Cancelled, it hangs up, and so the model stops too.

        Raises:
            ActionError: The upstream server did not do its part; says so in words of ours, never in its own, which
                may quote the key.
        """
        try:
            completion = await self.client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": prompt}], stream=True
            )
            # Whatever ends the block, Stop above all, closes the connection, from which the upstream server learns it.
            async with completion:
                async for chunk in completion:
                    for choice in chunk.choices:
                        if choice.delta.content:
                            await say(choice.delta.content)
        except openai.OpenAIError as error:
            raise _told(error) from None  # not from it: the log shows a cause, and this one may quote the key


def _told(error: openai.OpenAIError) -> ActionError:
    match error:
        case openai.APITimeoutError():
            return ActionError("UPSTREAM_TIMEOUT", "The model's server does not answer", 504)
        case openai.APIConnectionError():
            return ActionError("UPSTREAM_UNREACHABLE", "There is no connection to the model's server", 502)
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ActionError("UPSTREAM_REFUSED", "The model's server does not accept the API key", 502)
        case openai.RateLimitError():
            return ActionError("UPSTREAM_BUSY", "The model's server takes no more requests just now", 429)
        case openai.APIStatusError():
            return ActionError("UPSTREAM_ERROR", f"The model's server answered {error.status_code}", 502)
        case _:
            return ActionError("UPSTREAM_ERROR", "The model's server broke off its answer", 502)
