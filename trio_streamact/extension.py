"""The Quart extension: registers actions, holds an app's defaults, and puts in place what long streams need.

Next to ``StreamActions`` stand the names that the annotations of a program may need: what handlers, guards, middleware,
options and receivers of signals are.
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
from ._hypercorn import ServingGuard
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
"""The key of ``app.extensions`` below which the first extension of an app is."""

ALL = f"{EXTENSION}.all"
"""The key of ``app.extensions`` below which all extensions of an app are, in the order in which they came."""

P = ParamSpec("P")


class Registration(Protocol):
    """A decorator that registers a handler, a view of ``define_stream_action``, or what decorators have made of one."""

    @overload
    def __call__(self, given: StreamActionView[P], /) -> StreamActionView[P]: ...

    @overload
    def __call__(self, given: Callable[P, Awaitable[None]], /) -> StreamActionView[P]: ...

    @overload
    def __call__(self, given: Callable[..., Awaitable[Any]], /) -> StreamActionView[...]: ...


@final
class StreamActions:
    """Streaming server actions for one app, or for several.

    Args:
        app: The app, or None to call ``init_app`` later: actions can be registered before there is an app.
        url_prefix: Where the actions' paths begin.
        limits: What a stream may use, unless its action says otherwise.
        dialect: How streams end, unless their action says otherwise.
        handle_server_error: Makes of an unexpected exception what clients may read, unless the action says otherwise.
        client_key: Tells clients apart for ``Limits.streams_per_client``: a function of the request and the
            context that middleware made; the remote address where it is left out.
        allow_origins: Other sites whose pages may start actions with POST and the like, as browsers write them
            (``"https://example.com"``), or ``"*"`` for any. What such a page may read is up to CORS.
        sigterm: Whether a SIGTERM or SIGHUP to a worker is to be a graceful shutdown, unless somebody listens for it
            already.

    Raises:
        TypeError: The app is no ``QuartTrio``, or an option none that can work.
        ValueError: There is no such dialect or origin, or the prefix does not begin with a slash.
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
        """Serve the actions, those that are registered already and those that will be, from *app*."""
        if not isinstance(app, QuartTrio):
            raise TypeError(f"streams need a QuartTrio app, not {type(app).__qualname__}")
        if EXTENSION not in app.extensions:
            app.extensions[EXTENSION] = self
            app.extensions[SETTINGS] = AppActions(self._settings)
            app.extensions[ALL] = []
            guard = ServingGuard(app.asgi_app, self._sigterm, self._settings.limiter.limits.stall_s)  # type: ignore[arg-type]
            app.asgi_app = guard  # type: ignore[method-assign, assignment]
            app.cli.add_command(commands(lambda: routes_of(app), app.name))
        if app in self._apps:
            return
        beside = [actions for actions in all_of(app) if actions._url_prefix == self._url_prefix]
        app.extensions[ALL].append(self)
        if not beside:
            self._serve_client(app)
        self._apps.append(app)
        for route, view in zip(self._routes, self._views, strict=True):
            self._add(app, route, view)

    def route(
        self, path: str, /, *, methods: Iterable[str] = ("POST",), **options: Unpack[ActionOptions]
    ) -> Registration:
        """Decorate a handler, or a view of ``define_stream_action``, to serve it at *path* behind the prefix.

        A view may be wrapped by any decorator (``login_required``): the wrapper is what runs. What stands above this
        decorator would not run; it is refused where it uses ``functools.wraps``.

        The options are those of ``define_stream_action``; they are a handler's, and a view has had its own.

        Raises:
            TypeError: As ``define_stream_action`` does, or an option was given for a view.
            ValueError: The path does not begin with a slash, or would hide the browser client, or there is no method,
                or another action here has the same name.
        """
        if not isinstance(path, str):
            raise TypeError(f"an action needs a path, not {path!r}: write @actions.post('/path')")
        if not path.startswith("/"):
            raise ValueError(f"the path of an action must begin with a slash, not {path!r}")
        if path.startswith("/_client/<"):
            raise ValueError("behind /_client/ the client is served; an action there can have a path without variables")
        if isinstance(methods, str):
            raise TypeError(f"methods is a list of methods; write [{methods!r}] for a single one")
        on = tuple(method.upper() for method in methods)
        if not on:
            raise ValueError("an action needs a method")

        def register(given: Any) -> Any:  # for the types see Registration
            action = action_of(given)
            if action is None:
                given = define_stream_action(**options)(given)
                action = given.action
            elif options:
                raise TypeError(f"give {', '.join(options)} to define_stream_action, not with its view")
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
        """Describe the actions that are registered here by OpenAPI 3.2, in plain JSON values.

        It holds docstrings and is served nowhere by itself: give it to whom it is for.
        """
        routes = list(self._routes)
        for app in self._apps:
            if all_of(app)[0] is self:
                routes += found_routes(app)
        return openapi(describe(routes), "Stream actions")

    def _serve_client(self, app: QuartTrio) -> None:
        endpoint = f"streamact{self._url_prefix}/_client"  # no action's: those have no slashes
        app.add_url_rule(
            self._url_prefix + PATH, endpoint, client_view(lambda: routes_of(app, prefix=self._url_prefix))
        )

    def _add(self, app: QuartTrio, route: Route, view: StreamActionView[...]) -> None:
        # The same action may stand at several paths, so its name alone is no endpoint.
        taken = f"streamact.{view.__name__}"
        endpoint, count = taken, 2
        while endpoint in app.view_functions:
            endpoint, count = f"{taken}_{count}", count + 1
        app.extensions[SETTINGS].by_endpoint[endpoint] = self._settings
        app.add_url_rule(route.path, endpoint, view, methods=list(route.methods))


def all_of(app: QuartTrio) -> list[StreamActions]:
    """List the extensions that serve actions from *app*, in the order in which they came."""
    return list(app.extensions.get(ALL, []))


def routes_of(app: QuartTrio, prefix: str | None = None) -> list[Route]:
    """List where the actions of *app* are served: those of its extensions, all or those of one *prefix*, and with the
    first extension those that were registered without any, on blueprints or by ``app.post``."""
    routes: list[Route] = []
    for place, actions in enumerate(all_of(app)):
        if prefix is None or actions._url_prefix == prefix:
            routes += actions._routes
            routes += [] if place else found_routes(app)
    return routes
