"""A service between the reader and another service: it passes words on as they come, and Stop, and errors.

    reader                      this service                       the other service
      | POST /relayed-chat ------> | POST /ai-chat -----------------> |
      | <----------------- a word | <------------------------- a word |
      x leaves ------------> cancelled, leaves -------------> cancelled

All of it is one ``async with`` and one ``async for``. A reader who leaves cancels the handler, which so leaves the
block, which cancels the other service's handler. A reader who is slow makes ``send`` wait; then nothing more is read
from the other service, whose own ``send`` waits in turn. What the other service fails with, or the network between,
is an ``ActionError``, and what a handler raises as one is told to the reader as it is.

The demo serves it, and is its own other service there. As a service of its own:

    UPSTREAM_URL=http://127.0.0.1:8000 hypercorn -k trio -b 127.0.0.1:8001 'examples.relay.relay:create_app()'
    curl -N --json '{"prompt": "Hi"}' http://127.0.0.1:8001/api/_actions/relayed-chat
"""

from __future__ import annotations

import os

from quart import Request, current_app
from quart_trio import QuartTrio

from examples.chat.chat import Prompt, Token
from trio_streamact import Stream, StreamActions, define_stream_action
from trio_streamact.client import open_stream_action

CHAT = "/api/_actions/ai-chat"


@define_stream_action
async def relayed_chat(input: Prompt, request: Request, stream: Stream[Token]) -> None:
    """Answer a prompt with what another service answers."""
    async with open_stream_action(upstream_url(request) + CHAT, input, chunk=Token, timeout=30) as words:
        async for word in words:
            await stream.send(word)


def upstream_url(request: Request) -> str:
    """Where the other service is: where the app's configuration says, else where this server itself listens.

    Not where the request says that it was sent to: its ``Host`` is the reader's to choose.
    """
    if url := current_app.config.get("UPSTREAM_URL"):
        return str(url)
    host, port = request.scope["server"]  # type: ignore[misc]  # ASGI lets a server not say, and hypercorn does
    return f"http://{host}:{port}"


def create_app(upstream: str | None = None) -> QuartTrio:
    """Make the relay a service of its own."""
    app = QuartTrio(__name__)
    app.config["UPSTREAM_URL"] = upstream or os.environ["UPSTREAM_URL"]
    StreamActions(app).post("/relayed-chat")(relayed_chat)
    return app
