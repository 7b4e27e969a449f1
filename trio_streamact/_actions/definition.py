"""From a handler to an action, and to the view that Quart serves."""

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
from .capacity import Room
from .dispatch import respond
from .signature import GUARD_PARAMETERS, HANDLER_PARAMETERS, MIDDLEWARE_PARAMETERS, NamedCall, check_calls, name_of

P = ParamSpec("P")


class StreamActionView(Protocol[P]):
    """An ordinary Quart view that answers with a stream.

    Quart calls it with the variables of the route; the handler's arguments come from the request. To call the handler
    itself, in a unit test for instance, use ``handler``.

    Attributes:
        is_stream: True.
        action: What is known of the action.
    """

    is_stream: bool
    action: StreamAction
    __name__: str

    @property
    def handler(self) -> Callable[P, Awaitable[None]]:
        """The handler, as its author wrote it."""

    async def __call__(self, **route: str | float | UUID) -> Response:
        """Answer the current request."""


class ActionOptions(TypedDict, total=False):
    """The options of an action; for what they mean see ``define_stream_action``."""

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
    """Make *handler* a streaming server action: an async function that is an ordinary Quart view.

    Without a handler, this is a decorator. The view has ``is_stream = True``, ``action``, a ``StreamAction``, and
    ``handler``, which is *handler*; what other decorators have put on the handler stands on it too.

    Args:
        handler: An async function. Its parameters go by name: any of ``input``, ``request``, ``ctx``, ``metadata``,
            and always ``stream``. If nothing takes the input, the request is not read.
        name: What references, OpenAPI and reports call the action; the handler's name where it is left out.
        input: What the action takes: an attrs class, dataclass, TypedDict, pydantic model, msgspec struct, plain type,
            or an object with ``validate(raw)``. Left out, it is the annotation of the handler's ``input``; without one
            the raw value passes through.
        guards: Async functions that run in order before the request's body is read: authentication, rate limits.
            Any of ``request``, ``ctx``, ``metadata`` are their parameters; a mapping that one returns is merged into
            ``ctx``.
        middleware: The same, after the input was validated; ``input`` may be a parameter too. A guard or a middleware
            may be an async generator function: what it yields is merged into ``ctx``, and the part after the
            ``yield`` runs when the handler is over, in reverse order and for at most 5 seconds. What the handler
            raised is raised at the ``yield``; an exception that replaces it is the one that counts.
        metadata: What guards and middleware may want to know of the action.
        handle_server_error: A function of an unexpected exception that returns, or raises, what the client receives:
            an ``ActionError``, or ``ErrorFields``, a dict with ``code``, ``message`` and ``status_code``. None is the
            generic message. The exception is logged all the same.
        limits: In place of the app's.
        dialect: In place of the app's: ``"marked"`` or ``"named"``.

    Raises:
        TypeError: The handler, a guard, a middleware, the input or an option is invalid.
        ValueError: The name or the dialect is invalid.
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
        raise TypeError(f"limits must be Limits, not {limits!r}")
    return limits


def check_dialect(dialect: Dialect | None) -> Dialect | None:
    """Return *dialect*, or raise ``ValueError`` if it is unknown."""
    if dialect is not None and dialect not in DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
    return dialect


def check_server_error_handler(handle: ServerErrorHandler | None) -> ServerErrorHandler | None:
    """Return *handle*, or raise ``TypeError`` if it cannot be called with an exception, or wants to be awaited."""
    if handle is None:
        return None
    if not callable(handle) or inspect.iscoroutinefunction(handle):
        raise TypeError(f"handle_server_error must be a plain function, not {handle!r}")
    try:
        inspect.signature(handle).bind(Exception())
    except ValueError:  # a builtin that does not say what it takes
        pass
    except TypeError as error:
        raise TypeError(f"handle_server_error {name_of(handle)} must take the exception alone: {error}") from None
    return handle


def _check_name(name: str | None) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"name must be a text, not {name!r}")
    if not name.isprintable() or not any(map(str.isalnum, name)):
        raise ValueError(f"name must be printable, with a letter or a digit in it, not {name!r}")
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
            f"handler {own_name} is annotated to return a value, which is not sent: send it with "
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
        room=None if limits is None else Room(limits),
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
    """Make *view* the view of *action*, with what decorators have put on *marked*."""
    copy_marks(marked, view)
    vars(view).update(is_stream=True, action=action, handler=action._handler.function)
    return cast("StreamActionView[...]", view)


def copy_marks(source: object, target: Callable[..., Any]) -> None:
    """Put what decorators have put on *source*, and on what it is a partial of, on *target* too.

    Of an object that is called too: ``functools.update_wrapper`` in a decorator that is a class puts them there.
    """
    marks = _copy_of_marks(source)
    marks.pop("__wrapped__", None)  # whose signature is not the view's
    vars(target).update(marks)


def _copy_of_marks(source: object) -> dict[str, Any]:
    below = _copy_of_marks(source.func) if isinstance(source, partial) else {}
    return {**below, **getattr(source, "__dict__", {})}


def _own_name(handler: Any) -> str:
    while isinstance(handler, partial):
        handler = handler.func
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
