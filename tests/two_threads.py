"""Two hypercorns in two threads of one process, each with an app and a run of Trio of its own; started by a test."""

from __future__ import annotations

import threading
from functools import partial

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from tests.apps import make_app


def run() -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    app, _ = make_app()
    trio.run(partial(serve, app, config))


if __name__ == "__main__":
    thread = threading.Thread(target=run)
    thread.start()
    run()
    thread.join()
