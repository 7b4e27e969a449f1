"""A stream action: one request, from its bytes to the body of its reply."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import cache, partial
from types import FrameType, MappingProxyType
from typing import Any, Protocol, TypedDict, Unpack, cast, final, overload

import attrs
from quart import Request, Response, current_app, request

from .body import BodySettings, Failed, Running, StreamBody, report_error
from .calls import HANDLER_PARAMETERS, NamedCall, middleware_chain, run_middleware
from .errors import (
    ServerErrorHandler,
    http_version_error,
    internal_error,
    is_expected,
    sole_error,
    stream_error,
    told_as,
    too_many_streams,
)
from .inputs import InputSchema, input_schema
from .limits import Limits
from .origins import refuse_cross_site
from .requests import read_input
from .room import Room
from .serving import exchange_of, hold_contexts
from .stream import Stream
from .wire import DIALECTS, Dialect

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        # `no-transform` keeps compressing proxies from buffering, X-Accel-Buffering nginx.
        "Cache-Control": "private, no-cache, no-store, no-transform, must-revalidate, max-age=0",
        "X-Accel-Buffering": "no",
    }
)
CONTENT_TYPE = "text/event-stream"

Handler = Callable[..., Awaitable[None]]
ClientKey = Callable[[Request, Mapping[str, Any]], Hashable]
"""Tells clients apart, by the request and the context of the middleware; None is no client in particular."""
Middleware = Callable[..., Awaitable[Mapping[str, Any] | None]]


def remote_address(request: Request, ctx: Mapping[str, Any]) -> Hashable:  # noqa: ARG001 - see ClientKey
    """Tell clients apart by their address, which behind a proxy is the proxy's."""
    return request.remote_addr


@final
@attrs.frozen
class AppPolicy:
    """What an app says of the clients of all its actions."""

    client_key: ClientKey = remote_address
    origins: frozenset[str] = frozenset()


@final
@attrs.frozen(kw_only=True, eq=False)
class StreamAction:
    """What is known of a stream action.

    Args:
        name: The handler's name.
        description: The handler's docstring, or None.
        input: The declared input type, ``Any`` where every value passes.
        chunk: The ``T`` of the handler's ``Stream[T]``, ``Any`` where it says nothing.
        metadata: What the author says of it, for middleware and logs.
        limits: Its own limits, or None for the app's.
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
    _room: Room = attrs.field(repr=False)
    _app: AppPolicy = attrs.field(repr=False)
    _handler: NamedCall = attrs.field(repr=False)
    _middleware: tuple[NamedCall, ...] = attrs.field(repr=False)
    _schema: InputSchema = attrs.field(repr=False)

    _settings: BodySettings = attrs.field(init=False, repr=False)  # once for all streams, which may be many

    @_settings.default
    def _settings_of_streams(self) -> BodySettings:
        return BodySettings(
            action=self.name,
            room=self._room,
            dialect=self.dialect or "marked",
            tell=partial(told_as, handle_server_error=self.handle_server_error, fallback=stream_error()),
        )

    async def respond(self, route: dict[str, Any]) -> Response:
        """Answer the current request: read it, validate it, run the middleware, and open the stream.

        Raises:
            TypeError: A fault of the program, which Quart answers with a 500.
        """
        if request.method == "HEAD":
            return _response(None)
        quart_request = request._get_current_object()  # type: ignore[attr-defined, unused-ignore]  # older Quarts' types lack it
        if quart_request.http_version == "3":
            # hypercorn tells nobody there when a client has left or takes nothing: handlers would run for ever.
            return self._reply(Failed("rejected", http_version_error()))
        if self._room.is_full:
            return self._reply(Failed("rejected", too_many_streams()))
        arguments: dict[str, Any] = {"request": quart_request, "metadata": self.metadata}
        try:
            refuse_cross_site(quart_request.method, quart_request.headers, self._app.origins)
            arguments["input"] = self._schema(await read_input(quart_request, route))
            arguments["ctx"] = await run_middleware(self._middleware, arguments)
            client = self._app.client_key(quart_request, arguments["ctx"])
            hash(client)  # or the counting of streams would raise it, when the head has left
        except Exception as error:
            return self._reply(await self._refuse(error))
        return self._reply(
            Running(partial(self._produce, arguments), await hold_contexts(exchange_of(quart_request.scope))), client
        )

    async def _refuse(self, error: Exception) -> Failed:
        """Say why the stream does not open. In no frame that *error* holds, or they would hold each other."""
        if isinstance(sole := sole_error(error), TypeError):
            raise sole from None if sole is error else error
        if not is_expected(error):
            await report_error(_app(), self.name, error)
        return Failed("error", told_as(error, self.handle_server_error, internal_error()))

    def _produce(self, arguments: dict[str, Any], stream: Stream[Any]) -> Awaitable[None]:
        return self._handler({**arguments, "stream": stream})

    def _reply(self, reply: Running | Failed, client: Hashable = None) -> Response:
        exchange = exchange_of(request.scope)
        if exchange is None:
            _warn_once_unguarded(_app())
        return _response(StreamBody(_app(), self._settings, exchange, reply, client))


class StreamActionView(Protocol):
    """An ordinary Quart view that answers with a stream."""

    is_stream: bool
    action: StreamAction
    __name__: str

    async def __call__(self, **route: Any) -> Response: ...


class ActionOptions(TypedDict, total=False):
    """The options of an action; for what they mean see ``define_stream_action``."""

    input: Any
    middleware: Iterable[Middleware]
    metadata: Mapping[str, Any] | None
    handle_server_error: ServerErrorHandler | None
    limits: Limits | None
    dialect: Dialect | None


@overload
def define_stream_action(handler: Handler, /, **options: Unpack[ActionOptions]) -> StreamActionView: ...


@overload
def define_stream_action(
    handler: None = None, /, **options: Unpack[ActionOptions]
) -> Callable[[Handler], StreamActionView]: ...


def define_stream_action(
    handler: Handler | None = None,
    /,
    *,
    input: Any = None,
    middleware: Iterable[Middleware] = (),
    metadata: Mapping[str, Any] | None = None,
    handle_server_error: ServerErrorHandler | None = None,
    limits: Limits | None = None,
    dialect: Dialect | None = None,
) -> StreamActionView | Callable[[Handler], StreamActionView]:
    """Make *handler* a streaming server action: an async function that is an ordinary Quart view.

    Without a handler, this is a decorator. The view has ``is_stream = True`` and ``action``, a ``StreamAction``.

    Args:
        handler: An async function. Its parameters go by name: any of ``input``, ``request``, ``ctx``, ``metadata``,
            and always ``stream``.
        input: What the action takes: an attrs class, dataclass, TypedDict, pydantic model, msgspec struct, plain type,
            or an object with ``validate(raw)``. Left out, it is the annotation of the handler's ``input``; without one
            the raw value passes through.
        middleware: Async functions, run in order; a mapping that one returns is merged into ``ctx``.
        metadata: What middleware may want to know of the action.
        handle_server_error: Makes of an unexpected exception what the client may read. It is logged all the same.
        limits: In place of the app's.
        dialect: In place of the app's: ``"marked"`` or ``"named"``.

    Raises:
        TypeError: The handler, a middleware, the input or an option is none that can work.
        ValueError: There is no such dialect.
    """
    options: dict[str, Any] = {
        "declared": input,
        "middleware": middleware_chain(middleware),
        "metadata": MappingProxyType(dict(metadata or {})),
        "handle_server_error": check_server_error_handler(handle_server_error),
        "limits": check_limits(limits),
        "dialect": check_dialect(dialect),
    }
    if handler is None:
        return lambda handler: _view(_action(handler, **options))
    return _view(_action(handler, **options))


def with_defaults(
    view: StreamActionView,
    room: Room,
    dialect: Dialect,
    handle_server_error: ServerErrorHandler | None,
    app: AppPolicy,
) -> StreamActionView:
    """Give a view like *view*, with an app's defaults where its action says nothing."""
    action = view.action
    return _view(
        attrs.evolve(
            action,
            limits=action.limits or room.limits,
            room=room if action.limits is None else action._room,
            app=app,
            dialect=action.dialect or dialect,
            handle_server_error=action.handle_server_error or handle_server_error,
        )
    )


def check_limits(limits: Limits | None) -> Limits | None:
    """Give *limits* back if they are some."""
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be Limits, not {limits!r}")
    return limits


def check_dialect(dialect: Dialect | None) -> Dialect | None:
    """Give *dialect* back if there is such a one."""
    if dialect is not None and dialect not in DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
    return dialect


def check_server_error_handler(handle: ServerErrorHandler | None) -> ServerErrorHandler | None:
    """Give *handle* back if it can be called and does not want to be awaited."""
    if handle is not None and (not callable(handle) or inspect.iscoroutinefunction(handle)):
        raise TypeError(f"handle_server_error must be a plain function, not {handle!r}")
    return handle


def _action(handler: Handler, *, declared: Any, **options: Any) -> StreamAction:
    call = NamedCall.to(handler, "handler", HANDLER_PARAMETERS, frozenset({"stream"}))
    annotations = _annotations(handler)
    if declared is None:
        declared = annotations.get("input", Any)
        if isinstance(declared, str):
            raise TypeError(f"cannot resolve the annotation {declared!r} of the input of {_name_of(handler)}")
    stream_arguments = typing.get_args(annotations.get("stream"))
    schema = input_schema(declared)
    return StreamAction(
        name=_name_of(handler),
        description=inspect.getdoc(handler) if inspect.isroutine(handler) else None,
        input=schema.type,
        chunk=stream_arguments[0] if stream_arguments else Any,
        metadata=options["metadata"],
        limits=options["limits"],
        dialect=options["dialect"],
        handle_server_error=options["handle_server_error"],
        room=Room(options["limits"] or Limits()),
        app=AppPolicy(),
        handler=call,
        middleware=options["middleware"],
        schema=schema,
    )


def _view(action: StreamAction) -> StreamActionView:
    async def view(**route: Any) -> Response:
        return await action.respond(route)

    view.__name__ = view.__qualname__ = action.name
    view.__doc__ = action.description
    view.is_stream = True  # type: ignore[attr-defined]
    view.action = action  # type: ignore[attr-defined]
    return cast("StreamActionView", view)


def _warn_once_unguarded(app: Any) -> None:
    if app.extensions.setdefault("trio_streamact", "unguarded") == "unguarded":
        app.extensions["trio_streamact"] = "unguarded, and told so"
        app.logger.warning(
            "This app serves streams without StreamActions(app): connections will not close behind them, clients that "
            "stall will hold them for ever, and a shutdown will cut them without a word"
        )


def _app() -> Any:
    return current_app._get_current_object()  # type: ignore[attr-defined, unused-ignore]  # older Quarts' types lack it


def _response(body: StreamBody | None) -> Response:
    response = _stream_response_class(_app().response_class)(body, headers=dict(HEADERS), content_type=CONTENT_TYPE)
    if body is not None:
        body.belongs_to(response)
    response.timeout = None  # or Quart's RESPONSE_TIMEOUT cuts it, without a word
    return response


@cache
def _stream_response_class(base: type[Response]) -> type[Response]:
    """A response of the app's own kind, but for what cannot be done to a stream."""

    class StreamResponse(base):  # type: ignore[valid-type, misc]
        async def get_data(self, as_text: bool = False) -> Any:  # noqa: ARG002 - Quart's signature
            raise RuntimeError(
                "a stream's data cannot be had as a whole: let after_request functions pass by responses "
                f"whose content type is {CONTENT_TYPE}"
            )

        async def make_sequence(self) -> None:
            await self.get_data()

    return StreamResponse


def _name_of(handler: Any) -> str:
    if isinstance(handler, partial):
        return _name_of(handler.func)
    return getattr(handler, "__name__", None) or type(handler).__name__


def _annotations(handler: Any) -> dict[str, Any]:
    """The annotations of *handler*'s parameters; one that cannot be resolved stays a string.

    Also those of types that are local to the function in which the handler is defined, which
    ``from __future__ import annotations`` hides from ``typing.get_type_hints``.
    """
    function = handler.func if isinstance(handler, partial) else handler
    function = function if inspect.isroutine(function) else type(function).__call__
    function = inspect.unwrap(getattr(function, "__func__", function))
    annotations = dict(inspect.get_annotations(function))
    names = {**getattr(function, "__globals__", {}), **_locals_around(function)}
    for name, annotation in annotations.items():
        if isinstance(annotation, str):
            try:
                annotations[name] = eval(annotation, names)  # noqa: S307 - the author's own annotation, as typing does
            except Exception:
                annotations[name] = annotation
    return annotations


def _locals_around(function: Any) -> dict[str, Any]:
    """The variables of the function that defines *function* and is still running."""
    code = getattr(function, "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    while code is not None and frame is not None:
        if code in frame.f_code.co_consts:
            return frame.f_locals
        frame = frame.f_back
    return {}
