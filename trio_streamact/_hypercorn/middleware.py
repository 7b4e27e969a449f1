"""The outermost ASGI middleware of an app with streams."""

from __future__ import annotations

from typing import final

import attrs
import trio
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.tcp_server import TCPServer
from quart import Quart
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

from .._common.exception_groups import split_exception
from .._common.logs import log
from ..limits import Limits
from .asgi import ASGIApp, Receive, Scope, Send
from .connection import Connection
from .disconnects import is_disconnect
from .exchange import SCOPE_KEY, Exchange, exchange_in, is_copied
from .patches import (
    access_log,
    app_queue,
    flow_control,
    http2,
    http_streams,
    isolation,
    keep_alive,
    pipelining,
    refusals,
    server_log,
    turns,
    websockets,
)
from .patches.http2 import keep_answered_streams, lift_request_limit, protocol_behind
from .patches.http_streams import find_stream, is_plain_method, is_within_request
from .patches.versions import can_repair
from .shutdown import stop_on_signals
from .targets import Refusal, fault_of

WRONG_WORKER = (
    "this app runs on Trio, and was started on another event loop: "
    "start hypercorn with `-k trio`, or serve it with hypercorn.trio.serve"
)


@final
@attrs.define(eq=False)
class ServingMiddleware:
    """ASGI middleware that applies the patches, and serves each request of an app as an ``Exchange``.

    Args:
        app: The app.
        sigterm: If True, a SIGTERM or SIGHUP to this process starts a graceful shutdown.
        stall_s: The time after which a client that takes too little of a response is ended, in seconds. It is for
            responses that are not streams.
    """

    app: ASGIApp
    sigterm: bool = True
    stall_s: float = Limits().stall_s
    _reaches: bool = attrs.field(default=False, init=False)
    _warned: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._reaches = can_repair(
            "what a stream needs of its connection", TCPServer, ("protocol_send", "run", "_initiate_server_close")
        )
        http_streams.repair()
        flow_control.repair()
        pipelining.repair()
        refusals.repair()
        isolation.repair()
        keep_alive.repair()
        http2.repair()
        access_log.repair()
        app_queue.repair()
        server_log.repair()
        websockets.repair()
        turns.repair()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not trio.lowlevel.in_trio_task():
            await _refuse_to_start(scope, receive, send)
            return
        if scope["type"] == "lifespan" and self.sigterm:
            await self._lifespan(scope, receive, send)
            return
        app = self.app if (fault := fault_of(scope)) is None else Refusal(fault)
        if scope["type"] != "http" or exchange_in(scope) is not None:  # an outer instance has done all this
            await app(scope, receive, send)
        else:
            exchange = self._exchange(scope, receive, send)
            try:  # not in a separate method, whose Python frame would be memory that an idle stream holds
                await app(scope, exchange.receive, exchange.send)
            except trio.Cancelled:
                raise
            except BaseException as error:
                await self._failed(exchange, error)
            finally:
                exchange.leave()
                (scope.get("extensions") or {}).pop(SCOPE_KEY, None)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(stop_on_signals)
                await self.app(scope, receive, send)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            # hypercorn 0.17 treats a group as a failure, even if it contains only a cancellation.
            if (cancelled := split_exception(group)).stop is None and cancelled.failure is None:
                await trio.lowlevel.checkpoint_if_cancelled()
            raise

    def _exchange(self, scope: Scope, receive: Receive, send: Send) -> Exchange:
        is_within = is_within_request()
        http = find_stream(scope, send) if self._reaches and not is_copied(scope) else None
        connection = Connection.of(http)
        exchange = Exchange(receive, send, connection, self._is_unwrapped)
        _ = exchange.worker  # registers the worker, so that signals to the process reach it
        exchange.watchdog.watch_writes(self.stall_s)
        if http is not None:
            self._repair_protocol(http)
        elif self._reaches and not is_within:
            self._warn_once(scope)
        scope["extensions"] = {**(scope.get("extensions") or {}), SCOPE_KEY: exchange}
        return exchange

    @property
    def _is_unwrapped(self) -> bool:
        """Return True if the app is Quart's own. Then nothing between this and the bodies needs to see what is sent."""
        app = getattr(self.app, "__self__", None)
        return (
            isinstance(app, QuartTrio)
            and is_plain_method(self.app, app, Quart.__module__)
            and app.asgi_http_class is TrioASGIHTTPConnection
        )

    def _repair_protocol(self, http: HTTPStream) -> None:
        if (protocol := protocol_behind(http)) is not None:
            lift_request_limit(protocol)
            keep_answered_streams(protocol)

    def _warn_once(self, scope: Scope) -> None:
        is_test = "_quart._preserve_context" in scope  # only Quart's test client sets it
        if not is_test and not self._warned:
            self._warned = True
            log.warning(
                "The connection of a request to %s was not found: hypercorn's Trio worker did not pass the request, or "
                "middleware outside StreamActions(app) built a new scope for it. Clients that stall keep such "
                "connections, and a shutdown cuts their streams without an error frame",
                scope["path"],
            )

    async def _failed(self, exchange: Exchange, error: BaseException) -> None:
        """Handle *error*, which has left the app.

        Fault: hypercorn logs a ``KeyboardInterrupt`` or ``SystemExit`` that leaves a request, and continues.

        Fault: Quart raises an exception if the client has disconnected. quart-trio 0.13 lets it reach hypercorn, which
        logs it as a failure of the app.
        """
        if is_disconnect(error):
            return
        parts = split_exception(error)
        if parts.failure is not None:
            await exchange.fail()
        if parts.stop is None:
            raise error
        await exchange.worker.stop_for(error)
        if (rest := parts.cancelled or parts.failure) is not None:
            raise rest


async def _refuse_to_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Let the startup fail with a message that names the mistake. The server prints it.

    Fault: without ``-k trio``, hypercorn starts anyway, logs a warning about the lifespan, and answers every request
    500.
    """
    if scope["type"] != "lifespan":
        raise RuntimeError(WRONG_WORKER)
    await receive()
    await send({"type": "lifespan.startup.failed", "message": WRONG_WORKER})
