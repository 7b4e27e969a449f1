"""Serve the examples on real hypercorn until Ctrl-C: ``python -m examples``, or ``make demo``.

``PORT`` says where, 8000 if it does not; when that is taken, the next free port is. ``PORT=0`` is any free one.
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
        sys.exit(f"PORT is a number up to 65535, not {port!r}")
    try:
        listener = listen(int(port))
    except OSError as error:
        sys.exit(f"Cannot listen at port {port} of {HOST}: {error}")
    try:
        trio.run(serve_until_stopped, listener)
    except* KeyboardInterrupt:
        pass  # the second Ctrl-C, of someone who did not want to wait for the first


def listen(port: int) -> socket.socket:
    """Give a listening socket at *port*, or at the first free one of those behind it."""
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
            print(f"Port {candidate} is taken.", flush=True)
        else:
            return listener
    raise OSError("it is taken, and so are the next ones")


async def serve_until_stopped(listener: socket.socket) -> None:
    """Serve, say where once it is so, and stop gracefully on Ctrl-C and on SIGTERM."""
    host, port = listener.getsockname()
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # it is hypercorn's from here on
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

        async def stopped() -> None:
            await anext(signals)

        async with trio.open_nursery() as nursery:
            # hypercorn's types know no app that is an object, like Quart's.
            app = cast("Framework", create_app())
            await nursery.start(partial(serve, app, config, shutdown_trigger=stopped))
            print(f"\n  Open http://{host}:{port} in a browser; Ctrl-C stops it.\n", flush=True)


if __name__ == "__main__":
    main()
