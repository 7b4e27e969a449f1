"""Playing scripts against a server, and looking at what it holds afterwards."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from attrs import define, field, frozen

from tests.cli import ROOT, hypercorn
from tests.fuzz.scripts import Script

SCRIPT_S = 3.0
"""How long a connection may last; what a server does not take by then is left."""

SETTLE_S = 20.0
"""How long a server may take to be as before, once all clients have left."""

STILL_S = 6.0
"""After how long what is left is taken to stay: longer than any timer of the app that is fuzzed."""

GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


@frozen
class Figures:
    """What a worker holds."""

    tasks: int
    files: int
    kib: int
    ports: frozenset[int]
    cpu_s: float
    names: Counter[str]
    """How many tasks there are of each name."""


@define(eq=False)
class Target:
    """The server that is fuzzed, in a process of its own."""

    host: str
    port: int
    output: bytearray
    scripts: dict[int, Script] = field(factory=dict)
    """What was played, by the port that the client had."""

    async def figures(self) -> Figures:
        """Ask the worker what it holds."""
        received = b""
        with trio.move_on_after(SETTLE_S):
            async with await trio.open_tcp_stream(self.host, self.port) as stream:
                await stream.send_all(b"GET /figures HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                received = b"".join([part async for part in stream])
        if not received:
            last = " ".join(script.name for script in [*self.scripts.values()][-20:])
            raise RuntimeError(f"the worker answers nobody any more; it was played last: {last}")
        told = json.loads(received.partition(b"\r\n\r\n")[2])
        return Figures(**{**told, "ports": frozenset(told["ports"]), "names": Counter(told["names"])})

    async def at_rest(self) -> Figures:
        """Wait until the worker holds what it did a moment ago, and return what that is."""
        before = await self.figures()
        while True:
            await trio.sleep(0.5)
            now = await self.figures()
            if (now.tasks, now.files) == (before.tasks, before.files):
                return now
            before = now

    async def settled(self, before: Figures, within_s: float = SETTLE_S) -> Figures:
        """Wait until the worker holds no more than *before*, and return what it holds then, or in the end."""
        last, changed_at = before, trio.current_time()
        deadline = trio.current_time() + within_s
        while True:
            now = await self.figures()
            if (now.tasks, now.files) != (last.tasks, last.files):
                last, changed_at = now, trio.current_time()
            is_settled = now.tasks <= before.tasks and now.files <= before.files
            if is_settled or trio.current_time() > min(deadline, changed_at + STILL_S):
                return now
            await trio.sleep(0.1)

    async def play(self, script: Script) -> int:
        """Play *script*, and return the port that the client had."""
        sock = trio.socket.socket()
        stream = trio.SocketStream(sock)
        port = 0
        with trio.move_on_after(SCRIPT_S):
            try:
                await sock.connect((self.host, self.port))
                port = sock.getsockname()[1]
                self.scripts[port] = script
                async with trio.open_nursery() as nursery:
                    if script.reads:
                        nursery.start_soon(_drain, stream)
                    await _send(stream, script)
                    await trio.sleep(script.wait_s)
                    nursery.cancel_scope.cancel()
                if script.end == "half":
                    await stream.send_eof()
                    with trio.move_on_after(0.3):
                        await _drain(stream)
            except (*GONE, OSError):
                pass
        if script.end == "rst":
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        return port


async def _send(stream: trio.SocketStream, script: Script) -> None:
    with suppress(*GONE):
        for pause_s, data in script.pieces:
            if pause_s:
                await trio.sleep(pause_s)
            await stream.send_all(data)


async def _drain(stream: trio.SocketStream) -> None:
    with suppress(*GONE):
        async for _ in stream:
            pass


def environment() -> dict[str, str]:
    """Return the environment of a process that imports this very code."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


@asynccontextmanager
async def target(*, websockets: bool = True) -> AsyncIterator[Target]:
    """Start hypercorn with the app that is fuzzed."""
    os.environ["FUZZ_WEBSOCKETS"] = "1" if websockets else "0"
    async with hypercorn("tests.fuzz.app:app", "--keep-alive", "2") as cli:
        yield Target(cli.server.host, cli.server.port, cli.output)


@asynccontextmanager
async def neighbour(server: Target) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
    """Have a neighbour look on; the function that is given ends that, and returns what it has seen."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.fuzz.neighbour", str(server.port)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said, begun = process.stdout, b""
    while not begun.endswith(b"\n"):  # by then it is connected
        part = await said.receive_some()
        assert part, "the neighbour was not served"
        begun += part

    async def ended() -> dict[str, Any]:
        assert process.stdin is not None
        await process.stdin.aclose()
        seen: dict[str, Any] = json.loads(b"".join([part async for part in said]))
        return seen

    try:
        yield ended
    finally:
        with trio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
