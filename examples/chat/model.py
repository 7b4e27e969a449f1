"""The model that answers: the word generator, or an OpenAI-compatible server if the environment names one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from .words import answer_in_words

Send = Callable[[str], Awaitable[None]]
Model = Callable[[str, Send], Awaitable[None]]
"""Sends its answer to a prompt in pieces. If it is cancelled, it stops, here and on its server."""


@asynccontextmanager
async def open_model() -> AsyncIterator[Model]:
    """Yield the model while the app is served.

    If ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` are set, it is the model ``OPENAI_MODEL`` on that server.
    """
    base_url, api_key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if not (base_url and api_key):
        yield answer_in_words
        return

    from .upstream import open_upstream  # only this import needs the openai package

    async with open_upstream(base_url, api_key, os.environ.get("OPENAI_MODEL") or "gpt-4o-mini") as upstream:
        yield upstream
