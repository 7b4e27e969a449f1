"""Who is measured: how each is started, and what it is made of."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import attrs

NODE = Path(__file__).parent / "node"

FLOOR, BATCHED, OURS, PLAIN = "floor", "batched", "streamact", "quart"


class MissingError(Exception):
    """A peer cannot be measured here, with the reason."""


@attrs.frozen(kw_only=True)
class Peer:
    """A server to be measured.

    Args:
        name: Its name on the command line; that of its module in ``benchmarks.servers``.
        title: Its name in tables.
        command: How it is started, on a port that it chooses and prints.
        packages: The distributions it is made of; it is left out where one is missing.
        node_packages: The same for Node, from npm.
        http2: Whether it speaks HTTP/2.
    """

    name: str
    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    node_packages: tuple[str, ...] = ()
    http2: bool = False

    def versions(self) -> dict[str, str]:
        """The versions of what it is made of.

        Raises:
            MissingError: It is not all there.
        """
        try:
            found = {package: metadata.version(package) for package in self.packages}
        except metadata.PackageNotFoundError as error:
            raise MissingError(f"{error.name} is not installed") from None
        if self.node_packages:
            found["node"] = node_version()
        for package in self.node_packages:
            manifest = NODE / "node_modules" / package / "package.json"
            if not manifest.exists():
                raise MissingError(f"{package} is not installed")
            found[package] = json.loads(manifest.read_text())["version"]
        return found


def node_version() -> str:
    """The version of Node.

    Raises:
        MissingError: There is none.
    """
    if shutil.which("node") is None:
        raise MissingError("Node is not installed")
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def on_hypercorn(name: str, title: str, *packages: str, app: str | None = None, python: str = sys.executable) -> Peer:
    """Return a peer that hypercorn serves: *app*, or the one of the module of its name."""
    # One worker, in the process itself, as the others have it.
    options = ("-k", "trio", "-w", "0", "--backlog", "2048", "-b", "127.0.0.1:0")
    return Peer(
        name=name,
        title=title,
        command=(python, "-m", "hypercorn", *options, app or f"benchmarks.servers.{name}:app"),
        packages=("hypercorn", "trio", *packages),
        http2=True,
    )


def _uvicorn(name: str, module: str, title: str, *packages: str) -> Peer:
    options = ("--port", "0", "--no-access-log", "--loop", "uvloop", "--http", "httptools")
    return Peer(
        name=name,
        title=f"{title} on uvicorn",
        command=(sys.executable, "-m", "uvicorn", *options, f"benchmarks.servers.{module}:app"),
        packages=("uvicorn", "uvloop", "httptools", *packages),
    )


def _node(name: str, title: str) -> Peer:
    return Peer(name=name, title=title, command=("node", str(NODE / f"{name}.mjs")), node_packages=(name,))


PEERS = {
    peer.name: peer
    for peer in (
        on_hypercorn(FLOOR, "floor: bare ASGI on hypercorn"),
        on_hypercorn(BATCHED, "batched by hand: bare ASGI on hypercorn"),
        on_hypercorn(OURS, "trio_streamact", "trio-streamact", "quart-trio", "quart"),
        on_hypercorn(PLAIN, "quart-trio generator", "quart-trio", "quart"),
        _uvicorn("starlette", "starlette_raw", "Starlette, raw bytes,", "starlette"),
        _uvicorn("sse-starlette", "sse_starlette_app", "sse-starlette", "sse-starlette", "starlette"),
        _uvicorn("fastapi", "fastapi_app", "FastAPI", "fastapi", "starlette", "pydantic"),
        _uvicorn("litestar", "litestar_app", "Litestar", "litestar", "msgspec"),
        Peer(
            name="aiohttp-sse",
            title="aiohttp-sse",
            command=(sys.executable, "-m", "benchmarks.servers.aiohttp_sse_app"),
            packages=("aiohttp-sse", "aiohttp"),
        ),
        _node("h3", "h3 on Node"),
        _node("better-sse", "better-sse on Node"),
    )
}
