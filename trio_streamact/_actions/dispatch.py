"""One request of a stream action, from its bytes to the body of its response."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any, final
from weakref import WeakSet

import trio
from quart import Request, Response, current_app, request

from .._common.exception_groups import sole_error
from .._common.logs import SafeLogger
from .._hypercorn import exchange_of, is_disconnect
from .._inputs import by_field
from .._stream.body import ErrorEnding, RunHandler, Running, StreamBody, log_error
from .._stream.contexts import hold_contexts
from .._stream.error_mapping import response_in, to_action_error
from .._stream.lifecycle import Event
from .._stream.stream import Stream
from ..errors import ActionError, InvalidInput, RejectedError, http_version_error, internal_error, too_many_streams
from .action import SETTINGS, AppActions, AppSettings, StreamAction, remote_address
from .capacity import Place
from .csrf import refuse_cross_site
from .request_input import bounds_of, leave_unread, read_input
from .wrapping import Inner, WrappedRun, run_before

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        # `no-transform` keeps compressing proxies from buffering, X-Accel-Buffering nginx.
        "Cache-Control": "private, no-cache, no-store, no-transform, must-revalidate, max-age=0",
        "X-Accel-Buffering": "no",
    }
)
CONTENT_TYPE = "text/event-stream; charset=utf-8"
"""With the charset: without it, readers that go by RFC 2616 take the text for ISO-8859-1, and break its lines."""


IN_LOOP_BYTES = 32 * 1024
"""A larger input is validated in a thread: other tasks get their turn meanwhile."""


async def respond(action: StreamAction, route: dict[str, Any]) -> Response:
    """Answer the current request: run the guards, read and validate it, run the middleware, and open the stream.

    Raises:
        TypeError: A fault of the program, which Quart answers with a 500.
        HTTPException: A guard or middleware has raised one that brings a response of its own.
    """
    if request.method == "HEAD":
        return _response(None)
    quart_request: Any = request
    call = _Call(action, quart_request._get_current_object(), route)
    try:
        running = await call.prepare()
    except Exception as error:
        return call.reply(await call.refusal(error))
    return call.reply(running)


@final
class _Call:
    """One call of an action."""

    def __init__(self, action: StreamAction, request: Request, route: dict[str, Any]) -> None:
        self._action = action
        self._request = request
        self._route = route
        self._exchange = exchange_of(request.scope)
        self._app = _app()
        self._settings = _settings_at(self._app, request)
        self.of_bodies = self._settings.of_bodies(action)
        self._place: Place | None = None

    async def prepare(self) -> Running:
        """Do all that comes before the handler.

        Raises:
            Exception: The stream is not to be opened; see ``refusal``.
        """
        if self._request.http_version == "3":
            # hypercorn tells nobody there when a client has left or takes nothing: handlers would run for ever.
            raise http_version_error()
        self._refuse_cross_site()
        arguments: dict[str, Any] = {"request": self._request, "metadata": self._action.metadata, "ctx": {}}
        run_handler: RunHandler = partial(_handle, self._action, arguments)
        try:
            if self._action._wraps:
                run = WrappedRun(partial(self._run_before, arguments), run_handler, self.of_bodies.task_name)
                await run.prepare()
                contexts = await hold_contexts(None)  # not for the exchange to give back: the way back needs them
                self._exchange.at_end(partial(run.abandon, contexts, partial(log_error, self._app, self._action.name)))
                return Running(run.run_handler, contexts, self._taken_place.give_back)
            await self._run_before(arguments, _nothing)
            return Running(run_handler, await hold_contexts(self._exchange), self._taken_place.give_back)
        except BaseException:
            if self._place is not None:
                self._place.give_back()
            raise

    @property
    def _taken_place(self) -> Place:
        assert self._place is not None  # noqa: S101 - taken between the guards and the body
        return self._place

    def _take_place(self, ctx: dict[str, Any]) -> None:
        """Take a place before the body is read, so that uploads count too.

        It is counted for a client by its address already; by a key of the app's own, which may need the context that
        middleware makes, only afterwards.
        """
        key = self._settings.client_key
        client = key(self._request, ctx) if key is remote_address else None
        self._place = self._settings.room_of(self._action).enter(client)
        if self._place is None:
            raise too_many_streams()
        self._exchange.at_end(self._place.give_back)  # should the stream never be opened

    def _count_place(self, ctx: dict[str, Any]) -> None:
        if self._settings.client_key is not remote_address:
            client = self._settings.client_key(self._request, ctx)
            if not self._taken_place.count_for(client):
                raise too_many_streams()

    def _refuse_cross_site(self) -> None:
        request = self._request
        try:
            refuse_cross_site(request.method, request.headers, self._settings.origins)
        except ActionError:
            origin = request.headers.get("Origin", "")
            SafeLogger(self._app.logger).warning(
                "Stream action %s refused a request of a page at %.200r; to allow it, list the page's origin in "
                "StreamActions(app, allow_origins=[...])",
                self._action.name,
                origin,
            )
            raise

    async def _run_before(self, arguments: dict[str, Any], inner: Inner) -> None:
        """Run the guards, read the input, and run the middleware; and *inner* within those that wrap."""

        async def read_and_go_on() -> None:
            self._take_place(arguments["ctx"])
            if not self._action.takes_input:
                leave_unread(self._request, self._exchange)
            else:
                limits = self.of_bodies.limits
                raw = await read_input(self._request, self._route, limits)
                validate = self._action._schema.bounded(raw.value, raw.size_bytes, bounds_of(limits))
                if raw.size_bytes > IN_LOOP_BYTES:
                    arguments["input"] = await trio.to_thread.run_sync(validate)
                else:
                    arguments["input"] = validate()
            await run_before(self._action._middleware, arguments, count_and_go_on)

        async def count_and_go_on() -> None:  # within what wraps, which is to see that no stream is opened
            self._count_place(arguments["ctx"])
            await inner()

        await run_before(self._action._guards, arguments, read_and_go_on)

    async def refusal(self, error: Exception) -> ErrorEnding:
        """Return why the stream does not open.

        Raises:
            HTTPException: *error* brings a response of its own.
            TypeError: *error* is a fault of the program.
        """
        if is_disconnect(error):
            return self.of_bodies.ending(Event.FAILED, internal_error())  # which nobody will read
        sole = sole_error(error)
        if isinstance(sole, TypeError) or response_in(error) is not None:
            raise sole from None if sole is error else error
        handle = self._action.handle_server_error or self._settings.handle_server_error
        answer = to_action_error(error, handle, internal_error())
        if isinstance(answer, InvalidInput):  # also one that a validator of the author's has made of the input
            fields = ((tuple(field.split(".")), text) for field, texts in answer.field_errors.items() for text in texts)
            answer = InvalidInput(by_field(fields))
        await log_error(self._app, self._action.name, error)
        return self.of_bodies.ending(Event.REFUSED if isinstance(answer, RejectedError) else Event.FAILED, answer)

    def reply(self, reply: Running | ErrorEnding) -> Response:
        """Make the response that carries the stream, or its refusal."""
        if not self._exchange.has_middleware:
            _warn_once_unguarded(self._app)
        return _response(StreamBody(self._app, self.of_bodies, self._exchange, reply))


def _settings_at(app: Any, request: Request) -> AppSettings:
    actions: AppActions | None = app.extensions.get(SETTINGS)
    return _UNGUARDED if actions is None else actions.at(request.endpoint)


_UNGUARDED = AppSettings()
"""What holds in an app without ``StreamActions``."""

_warned: WeakSet[Any] = WeakSet()


def _warn_once_unguarded(app: Any) -> None:
    if app.extensions.get(SETTINGS) is None and app not in _warned:
        _warned.add(app)
        SafeLogger(app.logger).warning(
            "This app serves streams without StreamActions(app): connections will not close behind them, clients that "
            "stall will hold them for ever, and a shutdown will cut them without a word"
        )


def _handle(action: StreamAction, arguments: dict[str, Any], stream: Stream[Any]) -> Awaitable[object]:
    handled: Awaitable[object] = action._handler({**arguments, "stream": stream})
    return handled


async def _nothing() -> None:
    """What is within the middleware where it does not wrap: the handler runs later."""


def _response(body: StreamBody | None) -> Response:
    response = _stream_response_class(_app().response_class)(body, headers=dict(HEADERS), content_type=CONTENT_TYPE)
    if body is not None:
        body.belongs_to(response)
    response.timeout = None  # or Quart's RESPONSE_TIMEOUT cuts it, without a word
    return response


def _app() -> Any:
    return current_app._get_current_object()  # type: ignore[attr-defined, unused-ignore]  # older Quarts' types lack it


@cache
def _stream_response_class(base: type[Response]) -> type[Response]:
    """A response of the app's own kind, but for what cannot be done to a stream."""

    class StreamResponse(base):  # type: ignore[valid-type, misc]
        async def get_data(self, as_text: bool = False) -> Any:  # noqa: ARG002 - Quart's signature
            raise RuntimeError(
                "a stream's data cannot be had as a whole: let after_request functions pass by responses "
                "whose mimetype is text/event-stream"
            )

        async def make_sequence(self) -> None:
            await self.get_data()

    return StreamResponse
