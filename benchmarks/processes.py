"""Servers and the client as processes, each on its own core."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from .machine import cores, pinned_to, resident_bytes
from .peers import Peer

ROOT = Path(__file__).parent.parent
SOURCES = Path(__file__).parent / "client"
BINARY = Path(__file__).parent / "build" / "client"

START_S = 30.0
STOP_S = 5.0
RUN_S = 120.0


class FaultError(Exception):
    """A run that is no measurement, with the reason."""


def build_client(binary: Path = BINARY) -> Path:
    """Compile the client, unless it is newer than its sources.

    Raises:
        FaultError: There is no C compiler, or it refuses.
    """
    sources = sorted(SOURCES.glob("*.[ch]"))
    if binary.exists() and binary.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FaultError("The load client is written in C, and there is no C compiler: install gcc and libc6-dev")
    binary.parent.mkdir(parents=True, exist_ok=True)
    code = [str(source) for source in sources if source.suffix == ".c"]
    with tempfile.TemporaryDirectory(dir=binary.parent) as place:
        command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", f"{place}/client", *code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FaultError(f"The load client does not compile:\n{done.stderr}")
        Path(place, "client").replace(binary)  # whole at once, for whoever runs it meanwhile
    return binary


@attrs.define(eq=False)
class Server:
    """A server that runs."""

    peer: Peer
    pid: int
    port: int
    sizes: dict[str, int] = attrs.field(factory=dict)
    """How many events of a load keep it busy for long enough, by the load's name."""

    @property
    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)

    def get(self, path: str) -> Any:
        """Give the JSON that stands at *path*."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return json.load(response)

    def drive(self, mode: str, **options: int | bool) -> Any:
        """Run the client against it, and give what the client measured.

        Raises:
            FaultError: The client has found a fault.
        """
        done = subprocess.run(
            self._command(mode, options), capture_output=True, preexec_fn=pinned_to(cores()[1]), check=False
        )
        if not done.stdout:
            raise FaultError(f"the client died with status {done.returncode}: {done.stderr.decode()}")
        result = json.loads(done.stdout)
        if "error" in result:
            raise FaultError(result["error"])
        return result

    @contextmanager
    def held(self, streams: int) -> Iterator[None]:
        """Hold *streams* streams open, each with one event read, for as long as the block lasts."""
        command = self._command("hold", {"streams": streams})
        prepare = pinned_to(cores()[1])
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=prepare)
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            said = json.loads(client.stdout.readline() or '{"error": "the client died"}')
            if "error" in said:
                raise FaultError(said["error"])
            yield
        finally:
            client.stdin.close()
            client.wait()
            client.stdout.close()

    def _command(self, mode: str, options: dict[str, int | bool]) -> list[str]:
        command = [str(BINARY), "--port", str(self.port), "--server-pid", str(self.pid), "--timeout-s", str(int(RUN_S))]
        for name, value in options.items():
            if value is not False:
                command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return [*command, mode]


@contextmanager
def serving(peer: Peer) -> Iterator[Server]:
    """Start *peer* on its core; it is gone when the block is left.

    Raises:
        FaultError: It does not come up.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            peer.command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NODE_ENV": "production"},
            preexec_fn=pinned_to(cores()[0]),
        )
        try:
            yield Server(peer, process.pid, _port_of(process, log.fileno()))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.wait()


def _port_of(process: subprocess.Popen[bytes], log: int) -> int:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(rb"http://127\.0\.0\.1:(\d+)", os.pread(log, 1 << 16, 0)):
            return int(found[1])
        time.sleep(0.02)  # a log file tells of no new line
    raise FaultError(f"it does not come up:\n{os.pread(log, 1 << 16, 0).decode(errors='replace')}")
