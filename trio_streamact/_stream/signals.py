"""What is said of a stream to whoever listens: when it opens, and how it ended."""

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
    """How one stream went.

    Args:
        action: The action's name.
        outcome: How it ended.
        code: The code of the error that the client was told, or None.
        chunks: Chunks handed to the server. What a client really read, only the client knows.
        bytes: Bytes of the body handed to the server, frames, endings and heartbeats alike.
        duration_s: Seconds from its opening to the end of its handler.
        first_chunk_s: Seconds from its opening to its first chunk, or None where there was none.
        waited_s: Seconds for which the handler waited for the client.
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
    """A function of the app, and of the action's name; it may be async."""

    def __call__(self, app: QuartTrio, /, *, action: str) -> object:
        """Take notice of a stream that opens."""


class StreamEndedReceiver(Protocol):
    """A function of the app, and of the report of a stream; it may be async."""

    def __call__(self, app: QuartTrio, /, *, report: StreamReport) -> object:
        """Take notice of a stream that has ended."""


Opened = TypeVar("Opened", bound=StreamOpenedReceiver)
Ended = TypeVar("Ended", bound=StreamEndedReceiver)


@final
class StreamOpenedSignal(NamedSignal):
    """The signal ``stream_opened``, of which type checkers know what its receivers get."""

    if TYPE_CHECKING:

        def connect(self, receiver: Opened, sender: Any = ANY, weak: bool = True) -> Opened:
            """Call *receiver* when a stream of *sender*, an app, opens."""

        def connect_via(self, sender: Any, weak: bool = False) -> Callable[[Opened], Opened]:
            """Decorate a receiver."""


@final
class StreamEndedSignal(NamedSignal):
    """The signal ``stream_ended``, of which type checkers know what its receivers get."""

    if TYPE_CHECKING:

        def connect(self, receiver: Ended, sender: Any = ANY, weak: bool = True) -> Ended:
            """Call *receiver* when a stream of *sender*, an app, has ended."""

        def connect_via(self, sender: Any, weak: bool = False) -> Callable[[Ended], Ended]:
            """Decorate a receiver."""


stream_opened: StreamOpenedSignal = StreamOpenedSignal("stream-opened")
"""A stream opens. Receivers get the app and ``action``, the action's name.

A receiver that is no coroutine function runs on the event loop, so it must not block.
"""

stream_ended: StreamEndedSignal = StreamEndedSignal("stream-ended")
"""A stream has ended, its handler over. Receivers get the app and ``report``, a ``StreamReport``.

For every ``stream_opened`` there is one ``stream_ended``.
"""


def run_inline(receiver: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Make an async function of a plain receiver, without Quart's detour through a thread: a stream has no time."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        return receiver(*args, **kwargs)

    return call
