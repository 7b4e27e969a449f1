"""Disconnects that nobody announces, or that hypercorn does not see."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h2.config
import h2.connection
import psutil
import pytest
import trio
from hypercorn.protocol.h11 import H11Protocol

from tests.apps import PREFIX, make_app
from tests.servers import Server, serving, tasks_at_rest, tasks_down_to
from trio_streamact import Limits

STRAY = [b"\r\n", b"GET /plain HTTP/1.1\r\nHost: test\r\n\r\n", b"garbage"]


def descriptors() -> int:
    return psutil.Process().num_fds()


async def leave_after_stray_bytes(server: Server, stray: bytes, reset: bool) -> None:
    client = await server.connect()
    await client.request(f"{PREFIX}/idle")
    await client.stream.send_all(stray)
    await client.read_until(b":\n\n")
    if reset:
        await client.reset()
    else:
        await client.stream.aclose()


async def ten_leave_after_stray_bytes(server: Server, stray: bytes, reset: bool) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(leave_after_stray_bytes, server, stray, reset)


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("stray", STRAY)
async def test_hazard_4_a_heartbeat_finds_clients_that_left_behind_stray_bytes_and_nothing_is_left(
    stray: bytes, reset: bool
) -> None:
    app, journal = make_app(Limits(heartbeat_s=0.1))
    async with serving(app) as server:
        before, descriptors_before = await tasks_at_rest(), descriptors()
        await ten_leave_after_stray_bytes(server, stray, reset)
        await journal.wait_for(finished=10)
        await tasks_down_to(before)
        assert descriptors() <= descriptors_before


async def test_hazard_4_without_the_repair_the_connection_s_task_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails once hypercorn wakes the reader itself."""
    app, journal = make_app(Limits(heartbeat_s=0.1))
    original = H11Protocol.handle.original  # type: ignore[attr-defined]
    monkeypatch.setattr(H11Protocol, "handle", original)
    async with serving(app) as server:
        before = await tasks_at_rest()
        await ten_leave_after_stray_bytes(server, b"\r\n", reset=False)
        await journal.wait_for(finished=10)
        with pytest.raises(trio.TooSlowError):
            await tasks_down_to(before + 9, within_s=0.5)


async def test_pipelining_still_works_with_the_repair() -> None:
    app, journal = make_app()
    async with serving(app) as server, await server.connect() as client:
        for _ in range(10):
            await client.request(f"{PREFIX}/words", body=b'{"prompt":"a"}')
        await client.request("/plain", method="GET", headers={"Connection": "close"})
        response = await client.read_all()
    assert response.count(b"__actions_done") == 10
    assert response.rstrip().endswith(b"plain")
    assert journal.finished == 10


# A peer that vanishes: no FIN, no RST, no acknowledgement. Two hosts and a wire that is cut.

CLIENT_HOST = """
import socket, ssl, sys, time
client = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
if sys.argv[4] == "tls":
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_socket(client)
client.sendall(bytes.fromhex(sys.argv[3]))
received = b""
while b":\\n\\n" not in received and b"data: 60" not in received:  # a heartbeat, or more than `stall_s` of ticks
    received += client.recv(4096)
print("streaming", end="", flush=True)
time.sleep(60)
"""


def by_http1(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".encode()


def by_http2(path: str) -> bytes:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "test")]
    connection.send_headers(1, headers, end_stream=True)
    return connection.data_to_send()


@contextmanager
def another_host() -> Iterator[tuple[str, list[str], list[str]]]:
    """Make a network namespace with a wire to this host.

    Gives this host's address there, what stands before a command that runs in it, and the command that cuts the wire.
    """
    name = f"streamact{os.getpid()}"
    ours, theirs = f"sa{os.getpid()}a"[:15], f"sa{os.getpid()}b"[:15]
    # Of the addresses for measurements, a network for each process: another gate may run on this host.
    network = ipaddress.ip_address("198.18.0.0") + os.getpid() % 2**15 * 4
    our_address, their_address = str(network + 1), str(network + 2)
    ip = shutil.which("ip") or "/sbin/ip"

    def run(*arguments: str) -> None:
        subprocess.run([ip, *arguments], check=True, capture_output=True, timeout=10)

    try:
        run("netns", "add", name)
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"this machine makes no network namespaces: {error}")
    try:
        run("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        run("addr", "add", f"{our_address}/30", "dev", ours)
        run("link", "set", ours, "up")
        run("-n", name, "addr", "add", f"{their_address}/30", "dev", theirs)
        run("-n", name, "link", "set", theirs, "up")
        yield our_address, [ip, "netns", "exec", name], [ip, "-n", name, "link", "set", theirs, "down"]
    finally:
        subprocess.run([ip, "link", "del", ours], check=False, capture_output=True, timeout=10)
        subprocess.run([ip, "netns", "del", name], check=False, capture_output=True, timeout=10)


@pytest.mark.parametrize(("path", "heartbeat_s"), [("/idle", 0.3), ("/ticks", 60)])
@pytest.mark.parametrize(("ask", "layer"), [(by_http1, "tcp"), (by_http1, "tls"), (by_http2, "tcp")])
async def test_a_peer_that_vanishes_is_found(
    ask: Callable[[str], bytes], layer: str, path: str, heartbeat_s: float, certificate: tuple[str, str]
) -> None:
    app, journal = make_app(Limits(heartbeat_s=heartbeat_s, stall_s=1))
    with another_host() as (address, in_namespace, cut_the_wire):
        key, cert = certificate
        settings = {"keyfile": key, "certfile": cert} if layer == "tls" else {}
        async with serving(app, bind=[f"{address}:0"], **settings) as server:
            before = await tasks_at_rest()
            arguments = [server.host, str(server.port), ask(PREFIX + path).hex(), layer]
            command = [*in_namespace, sys.executable, "-c", CLIENT_HOST, *arguments]
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
            try:
                assert process.stdout is not None
                with trio.fail_after(20):
                    assert await process.stdout.receive_some() == b"streaming"
                await trio.run_process(cut_the_wire)
                assert journal.finished == 0
                await journal.wait_for(finished=1, reports=1)
                assert journal.reports[0].outcome == "stalled"
                await tasks_down_to(before)
            finally:
                process.kill()
                await process.wait()
