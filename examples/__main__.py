"""Serve the examples with hypercorn until Ctrl-C: ``python -m examples``, or ``make demo``.

The environment variable ``PORT`` sets the port; the default is 8000. If the port is in use, the next free port is used.
``PORT=0`` means any free port.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from .demo import create_app

if TYPE_CHECKING:
    from hypercorn.typing import Framework

HOST = "127.0.0.1"
PORTS_TRIED = 20


def main() -> None:
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("examples").setLevel(logging.INFO)
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or int(port) > 65535:
        sys.exit(f"PORT must be a number up to 65535, not {port!r}")
    try:
        listener = listen(int(port))
    except OSError as error:
        sys.exit(f"Cannot listen on {HOST}:{port}: {error}")
    try:
        trio.run(serve_until_stopped, listener)
    except* KeyboardInterrupt:
        pass  # a second Ctrl-C: stop without waiting for the graceful shutdown


def listen(port: int) -> socket.socket:
    """Return a listening socket at *port*, or at the first free port after it."""
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
            print(f"Port {candidate} is in use.", flush=True)
        else:
            return listener
    raise OSError(f"this port and the next {PORTS_TRIED - 1} ports are in use")


async def serve_until_stopped(listener: socket.socket) -> None:
    """Serve the examples, print their address, and stop gracefully after Ctrl-C or SIGTERM."""
    host, port = listener.getsockname()
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

        async def stopped() -> None:
            await anext(signals)

        async with trio.open_nursery() as nursery:
            # hypercorn's types accept only functions as apps, but Quart's app is an object.
            app = cast("Framework", create_app())
            await nursery.start(partial(serve, app, config, shutdown_trigger=stopped))
            print(f"\n  Open http://{host}:{port} in a browser. Press Ctrl-C to stop.\n", flush=True)


if __name__ == "__main__":
    main()
