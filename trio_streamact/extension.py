"""The Quart extension: registers actions, holds an app's defaults, and puts in place what long streams need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast, final

import attrs
from quart_trio import QuartTrio

from .action import (
    Handler,
    StreamActionView,
    check_dialect,
    check_limits,
    check_server_error_handler,
    define_stream_action,
    with_defaults,
)
from .errors import ServerErrorHandler
from .limits import Limits
from .serving import ServingGuard
from .wire import Dialect

EXTENSION = "trio_streamact"


@final
@attrs.frozen
class Route:
    """Where an action is registered."""

    path: str
    methods: tuple[str, ...]
    view: StreamActionView


@final
class StreamActions:
    """Streaming server actions for one app, or for several.

    Args:
        app: The app, or None to call ``init_app`` later: actions can be registered before there is an app.
        url_prefix: Where the actions' paths begin.
        limits: What a stream may use, unless its action says otherwise.
        dialect: How streams end, unless their action says otherwise.
        handle_server_error: Makes of an unexpected exception what clients may read, unless the action says otherwise.

    Raises:
        TypeError: The app is no ``QuartTrio``, or an option none that can work.
        ValueError: There is no such dialect, or the prefix does not begin with a slash.
    """

    def __init__(
        self,
        app: QuartTrio | None = None,
        *,
        url_prefix: str = "/api/_actions",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        dialect: Dialect = "marked",
        handle_server_error: ServerErrorHandler | None = None,
    ) -> None:
        if url_prefix and not url_prefix.startswith("/"):
            raise ValueError(f"url_prefix must begin with a slash, not {url_prefix!r}")
        self._url_prefix = url_prefix.rstrip("/")
        self._limits = check_limits(limits) or Limits()
        self._dialect: Dialect = check_dialect(dialect) or "marked"
        self._handle_server_error = check_server_error_handler(handle_server_error)
        self._routes: list[Route] = []
        self._apps: list[QuartTrio] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: QuartTrio) -> None:
        """Serve the actions, those that are registered already and those that will be, from *app*."""
        if not isinstance(app, QuartTrio):
            raise TypeError(f"streams need a QuartTrio app, not {type(app).__qualname__}")
        if EXTENSION not in app.extensions:
            app.extensions[EXTENSION] = self
            app.asgi_app = ServingGuard(app.asgi_app)  # type: ignore[method-assign, assignment, arg-type]
        self._apps.append(app)
        for route in self._routes:
            self._add(app, route)

    def route(
        self,
        path: str,
        handler: Handler | StreamActionView | None = None,
        /,
        *,
        methods: Iterable[str] = ("POST",),
        input: Any = None,
        middleware: Iterable[Callable[..., Awaitable[Any]]] = (),
        metadata: Mapping[str, Any] | None = None,
        handle_server_error: ServerErrorHandler | None = None,
        limits: Limits | None = None,
        dialect: Dialect | None = None,
    ) -> Any:
        """Register a handler, or a view that ``define_stream_action`` has made, at *path* behind the prefix.

        Without a handler this is a decorator. For the options see ``define_stream_action``; they are a handler's, and
        a view has had its own.

        Raises:
            TypeError: As ``define_stream_action`` does, or an option was given for a view.
            ValueError: The path does not begin with a slash.
        """
        if not path.startswith("/"):
            raise ValueError(f"the path of an action must begin with a slash, not {path!r}")
        options: dict[str, Any] = {
            "input": input,
            "middleware": tuple(middleware) if not callable(middleware) else middleware,
            "metadata": metadata,
            "handle_server_error": handle_server_error,
            "limits": limits,
            "dialect": dialect,
        }

        def register(handler: Handler | StreamActionView) -> StreamActionView:
            view: StreamActionView
            if hasattr(handler, "action"):
                if given := [name for name, value in options.items() if value]:
                    raise TypeError(f"{', '.join(given)}: give these to define_stream_action, not with its view")
                view = cast("StreamActionView", handler)
            else:
                view = define_stream_action(handler, **options)
            view = with_defaults(view, self._limits, self._dialect, self._handle_server_error)
            route = Route(self._url_prefix + path, tuple(method.upper() for method in methods), view)
            for app in self._apps:
                self._add(app, route)
            self._routes.append(route)
            return view

        return register if handler is None else register(handler)

    def get(self, path: str, handler: Handler | StreamActionView | None = None, /, **options: Any) -> Any:
        """Register an action for GET; its input is the query. See ``route``."""
        return self.route(path, handler, methods=("GET",), **options)

    def post(self, path: str, handler: Handler | StreamActionView | None = None, /, **options: Any) -> Any:
        """Register an action for POST. See ``route``."""
        return self.route(path, handler, methods=("POST",), **options)

    def put(self, path: str, handler: Handler | StreamActionView | None = None, /, **options: Any) -> Any:
        """Register an action for PUT. See ``route``."""
        return self.route(path, handler, methods=("PUT",), **options)

    def patch(self, path: str, handler: Handler | StreamActionView | None = None, /, **options: Any) -> Any:
        """Register an action for PATCH. See ``route``."""
        return self.route(path, handler, methods=("PATCH",), **options)

    def delete(self, path: str, handler: Handler | StreamActionView | None = None, /, **options: Any) -> Any:
        """Register an action for DELETE. See ``route``."""
        return self.route(path, handler, methods=("DELETE",), **options)

    def _add(self, app: QuartTrio, route: Route) -> None:
        # The same action may stand at several paths, so its name alone is no endpoint.
        taken = f"streamact.{route.view.action.name}"
        endpoint, count = taken, 2
        while endpoint in app.view_functions:
            endpoint, count = f"{taken}_{count}", count + 1
        app.add_url_rule(route.path, endpoint, route.view, methods=list(route.methods))
