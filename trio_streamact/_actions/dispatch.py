"""Handle one request for a stream action: from its bytes to the body of the response."""

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
from .capacity import Slot
from .csrf import refuse_cross_site
from .request_input import IN_LOOP_BYTES, bounds_of, leave_unread, read_input
from .wrapping import Inner, WrappedRun, run_before

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        # `no-transform`: a proxy that compressed the stream would buffer it. `X-Accel-Buffering`: nginx would, too.
        "Cache-Control": "private, no-cache, no-store, no-transform, must-revalidate, max-age=0",
        "X-Accel-Buffering": "no",
    }
)
CONTENT_TYPE = "text/event-stream; charset=utf-8"
"""With the charset: without it, clients that follow RFC 2616 decode ISO-8859-1, and find false line ends."""


async def respond(action: StreamAction, route: dict[str, Any]) -> Response:
    """Return the response to the current request: run the guards, read and validate the input, run the middleware,
    and open the stream.

    Raises:
        TypeError: The program has a fault. Quart responds with a 500.
        HTTPException: A guard or a middleware raised it, and it carries a response of its own.
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
    """One request for an action, until its stream opens or is rejected."""

    def __init__(self, action: StreamAction, request: Request, route: dict[str, Any]) -> None:
        self._action = action
        self._request = request
        self._route = route
        self._exchange = exchange_of(request.scope)
        self._app = _app()
        self._settings = _settings_at(self._app, request)
        self._body_settings = self._settings.body_settings(action)
        self._slot: Slot | None = None

    async def prepare(self) -> Running:
        """Run everything that comes before the handler, and return how to run the handler.

        Raises:
            Exception: The stream must not open; see ``refusal``.
        """
        if self._request.http_version == "3":
            # Over HTTP/3, hypercorn does not report that a client has left or has stalled. The handler of such a
            # client would run forever.
            raise http_version_error()
        self._refuse_cross_site()
        arguments: dict[str, Any] = {"request": self._request, "metadata": self._action.metadata, "ctx": {}}
        run_handler: RunHandler = partial(_handle, self._action, arguments)
        try:
            if self._action._wraps:
                run = WrappedRun(partial(self._run_before, arguments), run_handler, self._body_settings.task_name)
                await run.prepare()
                contexts = await hold_contexts(None)  # the exchange must not release them: unwinding needs them
                self._exchange.at_end(partial(run.abandon, contexts, partial(log_error, self._app, self._action.name)))
                return Running(run.run_handler, contexts, self._acquired_slot.release)
            await self._run_before(arguments, _nothing)
            return Running(run_handler, await hold_contexts(self._exchange), self._acquired_slot.release)
        except BaseException:
            if self._slot is not None:
                self._slot.release()
            raise

    @property
    def _acquired_slot(self) -> Slot:
        assert self._slot is not None  # noqa: S101 - acquired between the guards and the body
        return self._slot

    def _acquire_slot(self, ctx: dict[str, Any]) -> None:
        """Acquire a slot before the body is read, so that uploads count too.

        If clients are identified by their address, the slot is assigned here. A ``client_key`` of the app may need the
        ``ctx`` of middleware, so with one the slot is assigned after the middleware.
        """
        key = self._settings.client_key
        client = key(self._request, ctx) if key is remote_address else None
        self._slot = self._settings.limiter_of(self._action).acquire(client)
        if self._slot is None:
            raise too_many_streams()
        self._exchange.at_end(self._slot.release)  # for the case that the stream never opens

    def _assign_slot(self, ctx: dict[str, Any]) -> None:
        if self._settings.client_key is not remote_address:
            client = self._settings.client_key(self._request, ctx)
            if not self._acquired_slot.assign(client):
                raise too_many_streams()

    def _refuse_cross_site(self) -> None:
        request = self._request
        try:
            refuse_cross_site(request.method, request.headers, self._settings.origins)
        except ActionError:
            origin = request.headers.get("Origin", "")
            SafeLogger(self._app.logger).warning(
                "Stream action %s rejected a request from a page at %.200r; to allow it, add the origin to "
                "StreamActions(app, allow_origins=[...])",
                self._action.name,
                origin,
            )
            raise

    async def _run_before(self, arguments: dict[str, Any], inner: Inner) -> None:
        """Run the guards, read the input, and run the middleware; run *inner* inside the generators among them."""

        async def read_and_continue() -> None:
            self._acquire_slot(arguments["ctx"])
            if not self._action.takes_input:
                leave_unread(self._request, self._exchange)
            else:
                limits = self._body_settings.limits
                raw = await read_input(self._request, self._route, limits)
                size_bytes = raw.size_bytes
                validate = self._action._schema.bounded(raw.value, size_bytes, bounds_of(limits))
                del raw  # the texts of a form have been copied
                if size_bytes > IN_LOOP_BYTES:
                    arguments["input"] = await trio.to_thread.run_sync(validate)
                else:
                    arguments["input"] = validate()
            await run_before(self._action._middleware, arguments, assign_and_continue)

        async def assign_and_continue() -> None:  # inside the generators, so that they see the error at their `yield`
            self._assign_slot(arguments["ctx"])
            await inner()

        await run_before(self._action._guards, arguments, read_and_continue)

    async def refusal(self, error: Exception) -> ErrorEnding:
        """Return the ending of a stream that does not open because of *error*.

        Raises:
            HTTPException: *error* carries a response of its own.
            TypeError: *error* is a fault of the program.
        """
        if is_disconnect(error):
            return self._body_settings.ending(Event.FAILED, internal_error())  # the client has left; nothing is sent
        sole = sole_error(error)
        if isinstance(sole, TypeError) or response_in(error) is not None:
            raise sole from None if sole is error else error
        handle = self._action.handle_server_error or self._settings.handle_server_error
        answer = to_action_error(error, handle, internal_error())
        if isinstance(answer, InvalidInput):  # a validator of the author may have put input into the messages: cut them
            fields = ((tuple(field.split(".")), text) for field, texts in answer.field_errors.items() for text in texts)
            answer = InvalidInput(by_field(fields))
        await log_error(self._app, self._action.name, error)
        event = Event.REFUSED if isinstance(answer, RejectedError) else Event.FAILED
        return self._body_settings.ending(event, answer)

    def reply(self, reply: Running | ErrorEnding) -> Response:
        """Return the response that carries the stream, or the error if the stream does not open."""
        if not self._exchange.has_middleware:
            _warn_once_without_extension(self._app)
        return _response(StreamBody(self._app, self._body_settings, self._exchange, reply))


def _settings_at(app: Any, request: Request) -> AppSettings:
    actions: AppActions | None = app.extensions.get(SETTINGS)
    return _WITHOUT_EXTENSION if actions is None else actions.at(request.endpoint)


_WITHOUT_EXTENSION = AppSettings()
"""The settings in an app without ``StreamActions``."""

_warned: WeakSet[Any] = WeakSet()


def _warn_once_without_extension(app: Any) -> None:
    if app.extensions.get(SETTINGS) is None and app not in _warned:
        _warned.add(app)
        SafeLogger(app.logger).warning(
            "This app serves streams without StreamActions(app): connections do not close after a stream, stalled "
            "clients hold their streams forever, and a shutdown cuts streams without an ending"
        )


def _handle(action: StreamAction, arguments: dict[str, Any], stream: Stream[Any]) -> Awaitable[object]:
    handled: Awaitable[object] = action._handler({**arguments, "stream": stream})
    return handled


async def _nothing() -> None:
    """The innermost call if no guard or middleware wraps the handler: the handler runs later."""


def _response(body: StreamBody | None) -> Response:
    response = _stream_response_class(_app().response_class)(body, headers=dict(HEADERS), content_type=CONTENT_TYPE)
    if body is not None:
        body.belongs_to(response)
    response.timeout = None  # else Quart's RESPONSE_TIMEOUT would cut the stream without an ending
    return response


def _app() -> Any:
    return current_app._get_current_object()  # type: ignore[attr-defined, unused-ignore]  # not typed in older Quarts


@cache
def _stream_response_class(base: type[Response]) -> type[Response]:
    """Return a subclass of *base*, the app's response class, that raises where the whole body would be read."""

    class StreamResponse(base):  # type: ignore[valid-type, misc]
        async def get_data(self, as_text: bool = False) -> Any:  # noqa: ARG002 - Quart's signature
            raise RuntimeError(
                "cannot read the whole body of a stream: an after_request function must skip responses with the "
                "mimetype text/event-stream"
            )

        async def make_sequence(self) -> None:
            await self.get_data()

    return StreamResponse
