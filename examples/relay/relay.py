"""A relay between a client and another service: it forwards words, the cancellation and errors.

    client                      this service                       the other service
      | POST /relayed-chat ------> | POST /ai-chat -----------------> |
      | <----------------- a word | <------------------------- a word |
      x leaves ------------> cancelled, leaves -------------> cancelled

This needs one ``async with`` and one ``async for``:

- If the client disconnects, the handler is cancelled. So it leaves the block. This cancels the other handler.
- If the client reads slowly, ``send`` waits. Then this service reads nothing, and the other one's ``send`` waits, too.
- If the other service or the network fails, the block raises an ``ActionError``. It is sent to the client unchanged.

The demo serves the relay, and is also the other service. To run the relay as a service of its own:

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
    """Answer a prompt with the answer of another service."""
    async with open_stream_action(upstream_url(request) + CHAT, input, chunk=Token, timeout=30) as words:
        async for word in words:
            await stream.send(word)


def upstream_url(request: Request) -> str:
    """Return the URL of the other service: ``UPSTREAM_URL`` of the app's configuration, else this server itself.

    The request's ``Host`` is not used, because the client chooses it.
    """
    if url := current_app.config.get("UPSTREAM_URL"):
        return str(url)
    if (server := request.scope["server"]) is None:
        raise RuntimeError("the app is served on a UNIX socket, which has no address: set UPSTREAM_URL")
    host, port = server
    return f"http://{host}:{port}"


def create_app(upstream: str | None = None) -> QuartTrio:
    """Return an app that serves only the relay."""
    app = QuartTrio(__name__)
    app.config["UPSTREAM_URL"] = upstream or os.environ["UPSTREAM_URL"]
    StreamActions(app).post("/relayed-chat")(relayed_chat)
    return app
