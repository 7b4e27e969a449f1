"""Which model answers: the word generator, or an OpenAI-compatible server where the environment names one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from .words import answer_in_words

Say = Callable[[str], Awaitable[None]]
Model = Callable[[str, Say], Awaitable[None]]
"""Says its answer to a prompt piece by piece. Cancelled, it stops, and leaves nothing running anywhere."""


@asynccontextmanager
async def open_model() -> AsyncIterator[Model]:
    """Give the model, for as long as the app is served.

    With ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` set it is the one that ``OPENAI_MODEL`` names there.
    """
    base_url, api_key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if not (base_url and api_key):
        yield answer_in_words
        return

    from .upstream import open_upstream  # nobody else needs the openai package

    async with open_upstream(base_url, api_key, os.environ.get("OPENAI_MODEL") or "gpt-4o-mini") as upstream:
        yield upstream
