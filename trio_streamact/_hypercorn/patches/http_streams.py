"""hypercorn's ``HTTPStream`` of a request, found from the request's scope.

Fault: nothing in a scope leads to the connection. ``send`` is a method of the ``HTTPStream``, but middleware outside
replaces ``send``: error trackers do, and tracers, and whatever patches ``Quart.__call__``.

So hypercorn starts each app with two marks of the stream:

- a weak reference in ``scope["extensions"]``. Copies of the scope keep it, deep copies too, and it keeps nothing alive;
- the same reference in a context variable, for middleware that builds a scope of its own. It counts for a scope of the
  same request only, and only until a guard has found its stream. An app that is called in-process, within a request,
  must not find the connection of that request.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import MethodType
from typing import Any

from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.trio.task_group import TaskGroup

from ..asgi import Scope, Send
from .versions import can_repair

EXTENSION = "trio_streamact.http_stream"

_HOUSE = __package__.rpartition(".")[0]  # where repairs are defined

Reference = Callable[[], HTTPStream | None]

_reference: ContextVar[Reference | None] = ContextVar("trio_streamact.http_stream")
"""The stream of the request that this task was started for; None once a guard has found it."""


def repair() -> None:
    """Have hypercorn mark the scope and the task of each request."""
    spawn: Callable[..., Awaitable[Any]] = TaskGroup.spawn_app
    if getattr(spawn, "repaired", False) or not can_repair("a lost connection", TaskGroup, ("spawn_app",)):
        return

    async def spawn_marked(self: Any, app: Any, config: Any, scope: Any, send: Any) -> Any:
        stream = getattr(send, "__self__", None)
        if not isinstance(stream, HTTPStream):
            return await spawn(self, app, config, scope, send)
        reference = weakref.ref(stream)
        scope["extensions"][EXTENSION] = {"stream": reference}  # a dict, as ASGI has it of every extension
        token = _reference.set(reference)  # Trio copies the context of the task that spawns
        try:
            return await spawn(self, app, config, scope, send)
        finally:
            _reference.reset(token)

    spawn_marked.repaired = True  # type: ignore[attr-defined]
    spawn_marked.original = spawn  # type: ignore[attr-defined]
    TaskGroup.spawn_app = spawn_marked  # type: ignore[method-assign]


def find_stream(scope: Scope, send: Send) -> HTTPStream | None:
    """Return the stream that carries the request of *scope*; None under another server and for a call in-process."""
    stream = getattr(send, "__self__", None)
    if not isinstance(stream, HTTPStream):
        stream = _marked(scope) or _inherited(scope)
    _reference.set(None)
    # A response that has begun is not the response to this request: some app copied its own scope for a call.
    return stream if stream is not None and stream.state is ASGIHTTPState.REQUEST else None


def is_within_request() -> bool:
    """Return True if a guard has found the stream of this task before, so that this is a call in-process."""
    return _reference.get(_no_stream) is None


def is_own_send(send: Send, stream: HTTPStream) -> bool:
    """Return True if *send* is the ``send`` of *stream*, with nothing between."""
    return is_plain_method(send, stream, HTTPStream.__module__)


def is_plain_method(method: object, owner: object, module: str) -> bool:
    """Return True if *method* is a method of *owner* that *module* or a repair defines, and no wrapper resembling one.

    A wrapper may have all its names: ``functools.wraps`` copies them, and the proxies of wrapt have each attribute.
    """
    if type(method) is not MethodType or method.__self__ is not owner:
        return False
    defined_in: str = getattr(method.__func__, "__globals__", {}).get("__name__", "")
    return defined_in == module or defined_in.startswith(f"{_HOUSE}.")


def _marked(scope: Scope) -> HTTPStream | None:
    mark = (scope.get("extensions") or {}).get(EXTENSION)
    return None if mark is None else mark["stream"]()


def _inherited(scope: Scope) -> HTTPStream | None:
    stream = (_reference.get(None) or _no_stream)()
    return stream if stream is not None and _is_same_request(scope, stream.scope) else None


def _is_same_request(scope: Scope, original: Any) -> bool:
    """Return True if *scope* was built from *original*: it shares header fields, as objects, and asks for the same.

    A client that calls an app in-process makes header fields of its own, even of the same text.
    """
    if any(scope.get(name) != original[name] for name in ("method", "path", "query_string")):
        return False
    own = {id(field) for field in original["headers"]}
    return any(id(field) in own for field in scope["headers"])


def _no_stream() -> None:
    return None
