"""Views on their way into an app: what is given is what is served, whatever decorators stand around the action."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, KeysView
from functools import partial, update_wrapper
from typing import Any, final

from quart import Quart, Response

from .action import SETTINGS, AppActions, StreamAction
from .definition import StreamActionView, as_view
from .routes import Route
from .signature import name_of

_AUTOMATIC = frozenset({"HEAD", "OPTIONS"})
"""Methods that Quart adds to a route by itself."""


def action_behind(given: Any) -> StreamAction | None:
    """Return the action that *given* serves, a view or what decorators have made of it; None if it is a handler."""
    seen = 0
    while given is not None and seen < 100:  # decorators may refer to each other
        action = getattr(given, "action", None)
        if isinstance(action, StreamAction):
            return action
        given, seen = given.func if isinstance(given, partial) else getattr(given, "__wrapped__", None), seen + 1
    return None


def served(given: Callable[..., Any], action: StreamAction, where: str) -> StreamActionView[...]:
    """Make the view that is registered at *where*: it calls *given*, and is no one else's.

    Raises:
        TypeError: *given* cannot answer a request.
    """
    target = given.func if isinstance(given, partial) else given
    if not callable(given) or inspect.isasyncgenfunction(target) or inspect.isgeneratorfunction(target):
        raise TypeError(
            f"{name_of(given)} cannot serve the action {action.name} at {where}: a decorator of a view has to return "
            "a function that returns the view's response, or raises"
        )

    async def view(**route: Any) -> Response:
        # A plain decorator returns what the view returns, which has to be awaited; it runs here, in no thread.
        response = given(**route)
        answer: Response = await response if inspect.isawaitable(response) else response
        return answer

    name = getattr(target, "__name__", None) or action.name
    view.__name__ = view.__qualname__ = name
    view.__module__ = getattr(target, "__module__", __name__)
    view.__doc__ = action.description
    view_of_action = as_view(view, given, action)
    view.__dict__ = _Registered(view.__dict__, where)
    return view_of_action


@final
class _Registered(dict[str, Any]):
    """The attributes of a view that is registered: ``functools.wraps`` of a decorator above the registration copies
    them, and is told that the decorator would never run. A ``login_required`` there would guard nothing."""

    def __init__(self, attributes: dict[str, Any], where: str) -> None:
        super().__init__(attributes)
        self._where = where

    # `dict.update` asks a subclass with an `__iter__` of its own for its keys.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # typeshed's is of a private class
        frame = sys._getframe(1)
        if frame.f_code is update_wrapper.__code__:
            wrapper = frame.f_locals.get("wrapper")
            code = getattr(wrapper, "__code__", None)  # it has our names by now, and its code its own
            decorator = name_of(wrapper) if code is None else code.co_qualname.partition(".<locals>")[0]
            raise TypeError(
                f"{decorator} stands above the decorator that serves the action at {self._where}, where it would never "
                "run: write it below, between that and the handler"
            )
        return super().keys()


def found_routes(app: Quart) -> list[Route]:
    """List where *app* serves actions that no ``StreamActions`` has registered: on blueprints, by ``app.post``."""
    actions: AppActions = app.extensions[SETTINGS]
    routes = []
    for rule in app.url_map.iter_rules():
        action = action_behind(app.view_functions.get(rule.endpoint))
        if action is not None and rule.endpoint not in actions.by_endpoint:
            methods = _methods(rule.methods or ())
            namespace = rule.endpoint.rpartition(".")[0]
            routes.append(Route(rule.rule, methods, action, settings=actions.default, namespace=namespace))
    return routes


def _methods(methods: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(methods) - _AUTOMATIC)) or tuple(sorted(methods))
