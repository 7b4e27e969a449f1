"""The Quart extension: registers actions, holds an app's defaults, and puts in place what long streams need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Unpack, cast, final

from quart_trio import QuartTrio

from .action import (
    ActionOptions,
    AppPolicy,
    ClientKey,
    Handler,
    StreamActionView,
    check_dialect,
    check_limits,
    check_server_error_handler,
    define_stream_action,
    remote_address,
    with_defaults,
)
from .client_files import PATH, client_view
from .commands import commands
from .errors import ServerErrorHandler
from .limits import Limits
from .origins import allowed_origins
from .references import Route, describe, openapi
from .room import Room
from .serving import ServingGuard
from .wire import Dialect

EXTENSION = "trio_streamact"

Registration = Callable[[Handler | StreamActionView], StreamActionView]


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
        sigterm: Whether a SIGTERM to a worker is to be a graceful shutdown, unless somebody listens for it already.

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
        self._room = Room(check_limits(limits) or Limits())
        self._policy = AppPolicy(client_key, allowed_origins(allow_origins))
        self._sigterm = sigterm
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
        if not isinstance(app.extensions.get(EXTENSION), StreamActions):
            app.extensions[EXTENSION] = self
            app.asgi_app = ServingGuard(app.asgi_app, self._sigterm)  # type: ignore[method-assign, assignment, arg-type]
            app.cli.add_command(commands(lambda: [route for each in all_of(app) for route in each._routes], app.name))
        if app in self._apps:
            return
        beside = [actions for actions in all_of(app) if actions._url_prefix == self._url_prefix]
        app.extensions.setdefault(f"{EXTENSION}.all", []).append(self)
        if not beside:
            self._serve_client(app)
        self._apps.append(app)
        for route in self._routes:
            self._add(app, route)

    def route(
        self, path: str, /, *, methods: Iterable[str] = ("POST",), **options: Unpack[ActionOptions]
    ) -> Registration:
        """Decorate a handler, or a view of ``define_stream_action``, to serve it at *path* behind the prefix.

        The options are those of ``define_stream_action``; they are a handler's, and a view has had its own.

        Raises:
            TypeError: As ``define_stream_action`` does, or an option was given for a view.
            ValueError: The path does not begin with a slash, or would hide the browser client, or there is no method.
        """
        if not path.startswith("/"):
            raise ValueError(f"the path of an action must begin with a slash, not {path!r}")
        if path.startswith("/_client/<"):
            raise ValueError("behind /_client/ the client is served; an action there can have a path without variables")
        if isinstance(methods, str):
            raise TypeError(f"methods is a list of methods; write [{methods!r}] for a single one")
        on = tuple(method.upper() for method in methods)
        if not on:
            raise ValueError("an action needs a method")

        def register(handler: Handler | StreamActionView) -> StreamActionView:
            if hasattr(handler, "action"):
                if options:
                    raise TypeError(f"give {', '.join(options)} to define_stream_action, not with its view")
                view = cast("StreamActionView", handler)
            else:
                view = define_stream_action(handler, **options)
            view = with_defaults(view, self._room, self._dialect, self._handle_server_error, self._policy)
            route = Route(self._url_prefix + path, on, view)
            for app in self._apps:
                self._add(app, route)
            self._routes.append(route)
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

        Raises:
            ValueError: Two actions have the same name.
        """
        return openapi(describe(self._routes), "Stream actions")

    def _serve_client(self, app: QuartTrio) -> None:
        def routes() -> list[Route]:
            beside = [actions for actions in all_of(app) if actions._url_prefix == self._url_prefix]
            return [route for actions in beside for route in actions._routes]

        endpoint = f"streamact{self._url_prefix}/_client"  # no action's: those have no slashes
        app.add_url_rule(self._url_prefix + PATH, endpoint, client_view(routes))

    def _add(self, app: QuartTrio, route: Route) -> None:
        # The same action may stand at several paths, so its name alone is no endpoint.
        taken = f"streamact.{route.view.action.name}"
        endpoint, count = taken, 2
        while endpoint in app.view_functions:
            endpoint, count = f"{taken}_{count}", count + 1
        app.add_url_rule(route.path, endpoint, route.view, methods=list(route.methods))


def all_of(app: QuartTrio) -> list[StreamActions]:
    """List the extensions that serve actions from *app*, in the order in which they came."""
    return list(app.extensions.get(f"{EXTENSION}.all", []))
