"""The app that is fuzzed, started from a shell: every kind of input, ordinary routes, WebSockets unless left out."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from hypercorn.trio.tcp_server import TCPServer
from quart import abort, request, websocket
from quart_trio import QuartTrio

from tests.fuzz.inputs import INPUTS
from trio_streamact import ActionError, Limits, Stream, StreamActions
from trio_streamact._hypercorn.disconnects import is_disconnect

PREFIX = "/api/_actions"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

app = QuartTrio(__name__)
app.config["BODY_TIMEOUT"] = 2
app.config["RESPONSE_TIMEOUT"] = 2
actions = StreamActions(app, limits=Limits(stall_s=1.0, heartbeat_s=0.5))


async def echo(input: Any, stream: Stream[Any]) -> None:
    await stream.send("ok")


for path, declared in INPUTS.items():
    actions.route(path, methods=METHODS, input=declared)(echo)


@actions.route("/ticks", methods=["GET", "POST"])
async def ticks(stream: Stream[float]) -> None:
    """Send how many seconds of the processor this worker has taken, every 50 ms."""
    while True:
        await stream.send(time.thread_time())
        await trio.sleep(0.05)


@actions.route("/flood", methods=["GET", "POST"])
async def flood(stream: Stream[str]) -> None:
    while True:
        await stream.send("x" * 1000)


@actions.route("/idle", methods=["GET", "POST"])
async def idle(stream: Stream[None]) -> None:
    await trio.sleep_forever()


@actions.route("/refused", methods=METHODS)
async def refused(stream: Stream[None]) -> None:
    raise ActionError("NOT_FOUND", "No such thing", 404)


@actions.post("/item/<name>/<path:rest>")
async def item(input: dict[str, Any], stream: Stream[Any]) -> None:
    await stream.send("ok")


@app.get("/plain")
async def plain() -> str:
    return "plain"


@app.post("/upload")
async def upload() -> dict[str, int]:
    try:
        return {"files": len(await request.files), "bytes": len(await request.get_data())}
    except Exception as error:  # Quart logs it as a failure of the route that its client has left
        if is_disconnect(error):
            return {}
        raise


if os.environ.get("FUZZ_WEBSOCKETS", "1") != "0":

    @app.websocket("/ws/echo")
    async def ws_echo() -> None:
        while True:
            await websocket.send(await websocket.receive() or b"")  # Quart makes None of an empty message of bytes

    @app.websocket("/ws/waits")
    async def ws_waits() -> None:
        await trio.sleep_forever()

    @app.websocket("/ws/refuses")
    async def ws_refuses() -> None:
        abort(403)

    @app.websocket("/ws/returns")
    async def ws_returns() -> None:
        await websocket.accept()

    @app.websocket("/ws/sends")
    async def ws_sends() -> None:
        while True:
            await websocket.send("x" * 1000)


def _tasks() -> Iterator[trio.lowlevel.Task]:
    waiting = [trio.lowlevel.current_root_task()]
    while waiting:
        task = waiting.pop()
        if task is not None:
            yield task
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]


@app.get("/figures")
async def figures() -> dict[str, Any]:
    """What this worker holds: tasks, descriptors, memory, and which clients' connections are still there."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not of glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])  # noqa: ASYNC240 - the kernel answers at once
    names = Counter(task.name for task in _tasks())
    protocols = [each.protocol.protocol for each in gc.get_objects() if type(each) is TCPServer]
    return {
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "names": names,
        "files": len(os.listdir("/proc/self/fd")),
        "kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "ports": [protocol.client[1] for protocol in protocols if protocol.client is not None],
        "cpu_s": time.thread_time(),
    }
