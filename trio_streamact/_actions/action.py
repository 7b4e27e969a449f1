"""The definition of a stream action, and the settings that an app has for its actions."""

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
from .capacity import StreamLimiter
from .signature import NamedCall

SETTINGS = "trio_streamact.settings"
"""The key of an app's ``AppActions`` in ``app.extensions``."""

Handler = Callable[..., Awaitable[None]]
"""An async function that sends the chunks of a stream.

It is called with keyword arguments: ``stream``, and any of ``input``, ``request``, ``ctx`` and ``metadata``."""
ClientKey = Callable[[Request, Mapping[str, Any]], Hashable]
"""Returns a key that identifies the client, from the request and the ``ctx`` of guards and middleware.

None means an unknown client, to which no limit per client applies."""
Guard = Callable[..., Awaitable[Mapping[str, Any] | None] | AsyncIterator[Mapping[str, Any] | None]]
"""An async function that returns a mapping or None, or an async generator function that yields a mapping or None.

The mapping is merged into ``ctx``. The parameters are any of ``request``, ``ctx`` and ``metadata``."""
Middleware = Callable[..., Awaitable[Mapping[str, Any] | None] | AsyncIterator[Mapping[str, Any] | None]]
"""Like ``Guard``, but it may also have the parameter ``input``."""


def remote_address(request: Request, ctx: Mapping[str, Any]) -> Hashable:  # noqa: ARG001 - see ClientKey
    """Return the address of the client, or of the last proxy if requests pass through proxies."""
    return request.remote_addr


@final
@attrs.frozen(kw_only=True, eq=False)
class StreamAction:
    """The definition of a stream action.

    Args:
        name: Its name in references and reports: the ``name`` option, or else the name of the handler.
        description: The docstring of the handler, or None.
        input: The declared input type, or ``Any`` if every value is valid.
        chunk: The ``T`` of the handler's ``Stream[T]``, or ``Any`` if the handler does not declare it.
        metadata: The ``metadata`` option, for guards, middleware and logs.
        limits: The limits of this action, or None for those of the app.
        dialect: The dialect of this action, or None for that of the app.
        handle_server_error: The error handler of this action, or None for that of the app.
    """

    name: str
    description: str | None
    input: Any
    chunk: Any
    metadata: Mapping[str, Any]
    limits: Limits | None
    dialect: Dialect | None
    handle_server_error: ServerErrorHandler | None
    _limiter: StreamLimiter | None = attrs.field(repr=False)
    _handler: NamedCall = attrs.field(repr=False)
    _guards: tuple[NamedCall, ...] = attrs.field(repr=False)
    _middleware: tuple[NamedCall, ...] = attrs.field(repr=False)
    _schema: InputSchema = attrs.field(repr=False)
    # Needed for each request, so computed once.
    takes_input: bool = attrs.field(init=False, repr=False)
    _wraps: bool = attrs.field(init=False, repr=False)

    @takes_input.default
    def _takes_input(self) -> bool:
        """Return True if an input type is declared, or the handler or a middleware has the parameter ``input``."""
        return self.input is not Any or any("input" in call.names for call in (self._handler, *self._middleware))

    @_wraps.default
    def _is_wrapped(self) -> bool:
        return any(call.wraps for call in (*self._guards, *self._middleware))


@final
@attrs.frozen(kw_only=True, eq=False)
class AppSettings:
    """The settings of one ``StreamActions``, for actions without settings of their own."""

    limiter: StreamLimiter = attrs.field(factory=lambda: StreamLimiter(Limits()))
    dialect: Dialect = "marked"
    handle_server_error: ServerErrorHandler | None = None
    client_key: ClientKey = remote_address
    origins: frozenset[str] = frozenset()
    _body_settings: WeakKeyDictionary[StreamAction, BodySettings] = attrs.field(factory=WeakKeyDictionary, init=False)

    def limiter_of(self, action: StreamAction) -> StreamLimiter:
        """Return the limiter that counts the streams of *action*."""
        return action._limiter or self.limiter

    def body_settings(self, action: StreamAction) -> BodySettings:
        """Return the settings that all streams of *action* share; they are created once."""
        settings = self._body_settings.get(action)
        if settings is None:
            handle = action.handle_server_error or self.handle_server_error
            settings = self._body_settings[action] = BodySettings(
                action=action.name,
                limits=self.limiter_of(action).limits,
                dialect=action.dialect or self.dialect,
                to_error=partial(to_action_error, handle_server_error=handle, fallback=stream_error()),
            )
        return settings


@final
@attrs.define(eq=False)
class AppActions:
    """The settings of one app, by endpoint.

    Attributes:
        default: The settings of the first ``StreamActions`` of the app. They are for actions that were registered on a
            blueprint or by ``app.post``.
        by_endpoint: For each endpoint that a ``StreamActions`` registered, the settings of that ``StreamActions``.
    """

    default: AppSettings
    by_endpoint: dict[str, AppSettings] = attrs.field(factory=dict, init=False)

    def at(self, endpoint: str | None) -> AppSettings:
        """Return the settings for requests to *endpoint*."""
        return self.by_endpoint.get(endpoint or "", self.default)
