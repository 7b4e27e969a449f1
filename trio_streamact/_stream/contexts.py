"""Keep Quart's contexts of a request active for a handler that runs after the view has returned.

Quart 0.23 has one context for app and request, which counts how often it was pushed. It is held until the handler has
finished. Then its teardown functions run, once. Older releases have two contexts without a count. Copies of them are
pushed for the handler, and teardown functions run twice: after the view, and after the handler.
"""

from __future__ import annotations

import copy
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import Context
from types import TracebackType
from typing import Any, final

import attrs
import quart.ctx
import quart.globals
import trio
from quart import Quart, Request
from quart.ctx import AppContext
from quart.signals import appcontext_popped, appcontext_tearing_down, request_tearing_down

from .._common.logs import log
from .._hypercorn.exchange import Exchange

TEARDOWN_S = 5.0
"""The longest time that teardown functions of the app may delay the end of a stream, in seconds."""

Contexts = AbstractAsyncContextManager[None]
"""The contexts of one request, for an ``async with`` block."""

_OldRequestContext: type[Any] | None = getattr(quart.ctx, "RequestContext", None)  # until Quart 0.22
_SIGNALS = (request_tearing_down, appcontext_tearing_down, appcontext_popped)


async def hold_contexts(exchange: Exchange | None) -> Contexts:
    """Return the contexts of the current request. They are active in the block of an ``async with``.

    The block must be entered and left in a task that shares the ``contextvars.Context`` of the request's task. If the
    block is never entered, the contexts are released at the end of *exchange*.
    """
    app_context = quart.globals.app_ctx._get_current_object()
    if _OldRequestContext is not None:
        request_context = quart.globals.request_ctx._get_current_object()  # type: ignore[attr-defined, unused-ignore]  # only in old releases
        return CopiedContexts(_copied(app_context), _copied(request_context))
    await app_context.push()  # increments the count; if it is already pushed, this does not wait or route again
    held = HeldContext(app_context)
    if exchange is not None:
        exchange.at_end(held.give_back)
    return held


@final
class HeldContext:
    """The context of a request in Quart 0.23 and later, held after the end of its view.

    Fault: ``pop()`` runs teardown functions in the task of its caller. If the client has left, that task is cancelled.
    """

    __slots__ = ("_context", "_token", "_variables")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._variables: Context = trio.lowlevel.current_task().context
        self._token = trio.lowlevel.current_trio_token()

    async def __aenter__(self) -> None:
        """Do nothing: the context is still active, because it was not popped."""

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        context, self._context = self._context, None
        if not _can_take_time(context, context.request):
            await context.pop(exc)
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TEARDOWN_S):
            await context.pop(exc)

    def give_back(self) -> None:
        """Schedule the teardown of the context, unless the block was left already.

        This is needed if the response was dropped before its body began: after an error, or because the client left.
        """
        context, self._context = self._context, None
        if context is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(_give_back, context, self._variables)

    __del__ = give_back  # if there is no exchange, or if a caller of the view holds the contexts


def _give_back(context: Any, variables: Context) -> None:
    async def pop() -> None:
        try:
            with trio.move_on_after(TEARDOWN_S):
                await context.pop(None)
        except Exception:  # an exception in a system task would end Trio's run
            log.exception("The teardown functions of a request failed")

    trio.lowlevel.spawn_system_task(pop, context=variables)  # Quart allows `pop` only in this one


@final
@attrs.frozen(eq=False)
class CopiedContexts:
    """Copies of the contexts of app and request, until Quart 0.22.

    The app context is pushed first. Otherwise Quart would create a new one, with a new ``g``.

    Fault: Quart's teardown functions do not run if their task is cancelled, as it is after the client has left.

    Fault: files of a form that was read before the handler are closed after the view.

    Fault: ``copy()`` of a context routes the request again, and so does ``push()``. This is a tenth of the cost of a
    stream.
    """

    _app: Any
    _request: Any
    _files: list[Any] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        request = self._request.request
        self._files.append(request._files)
        request._files = None  # Quart closes these files after the view

    async def __aenter__(self) -> None:
        self._request.request._files = self._files.pop()
        await self._app.push()
        routes, self._request.url_adapter = self._request.url_adapter, None
        try:
            await self._request.push()
        except BaseException:
            await self._app.pop(None)
            raise
        finally:
            self._request.url_adapter = routes

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        is_plain = type(self._request) is _OldRequestContext
        if is_plain and not _can_take_time(self._app, self._request.request):
            await self._pop(exc)
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TEARDOWN_S):
            await self._pop(exc)

    async def _pop(self, exc: BaseException | None) -> None:
        try:
            await self._request.auto_pop(exc)
        finally:
            await self._app.pop(exc)


def _copied(context: Any) -> Any:
    original = type(context)
    if original is AppContext or original is _OldRequestContext:
        copied = object.__new__(original)
        for name, value in vars(context).items():  # one by one: so the copy's `__dict__` shares its keys
            setattr(copied, name, value)
    else:
        copied = copy.copy(context)
    copied._cv_tokens = []
    return copied


def _can_take_time(app_context: Any, request: Any) -> bool:
    """Return True if ending these contexts may run code of the app. Then it must be shielded, which costs a scope."""
    app = app_context.app
    return bool(
        app.teardown_appcontext_funcs
        or any(app.teardown_request_funcs.values())
        or any(signal.receivers for signal in _SIGNALS)
        # A subclass of the app may do anything here.
        or type(app_context) is not AppContext
        or type(app).do_teardown_request is not Quart.do_teardown_request
        or type(app).do_teardown_appcontext is not Quart.do_teardown_appcontext
        or type(request).close is not Request.close
    )
