"""Quart's contexts of a request, for a handler that runs when the view has returned."""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Any, Self, final

import attrs
import trio
from quart import Quart, Request
from quart.ctx import AppContext, RequestContext
from quart.signals import appcontext_popped, appcontext_tearing_down, request_tearing_down

TEARDOWN_S = 5.0
"""How long an app's teardown functions may hold up the end of a stream, in seconds."""


@final
@attrs.frozen(eq=False)
class Contexts:
    """The app's context and the request's, entered a second time; the app's outermost, or there would be a new ``g``.

    Fault: Quart's teardown functions do not run when their task is cancelled, so where the client has left.

    Fault: ``copy()`` of a context routes the request again, and so does entering it: a tenth of what a stream costs.
    """

    _app: Any
    _request: Any

    @classmethod
    def of(cls, app_context: Any, request_context: Any) -> Self:
        """Copy the contexts that *app_context* and *request_context*, Quart's proxies, stand for."""
        return cls(_copied(app_context), _copied(request_context))

    async def __aenter__(self) -> None:
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
        if not _can_take_time(self._app, self._request):
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
    original = context._get_current_object()
    if type(original) in _PLAIN_CONTEXTS:
        copied = object.__new__(type(original))
        for name, value in vars(original).items():  # one by one: so the copy's dict has its keys from the class
            setattr(copied, name, value)
    else:
        copied = copy.copy(original)
    copied._cv_tokens = []
    return copied


_PLAIN_CONTEXTS = (AppContext, RequestContext)
_SIGNALS = (request_tearing_down, appcontext_tearing_down, appcontext_popped)


def _can_take_time(app_context: Any, request_context: Any) -> bool:
    """Whether anything is done where these contexts end: then that has to be shielded, which costs a scope."""
    app = app_context.app
    return bool(
        app.teardown_appcontext_funcs
        or any(app.teardown_request_funcs.values())
        or any(signal.receivers for signal in _SIGNALS)
        # What a class of the app's own does instead, nobody knows.
        or type(app_context) is not AppContext
        or type(request_context) is not RequestContext
        or type(app).do_teardown_request is not Quart.do_teardown_request
        or type(app).do_teardown_appcontext is not Quart.do_teardown_appcontext
        or type(request_context.request).close is not Request.close
    )
