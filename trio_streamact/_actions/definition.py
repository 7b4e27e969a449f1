"""Turn a handler into an action and the Quart view that serves it."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from types import FrameType, MappingProxyType
from typing import Any, ParamSpec, Protocol, TypedDict, Unpack, cast, overload
from uuid import UUID

from quart import Response

from .._inputs import input_schema
from .._protocol.encoding import DIALECTS, Dialect
from ..errors import ServerErrorHandler
from ..limits import Limits
from .action import Guard, Handler, Middleware, StreamAction
from .capacity import StreamLimiter
from .dispatch import respond
from .signature import GUARD_PARAMETERS, HANDLER_PARAMETERS, MIDDLEWARE_PARAMETERS, NamedCall, check_calls, name_of

P = ParamSpec("P")


class StreamActionView(Protocol[P]):
    """A Quart view whose response is a stream.

    Quart calls it with the variables of the route. The arguments of the handler come from the request. To call the
    handler itself, for example in a unit test, use ``handler``.

    Attributes:
        is_stream: True.
        action: The action that the view serves.
    """

    is_stream: bool
    action: StreamAction
    __name__: str

    @property
    def handler(self) -> Callable[P, Awaitable[None]]:
        """The handler, unchanged."""

    async def __call__(self, **route: str | float | UUID) -> Response:
        """Return the response to the current request."""


class ActionOptions(TypedDict, total=False):
    """The options of an action; see ``define_stream_action`` for their meaning."""

    name: str | None
    input: Any
    guards: Iterable[Guard]
    middleware: Iterable[Middleware]
    metadata: Mapping[str, Any] | None
    handle_server_error: ServerErrorHandler | None
    limits: Limits | None
    dialect: Dialect | None


@overload
def define_stream_action(
    handler: Callable[P, Awaitable[None]], /, **options: Unpack[ActionOptions]
) -> StreamActionView[P]: ...


@overload
def define_stream_action(
    handler: None = None, /, **options: Unpack[ActionOptions]
) -> Callable[[Callable[P, Awaitable[None]]], StreamActionView[P]]: ...


def define_stream_action(
    handler: Handler | None = None,
    /,
    *,
    name: str | None = None,
    input: Any = None,
    guards: Iterable[Guard] = (),
    middleware: Iterable[Middleware] = (),
    metadata: Mapping[str, Any] | None = None,
    handle_server_error: ServerErrorHandler | None = None,
    limits: Limits | None = None,
    dialect: Dialect | None = None,
) -> StreamActionView[...] | Callable[[Handler], StreamActionView[...]]:
    """Turn *handler* into a streaming server action, and return it as a Quart view.

    Without a handler, return a decorator. The view has the attributes ``is_stream = True``, ``action``, a
    ``StreamAction``, and ``handler``, which is *handler*. Attributes that other decorators set on the handler are
    copied to the view.

    Args:
        handler: An async function. It is called with keyword arguments. It must have a parameter ``stream``, and may
            have ``input``, ``request``, ``ctx`` and ``metadata``. The request's input is not read if no type is
            declared for it, and neither the handler nor a middleware has the parameter ``input``.
        name: The name of the action in references, OpenAPI and reports. The default is the name of the handler.
        input: The type of the input: an attrs class, dataclass, TypedDict, pydantic model, msgspec struct, plain type,
            or an object with ``validate(raw)``. The default is the annotation of the handler's ``input``; without
            one, the raw value is not validated.
        guards: Async functions that run in order before the request's body is read, for example for authentication
            and rate limits. Their parameters are any of ``request``, ``ctx`` and ``metadata``. A mapping that a guard
            returns is merged into ``ctx``.
        middleware: Async functions that run in order after the input is validated; they may also have the parameter
            ``input``. A guard or a middleware may be an async generator function that yields once. The mapping that
            it yields is merged into ``ctx``. The code after its ``yield`` runs when the handler has finished, in
            reverse order, for at most 5 seconds. An exception of the handler is raised at the ``yield``; an exception
            that is raised instead replaces it.
        metadata: Facts about the action, for guards and middleware.
        handle_server_error: A function that is called with an unexpected exception. It returns or raises what is sent
            to the client: an ``ActionError``, or ``ErrorFields``, a dict with ``code``, ``message`` and
            ``status_code``. If it returns None, a generic message is sent. The exception is logged in every case.
        limits: The limits of this action, instead of those of the app.
        dialect: The dialect of this action, instead of that of the app: ``"marked"`` or ``"named"``.

    Raises:
        TypeError: The handler, a guard, a middleware, the input or an option is not valid.
        ValueError: The name or the dialect is not valid.
    """
    options: dict[str, Any] = {
        "name": _check_name(name),
        "declared": input,
        "guards": check_calls(guards, "guard", GUARD_PARAMETERS),
        "middleware": check_calls(middleware, "middleware", MIDDLEWARE_PARAMETERS),
        "metadata": MappingProxyType(dict(metadata or {})),
        "handle_server_error": check_server_error_handler(handle_server_error),
        "limits": check_limits(limits),
        "dialect": check_dialect(dialect),
    }
    if handler is None:
        return lambda handler: _view(handler, _action(handler, **options))
    return _view(handler, _action(handler, **options))


def check_limits(limits: Limits | None) -> Limits | None:
    """Return *limits*, or raise ``TypeError`` if it is not a ``Limits``."""
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be a Limits, not {limits!r}")
    return limits


def check_dialect(dialect: Dialect | None) -> Dialect | None:
    """Return *dialect*, or raise ``ValueError`` if it is unknown."""
    if dialect is not None and dialect not in DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
    return dialect


def check_server_error_handler(handle: ServerErrorHandler | None) -> ServerErrorHandler | None:
    """Return *handle*, or raise ``TypeError`` if it is async or cannot be called with an exception."""
    if handle is None:
        return None
    if not callable(handle) or inspect.iscoroutinefunction(handle):
        raise TypeError(f"handle_server_error must be a synchronous function, not {handle!r}")
    try:
        inspect.signature(handle).bind(Exception())
    except ValueError:  # a builtin without a signature
        pass
    except TypeError as error:
        raise TypeError(
            f"handle_server_error {name_of(handle)} must accept one argument, the exception: {error}"
        ) from None
    return handle


def _check_name(name: str | None) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    if not name.isprintable() or not any(map(str.isalnum, name)):
        raise ValueError(f"name must be printable and contain a letter or a digit, not {name!r}")
    return name


def _action(handler: Handler, *, name: str | None, declared: Any, **options: Any) -> StreamAction:
    call = NamedCall.to(handler, "handler", HANDLER_PARAMETERS, frozenset({"stream"}))
    annotations = _annotations(handler)
    own_name = _own_name(handler)
    if declared is None:
        declared = annotations.get("input", Any)
        if isinstance(declared, str):
            raise TypeError(f"cannot resolve the annotation {declared!r} of the input of {own_name}")
    if annotations.get("return") not in (None, type(None), Any, "None", typing.NoReturn, typing.Never):
        raise TypeError(
            f"handler {own_name} is annotated to return a value, which is not sent: send chunks with "
            "`await stream.send(...)`, and annotate `-> None`"
        )
    stream_arguments = typing.get_args(annotations.get("stream"))
    schema = input_schema(declared)
    limits = options.pop("limits")
    return StreamAction(
        name=name or own_name,
        description=inspect.getdoc(handler) if inspect.isroutine(handler) else None,
        input=schema.type,
        chunk=stream_arguments[0] if stream_arguments else Any,
        limits=limits,
        limiter=None if limits is None else StreamLimiter(limits),
        handler=call,
        schema=schema,
        **options,
    )


def _view(handler: Handler, action: StreamAction) -> StreamActionView[...]:
    async def view(**route: Any) -> Response:
        return await respond(action, route)

    view.__name__ = view.__qualname__ = _own_name(handler)
    view.__module__ = getattr(handler, "__module__", __name__)
    view.__doc__ = action.description
    return as_view(view, handler, action)


def as_view(view: Callable[..., Awaitable[Response]], marked: object, action: StreamAction) -> StreamActionView[...]:
    """Set the attributes of a view of *action* on *view*, and copy those that decorators set on *marked*."""
    copy_marks(marked, view)
    vars(view).update(is_stream=True, action=action, handler=action._handler.function)
    return cast("StreamActionView[...]", view)


def copy_marks(source: object, target: Callable[..., Any]) -> None:
    """Copy the attributes that decorators set on *source* to *target*.

    *source* may also be a partial, or a callable object: a decorator that is a class sets the attributes on its
    instance, with ``functools.update_wrapper``.
    """
    marks = _copy_of_marks(source)
    marks.pop("__wrapped__", None)  # else inspect.signature would show the handler's signature for the view
    vars(target).update(marks)


def _copy_of_marks(source: object) -> dict[str, Any]:
    below = _copy_of_marks(source.func) if isinstance(source, partial) else {}
    return {**below, **getattr(source, "__dict__", {})}


def _own_name(handler: Any) -> str:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__name__", None) or type(handler).__name__


def _annotations(handler: Any) -> dict[str, Any]:
    """Return the annotations of *handler*. One that cannot be resolved stays a string.

    With ``from __future__ import annotations``, ``typing.get_type_hints`` does not find types that are local to the
    function that defines the handler. This function does.
    """
    function = handler.func if isinstance(handler, partial) else handler
    function = function if inspect.isroutine(function) else type(function).__call__
    function = inspect.unwrap(getattr(function, "__func__", function))
    annotations = dict(inspect.get_annotations(function))
    names = {**getattr(function, "__globals__", {}), **_locals_around(function)}
    for name, annotation in annotations.items():
        if isinstance(annotation, str):
            try:
                annotations[name] = eval(annotation, names)  # noqa: S307 - the author's own code, as in typing
            except Exception:
                annotations[name] = annotation
    return annotations


def _locals_around(function: Any) -> dict[str, Any]:
    """Return the local variables of the function that defines *function*, if it is still running."""
    code = getattr(function, "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    while code is not None and frame is not None:
        if code in frame.f_code.co_consts:
            return frame.f_locals
        frame = frame.f_back
    return {}
