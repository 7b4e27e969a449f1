"""Hypercorn as it is started from a shell: a master, its workers, signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import psutil
import trio

from tests.servers import DEADLINE_S, Server

ROOT = Path(__file__).parent.parent


@attrs.define(eq=False)
class Cli:
    """A running hypercorn."""

    server: Server
    process: trio.Process
    output: bytearray = attrs.field(factory=bytearray)

    @property
    def workers(self) -> list[psutil.Process]:
        """Its workers, without the helper of multiprocessing."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def signal_master(self, number: int) -> None:
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def signal_one_worker(self, number: int) -> None:
        self.workers[0].send_signal(number)

    async def exits(self) -> None:
        """Wait for the exit."""
        with trio.fail_after(DEADLINE_S):
            await self.process.wait()


@asynccontextmanager
async def hypercorn(app: str, *options: str, workers: int = 1, command: Sequence[str] = ()) -> AsyncIterator[Cli]:
    """Start hypercorn with *app*, written as ``module:name``; it is gone when the block is left."""
    start = command or (sys.executable, "-m", "hypercorn", "-k", "trio", "-b", "127.0.0.1:0", "-w", str(workers))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = await trio.lowlevel.open_process(
        [*start, *options, app],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    cli = Cli(Server("127.0.0.1", 0), process)
    up = trio.Event()
    expected = max(workers, 1)

    async def read() -> None:
        assert process.stdout is not None
        async for part in process.stdout:
            cli.output += part
            running = re.findall(rb"Running on https?://127.0.0.1:(\d+)", cli.output)
            if len(running) >= expected:
                cli.server.port = int(running[0])
                up.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            with trio.fail_after(DEADLINE_S):
                await up.wait()
            yield cli
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            # Its own session, so this reaches the workers of a master that is gone, and nobody else.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
