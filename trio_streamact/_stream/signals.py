"""The signals of a stream: when it opens, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, final

import attrs
from blinker import ANY, NamedSignal
from quart_trio import QuartTrio

Outcome = Literal["done", "error", "timeout", "rejected", "shutdown", "stalled", "disconnected"]
"""How a stream ended."""


@final
@attrs.frozen(kw_only=True)
class StreamReport:
    """A report about one stream that has ended.

    Args:
        action: The action's name.
        outcome: How the stream ended.
        code: The code of the error that was sent to the client, or None.
        chunks: The number of chunks passed to the server. The client may have read fewer.
        bytes: The number of bytes passed to the server: chunks, ending and heartbeats.
        duration_s: The time from the opening of the stream to the end of its handler, in seconds.
        first_chunk_s: The time from the opening of the stream to its first chunk, in seconds, or None without a chunk.
        waited_s: The time that the handler waited for the client, in seconds.
    """

    action: str
    outcome: Outcome
    code: str | None
    chunks: int
    bytes: int
    duration_s: float
    first_chunk_s: float | None
    waited_s: float


class StreamOpenedReceiver(Protocol):
    """A receiver of ``stream_opened``. It may be async."""

    def __call__(self, app: QuartTrio, /, *, action: str) -> object:
        """Handle a stream of *app* that opens. *action* is the name of its action."""


class StreamEndedReceiver(Protocol):
    """A receiver of ``stream_ended``. It may be async."""

    def __call__(self, app: QuartTrio, /, *, report: StreamReport) -> object:
        """Handle a stream of *app* that has ended."""


Opened = TypeVar("Opened", bound=StreamOpenedReceiver)
Ended = TypeVar("Ended", bound=StreamEndedReceiver)


@final
class StreamOpenedSignal(NamedSignal):
    """The type of the signal ``stream_opened``, with the types of its receivers."""

    if TYPE_CHECKING:

        def connect(self, receiver: Opened, sender: Any = ANY, weak: bool = True) -> Opened:
            """Call *receiver* when a stream of *sender*, an app, opens."""

        def connect_via(self, sender: Any, weak: bool = False) -> Callable[[Opened], Opened]:
            """Return a decorator that connects a receiver."""


@final
class StreamEndedSignal(NamedSignal):
    """The type of the signal ``stream_ended``, with the types of its receivers."""

    if TYPE_CHECKING:

        def connect(self, receiver: Ended, sender: Any = ANY, weak: bool = True) -> Ended:
            """Call *receiver* when a stream of *sender*, an app, has ended."""

        def connect_via(self, sender: Any, weak: bool = False) -> Callable[[Ended], Ended]:
            """Return a decorator that connects a receiver."""


stream_opened: StreamOpenedSignal = StreamOpenedSignal("stream-opened")
"""Sent when a stream opens. Receivers are called with the app and ``action``, the name of the action.

A receiver that is not async runs in Trio's thread, so it must not block.
"""

stream_ended: StreamEndedSignal = StreamEndedSignal("stream-ended")
"""Sent when a stream has ended and its handler has finished. Receivers are called with the app and ``report``, a
``StreamReport``.

For every ``stream_opened`` there is one ``stream_ended``.
"""


def run_inline(receiver: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return an async function that calls *receiver* directly. Quart would call it in a thread, which takes longer."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        return receiver(*args, **kwargs)

    return call
