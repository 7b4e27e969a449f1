"""What must stand around a long stream on quart-trio and hypercorn.

The one place that knows their insides. Each repair names the fault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, final

import attrs
import trio

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "trio_streamact"
WRONG_WORKER = (
    "this app runs on Trio, and was started on another event loop: "
    "start hypercorn with `-k trio`, or serve it with hypercorn.trio.serve"
)

FINISH_S = 1.0
"""How long a finished response may take to be flushed after its stream was closed, in seconds."""


@final
@attrs.frozen
class ServingGuard:
    """The outermost ASGI wrapper of an app with streams."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not trio.lowlevel.in_trio_task():
            await _refuse_to_start(scope, receive, send)
        elif scope["type"] == "http":
            _note_worker(scope, send)
            finish = FinishGuard(receive, send)
            await self.app(scope, finish.receive, finish.send)
        else:
            await self.app(scope, receive, send)


@final
class FinishGuard:
    """Lets the server close a connection behind its last message.

    Fault: on the last ``send`` hypercorn closes its stream, which delivers ``http.disconnect`` while that ``send`` is
    still running; quart-trio answers by cancelling the very task that is about to close or recycle the connection.
    Without this, HTTP/1.0 and ``Connection: close`` clients never see the end, and no connection ever times out.

    So a disconnect that comes while the last message is sent waits until it is; not for ever, since on HTTP/2 that
    ``send`` may wait in a buffer that nobody empties once the connection is closed.
    """

    __slots__ = ("_finished", "_finishing", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._finishing = False
        self._finished = trio.Event()

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await self._send(message)
            return
        self._finishing = True
        try:
            await self._send(message)
        finally:
            self._finished.set()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._finishing:
            with trio.move_on_after(FINISH_S):
                await self._finished.wait()
        return message


async def ask_for_shutdown(scope: Scope) -> bool:
    """Ask the server of this request to stop gracefully; say whether there was one to ask.

    Fault: hypercorn logs a ``KeyboardInterrupt`` or ``SystemExit`` that leaves a request and lives on.
    """
    worker = scope.get("extensions", {}).get(SCOPE_KEY)
    if worker is None:
        return False
    await worker.terminate.set()
    return True


def _note_worker(scope: Scope, send: Send) -> None:
    """Keep hypercorn's worker context where a stream can find it; nothing else in the scope leads there."""
    worker = getattr(getattr(send, "__self__", None), "context", None)
    if hasattr(worker, "terminate") and hasattr(worker, "terminated"):
        scope.setdefault("extensions", {})[SCOPE_KEY] = worker


async def _refuse_to_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what is wrong in the words that the server shows when it starts.

    Fault: without ``-k trio`` hypercorn starts all the same, warns of its lifespan and answers every request 500.
    """
    if scope["type"] != "lifespan":
        raise RuntimeError(WRONG_WORKER)
    await receive()
    await send({"type": "lifespan.startup.failed", "message": WRONG_WORKER})
