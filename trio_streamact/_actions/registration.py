"""Make the views that are registered with an app: they call the handler or view with all its decorators."""

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


def action_of(given: Any) -> StreamAction | None:
    """Return the action that *given*, a view that may be decorated, serves; return None if *given* is a handler."""
    seen = 0
    while given is not None and seen < 100:  # decorators may refer to each other
        action = getattr(given, "action", None)
        if isinstance(action, StreamAction):
            return action
        given, seen = given.func if isinstance(given, partial) else getattr(given, "__wrapped__", None), seen + 1
    return None


def registered_view(given: Callable[..., Any], action: StreamAction, where: str) -> StreamActionView[...]:
    """Return a new view that calls *given*, for the registration at *where*, such as "POST /chat".

    Raises:
        TypeError: *given* is not callable, or is a generator function.
    """
    target = given.func if isinstance(given, partial) else given
    if not callable(given) or inspect.isasyncgenfunction(target) or inspect.isgeneratorfunction(target):
        raise TypeError(
            f"{name_of(given)} cannot serve the action {action.name} at {where}: a decorator of a view must return "
            "a function that returns the response of the view"
        )

    async def view(**route: Any) -> Response:
        # The wrapper of a synchronous decorator returns the coroutine of the view. It runs here, not in a thread.
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
    """The attributes of a registered view. They raise when ``functools.wraps`` copies them.

    A decorator above the registration would never run: a ``login_required`` there would protect nothing. It copies
    the attributes of the view, and that is how it is detected.
    """

    def __init__(self, attributes: dict[str, Any], where: str) -> None:
        super().__init__(attributes)
        self._where = where

    # `dict.update` calls `keys` only for a subclass that defines `__iter__`.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # typeshed's is of a private class
        frame = sys._getframe(1)
        if frame.f_code is update_wrapper.__code__:
            wrapper = frame.f_locals.get("wrapper")
            code = getattr(wrapper, "__code__", None)  # `wraps` has changed the names of the function, not of its code
            decorator = name_of(wrapper) if code is None else code.co_qualname.partition(".<locals>")[0]
            raise TypeError(
                f"{decorator} is above the decorator that registers the action at {self._where}, where it would never "
                "run: write it below that decorator"
            )
        return super().keys()


def found_routes(app: Quart) -> list[Route]:
    """Return the routes of the actions that were registered on blueprints or by ``app.post``."""
    actions: AppActions = app.extensions[SETTINGS]
    routes = []
    for rule in app.url_map.iter_rules():
        action = action_of(app.view_functions.get(rule.endpoint))
        if action is not None and rule.endpoint not in actions.by_endpoint:
            methods = _methods(rule.methods or ())
            namespace = rule.endpoint.rpartition(".")[0]
            routes.append(Route(rule.rule, methods, action, settings=actions.default, namespace=namespace))
    return routes


def _methods(methods: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(methods) - _AUTOMATIC)) or tuple(sorted(methods))
