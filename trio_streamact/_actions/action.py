"""What is known of a stream action, and the settings that an app has for all of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import Any, final
from weakref import WeakKeyDictionary

import attrs
from quart import Request

from .._inputs import InputSchema
from .._protocol.encoding import Dialect
from .._stream.body import BodySettings
from .._stream.error_mapping import to_action_error
from ..errors import ServerErrorHandler, stream_error
from ..limits import Limits
from .capacity import Room
from .signature import NamedCall

SETTINGS = "trio_streamact.settings"
"""The key of ``app.extensions`` below which an app's ``AppActions`` are."""

Handler = Callable[..., Awaitable[None]]
"""An async function that sends the chunks: its parameters are ``stream``, and any of ``input``, ``request``, ``ctx``
and ``metadata``, by these names."""
ClientKey = Callable[[Request, Mapping[str, Any]], Hashable]
"""Tells clients apart, by the request and the context of the middleware; None is no client in particular."""
Guard = Callable[..., Awaitable[Mapping[str, Any] | None] | AsyncIterator[Mapping[str, Any] | None]]
"""An async function that returns a mapping to merge into ``ctx``, or None, or an async generator function that yields
one. Its parameters are any of ``request``, ``ctx`` and ``metadata``."""
Middleware = Callable[..., Awaitable[Mapping[str, Any] | None] | AsyncIterator[Mapping[str, Any] | None]]
"""The same, and ``input`` may be a parameter too."""


def remote_address(request: Request, ctx: Mapping[str, Any]) -> Hashable:  # noqa: ARG001 - see ClientKey
    """Tell clients apart by their address, which behind a proxy is the proxy's."""
    return request.remote_addr


@final
@attrs.frozen(kw_only=True, eq=False)
class StreamAction:
    """What is known of a stream action.

    Args:
        name: What references and reports call it: the handler's name, unless its author gave another.
        description: The handler's docstring, or None.
        input: The declared input type, ``Any`` where every value passes.
        chunk: The ``T`` of the handler's ``Stream[T]``, ``Any`` where it says nothing.
        metadata: What the author says of it, for middleware and logs.
        limits: Its own limits, or None for those of the app that serves it.
        dialect: Its own dialect, or None for the app's.
        handle_server_error: Its own, or None for the app's.
    """

    name: str
    description: str | None
    input: Any
    chunk: Any
    metadata: Mapping[str, Any]
    limits: Limits | None
    dialect: Dialect | None
    handle_server_error: ServerErrorHandler | None
    _room: Room | None = attrs.field(repr=False)
    _handler: NamedCall = attrs.field(repr=False)
    _guards: tuple[NamedCall, ...] = attrs.field(repr=False)
    _middleware: tuple[NamedCall, ...] = attrs.field(repr=False)
    _schema: InputSchema = attrs.field(repr=False)
    # For each request, so found once.
    takes_input: bool = attrs.field(init=False, repr=False)
    _wraps: bool = attrs.field(init=False, repr=False)

    @takes_input.default
    def _takes_input(self) -> bool:
        """Whether anybody looks at what a client gives to the action, and so could miss it."""
        return self.input is not Any or any("input" in call.names for call in (self._handler, *self._middleware))

    @_wraps.default
    def _is_wrapped(self) -> bool:
        return any(call.wraps for call in (*self._guards, *self._middleware))


@final
@attrs.frozen(kw_only=True, eq=False)
class AppSettings:
    """What holds for the actions of one ``StreamActions`` where they have nothing of their own."""

    room: Room = attrs.field(factory=lambda: Room(Limits()))
    dialect: Dialect = "marked"
    handle_server_error: ServerErrorHandler | None = None
    client_key: ClientKey = remote_address
    origins: frozenset[str] = frozenset()
    _of_bodies: WeakKeyDictionary[StreamAction, BodySettings] = attrs.field(factory=WeakKeyDictionary, init=False)

    def room_of(self, action: StreamAction) -> Room:
        """Return the room in which the streams of *action* are counted."""
        return action._room or self.room

    def of_bodies(self, action: StreamAction) -> BodySettings:
        """Return what the streams of *action* have in common where these settings hold."""
        settings = self._of_bodies.get(action)
        if settings is None:
            handle = action.handle_server_error or self.handle_server_error
            settings = self._of_bodies[action] = BodySettings(
                action=action.name,
                limits=self.room_of(action).limits,
                dialect=action.dialect or self.dialect,
                to_error=partial(to_action_error, handle_server_error=handle, fallback=stream_error()),
            )
        return settings


@final
@attrs.define(eq=False)
class AppActions:
    """The settings of one app: those of each ``StreamActions`` for the endpoints that it has registered, and its first
    one's for the actions that were registered without any, on a blueprint or by ``app.post``."""

    default: AppSettings
    by_endpoint: dict[str, AppSettings] = attrs.field(factory=dict, init=False)

    def at(self, endpoint: str | None) -> AppSettings:
        """Return the settings that hold for a request of *endpoint*."""
        return self.by_endpoint.get(endpoint or "", self.default)
