"""nginx as the deployment guide has it, in front of a server that a test runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from tests.servers import Server

GUIDE = Path(__file__).parent.parent / "docs" / "deployment.md"

# A process that a test can end by its id; all of its files in a directory of the test's own.
AROUND = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    %s
}
"""

# Or its worker runs as a user who cannot read the test's directory.
RUN_AS_ROOT = "user root;\n"


def documented() -> str:
    """Give the configuration that the deployment guide shows."""
    _, _, rest = GUIDE.read_text(encoding="utf-8").partition("```nginx\n")
    block, fence, _ = rest.partition("```\n")
    assert fence, f"{GUIDE.name} shows no configuration of nginx"
    return block


def changed(config: str, changes: Mapping[str, str]) -> str:
    """Put other lines into *config*; each line that goes must be there, once."""
    for line, replacement in changes.items():
        assert config.count(line) == 1, f"{line!r} stands {config.count(line)} times in {config}"
        config = config.replace(line, replacement)
    return config


def binary() -> str:
    """Find nginx; a test is skipped where there is none, except where all tests must run."""
    # Debian keeps it where only root's PATH leads.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail("nginx is not installed")
    if found is None:
        pytest.skip("nginx is not installed")
    return found


@asynccontextmanager
async def nginx(
    upstream: Server, directory: Path, changes: Mapping[str, str] | None = None, more: str = ""
) -> AsyncIterator[Server]:
    """Run nginx in front of *upstream*, and give where it listens; it is gone when the block is left.

    Args:
        upstream: What it passes requests on to.
        directory: Where its files go.
        changes: Lines of the documented configuration, and what stands there instead.
        more: Directives beside the documented ones.
    """
    command = binary()
    # We bind and listen, nginx inherits: so no port is chosen twice, and no client comes too early.
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    places = {"server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream.port};", "listen 80;": f"listen 127.0.0.1:{port};"}
    config = changed(documented(), {**places, **(changes or {})})
    (directory / "nginx.conf").write_text(
        (RUN_AS_ROOT if os.geteuid() == 0 else "") + AROUND % (more + config), encoding="utf-8"
    )
    log = (directory / "nginx.log").open("wb")
    with listener, log:
        process = await trio.lowlevel.open_process(
            [command, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Server("127.0.0.1", port)
        assert process.returncode is None, (directory / "nginx.log").read_text()
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            with trio.move_on_after(5) as patience:
                await process.wait()
            if patience.cancelled_caught:
                # Its own session, so this reaches its worker too, and nobody else.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
