"""The Quart extension: registers actions, holds the defaults of an app, and prepares hypercorn for long streams.

Besides ``StreamActions``, this module contains the types that annotations of a program may need: of handlers, guards,
middleware, options and receivers of signals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ParamSpec, Protocol, Unpack, final, overload

from quart_trio import QuartTrio

from ._actions.action import SETTINGS, AppActions, AppSettings, ClientKey, Guard, Handler, Middleware, remote_address
from ._actions.capacity import StreamLimiter
from ._actions.csrf import allowed_origins
from ._actions.definition import (
    ActionOptions,
    StreamActionView,
    check_dialect,
    check_limits,
    check_server_error_handler,
    define_stream_action,
)
from ._actions.registration import action_of, found_routes, registered_view
from ._actions.routes import Route
from ._codegen import check_names, describe, openapi
from ._codegen.assets import PATH, client_view
from ._codegen.cli import commands
from ._hypercorn import ServingMiddleware
from ._protocol.encoding import Dialect
from ._stream.signals import StreamEndedReceiver, StreamEndedSignal, StreamOpenedReceiver, StreamOpenedSignal
from .errors import ServerErrorHandler
from .limits import Limits

__all__ = [
    "ActionOptions",
    "ClientKey",
    "Dialect",
    "Guard",
    "Handler",
    "Middleware",
    "Registration",
    "StreamActionView",
    "StreamActions",
    "StreamEndedReceiver",
    "StreamEndedSignal",
    "StreamOpenedReceiver",
    "StreamOpenedSignal",
]

EXTENSION = "trio_streamact"
"""The key of the first ``StreamActions`` of an app in ``app.extensions``."""

ALL = f"{EXTENSION}.all"
"""The key of the list of all ``StreamActions`` of an app in ``app.extensions``, in the order of ``init_app``."""

P = ParamSpec("P")


class Registration(Protocol):
    """A decorator that registers a handler or a view of ``define_stream_action``; either may be decorated."""

    @overload
    def __call__(self, given: StreamActionView[P], /) -> StreamActionView[P]: ...

    @overload
    def __call__(self, given: Callable[P, Awaitable[None]], /) -> StreamActionView[P]: ...

    @overload
    def __call__(self, given: Callable[..., Awaitable[Any]], /) -> StreamActionView[...]: ...


@final
class StreamActions:
    """Registers streaming server actions, and serves them from one or more apps.

    Args:
        app: The app, or None to call ``init_app`` later. Actions can be registered before that.
        url_prefix: The prefix of the paths of all actions.
        limits: The limits of all actions without limits of their own.
        dialect: The dialect of all actions without one of their own: ``"marked"`` or ``"named"``.
        handle_server_error: The function that converts an unexpected exception to the error for the client, for all
            actions without one of their own. See ``define_stream_action``.
        client_key: The function that returns a key for a client, from the request and the ``ctx`` of guards and
            middleware. ``Limits.streams_per_client`` counts by it. The default is the remote address.
        allow_origins: The origins of other sites whose pages may call actions with POST, PUT, PATCH and DELETE, in
            the form of the ``Origin`` header (``"https://example.com"``), or ``"*"`` for all. This does not set CORS
            headers: without them such a page can call an action, but cannot read the stream.
        sigterm: If True, a SIGTERM or SIGHUP to a worker starts a graceful shutdown, unless the program already
            handles that signal.

    Raises:
        TypeError: *app* is not a ``QuartTrio``, or an option has the wrong type.
        ValueError: The dialect or an origin is not valid, or the prefix does not begin with a slash.
    """

    def __init__(
        self,
        app: QuartTrio | None = None,
        *,
        url_prefix: str = "/api/_actions",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        dialect: Dialect = "marked",
        handle_server_error: ServerErrorHandler | None = None,
        client_key: ClientKey = remote_address,
        allow_origins: Iterable[str] = (),
        sigterm: bool = True,
    ) -> None:
        if url_prefix and not url_prefix.startswith("/"):
            raise ValueError(f"url_prefix must begin with a slash, not {url_prefix!r}")
        self._url_prefix = url_prefix.rstrip("/")
        self._settings = AppSettings(
            limiter=StreamLimiter(check_limits(limits) or Limits()),
            dialect=check_dialect(dialect) or "marked",
            handle_server_error=check_server_error_handler(handle_server_error),
            client_key=client_key,
            origins=allowed_origins(allow_origins),
        )
        self._sigterm = sigterm
        self._routes: list[Route] = []
        self._views: list[StreamActionView[...]] = []  # of each route
        self._apps: list[QuartTrio] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: QuartTrio) -> None:
        """Serve all actions from *app*, also those that are registered later.

        Raises:
            TypeError: *app* is not a ``QuartTrio``.
        """
        if not isinstance(app, QuartTrio):
            raise TypeError(f"app must be a QuartTrio, not {type(app).__qualname__}")
        if EXTENSION not in app.extensions:
            app.extensions[EXTENSION] = self
            app.extensions[SETTINGS] = AppActions(self._settings)
            app.extensions[ALL] = []
            guard = ServingMiddleware(app.asgi_app, self._sigterm, self._settings.limiter.limits.stall_s)  # type: ignore[arg-type]
            app.asgi_app = guard  # type: ignore[method-assign, assignment]
            app.cli.add_command(commands(lambda: routes_of(app), app.name))
        if app in self._apps:
            return
        same_prefix = [actions for actions in all_of(app) if actions._url_prefix == self._url_prefix]
        app.extensions[ALL].append(self)
        if not same_prefix:
            self._serve_client(app)
        self._apps.append(app)
        for route, view in zip(self._routes, self._views, strict=True):
            self._add(app, route, view)

    def route(
        self, path: str, /, *, methods: Iterable[str] = ("POST",), **options: Unpack[ActionOptions]
    ) -> Registration:
        """Return a decorator that serves a handler, or a view of ``define_stream_action``, at the prefix plus *path*.

        A view may be decorated, for example with ``login_required``: the decorated view runs. A decorator above this
        one would never run; if it uses ``functools.wraps``, it raises ``TypeError``.

        The options are those of ``define_stream_action``, for a handler. A view already has its options.

        Raises:
            TypeError: *path*, *methods* or an option has the wrong type, or an option was passed for a view. Or
                ``define_stream_action`` raised it.
            ValueError: *path* does not begin with a slash, or is reserved for the browser client; *methods* is empty;
                or another action of this prefix has the same name.
        """
        if not isinstance(path, str):
            raise TypeError(f"path must be a string, not {path!r}: write @actions.post('/path')")
        if not path.startswith("/"):
            raise ValueError(f"path must begin with a slash, not {path!r}")
        if path.startswith("/_client/<"):
            raise ValueError(
                f"paths below /_client/ are reserved for the browser client and cannot contain variables, not {path!r}"
            )
        if isinstance(methods, str):
            raise TypeError(f"methods must be a list of methods, not {methods!r}: write [{methods!r}] for a single one")
        on = tuple(method.upper() for method in methods)
        if not on:
            raise ValueError("methods must contain at least one method")

        def register(given: Any) -> Any:  # for the types see Registration
            action = action_of(given)
            if action is None:
                given = define_stream_action(**options)(given)
                action = given.action
            elif options:
                raise TypeError(
                    f"options of a view must be passed to define_stream_action, not here: {', '.join(options)}"
                )
            whole = self._url_prefix + path
            view = registered_view(given, action, f"{on[0]} {whole}")
            route = Route(whole, on, action, settings=self._settings, namespace=self._url_prefix)
            check_names([*self._routes, route])
            for app in self._apps:
                self._add(app, route, view)
            self._routes.append(route)
            self._views.append(view)
            return view

        return register

    def get(self, path: str, /, **options: Unpack[ActionOptions]) -> Registration:
        """Serve an action for GET; its input is the query. See ``route``."""
        return self.route(path, methods=("GET",), **options)

    def post(self, path: str, /, **options: Unpack[ActionOptions]) -> Registration:
        """Serve an action for POST. See ``route``."""
        return self.route(path, methods=("POST",), **options)

    def put(self, path: str, /, **options: Unpack[ActionOptions]) -> Registration:
        """Serve an action for PUT. See ``route``."""
        return self.route(path, methods=("PUT",), **options)

    def patch(self, path: str, /, **options: Unpack[ActionOptions]) -> Registration:
        """Serve an action for PATCH. See ``route``."""
        return self.route(path, methods=("PATCH",), **options)

    def delete(self, path: str, /, **options: Unpack[ActionOptions]) -> Registration:
        """Serve an action for DELETE. See ``route``."""
        return self.route(path, methods=("DELETE",), **options)

    def openapi(self) -> dict[str, Any]:
        """Return an OpenAPI 3.2 document of the actions that are registered here, as plain JSON values.

        It contains the docstrings of the handlers. The extension does not serve it; serve it where it may be read.
        """
        routes = list(self._routes)
        for app in self._apps:
            if all_of(app)[0] is self:
                routes += found_routes(app)
        return openapi(describe(routes), "Stream actions")

    def _serve_client(self, app: QuartTrio) -> None:
        endpoint = f"streamact{self._url_prefix}/_client"  # unique, since endpoints of actions do not contain slashes
        app.add_url_rule(
            self._url_prefix + PATH, endpoint, client_view(lambda: routes_of(app, prefix=self._url_prefix))
        )

    def _add(self, app: QuartTrio, route: Route, view: StreamActionView[...]) -> None:
        # An action may be registered at several paths, so its name is not unique as an endpoint.
        taken = f"streamact.{view.__name__}"
        endpoint, count = taken, 2
        while endpoint in app.view_functions:
            endpoint, count = f"{taken}_{count}", count + 1
        app.extensions[SETTINGS].by_endpoint[endpoint] = self._settings
        app.add_url_rule(route.path, endpoint, view, methods=list(route.methods))


def all_of(app: QuartTrio) -> list[StreamActions]:
    """Return all ``StreamActions`` of *app*, in the order of ``init_app``."""
    return list(app.extensions.get(ALL, []))


def routes_of(app: QuartTrio, prefix: str | None = None) -> list[Route]:
    """Return the routes of the actions of *app*, of all its ``StreamActions`` or of those with one *prefix*.

    Actions that were registered on blueprints or by ``app.post`` belong to the first ``StreamActions``.
    """
    routes: list[Route] = []
    for place, actions in enumerate(all_of(app)):
        if prefix is None or actions._url_prefix == prefix:
            routes += actions._routes
            routes += [] if place else found_routes(app)
    return routes
