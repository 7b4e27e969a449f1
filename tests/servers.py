"""Real servers and the plainest of clients: hypercorn on loopback, bytes through a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import attrs
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.trio import serve

from trio_streamact._hypercorn.scheduler import Scheduler

DEADLINE_S = 20.0


@attrs.define(eq=False)
class Server:
    """A hypercorn that runs in this process, so that a test sees its handlers from inside."""

    host: str
    port: int
    _stop: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def stop(self) -> None:
        """Begin the graceful shutdown."""
        self._stop.set()

    async def connect(self) -> RawClient:
        return RawClient(await trio.open_tcp_stream(self.host, self.port))


@asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[Server]:
    """Serve *app* on a free port of loopback; *settings* are hypercorn's."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = 3 * DEADLINE_S  # or it would end what a test wants to see ended by something else
    for name, value in settings.items():
        setattr(config, name, value)
    stop = trio.Event()
    with trio.fail_after(DEADLINE_S * 3):
        async with trio.open_nursery() as nursery:
            start = partial(serve, app, config, shutdown_trigger=stop.wait)
            binds: list[str] = await nursery.start(start)
            host, _, port = binds[0].removeprefix("http://").removeprefix("https://").rpartition(":")
            yield Server(host, int(port) if port.isdigit() else 0, stop)
            stop.set()


@attrs.define(eq=False)
class RawClient:
    """One connection, of which a test can do everything that a client must not."""

    stream: trio.SocketStream
    received: bytes = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def request(
        self,
        path: str,
        *,
        method: str = "POST",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        version: str = "1.1",
    ) -> None:
        """Send a request of HTTP/1."""
        lines = [f"{method} {path} HTTP/{version}", "Host: test"]
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        lines += [f"{name}: {value}" for name, value in fields.items()]
        await self.stream.send_all("\r\n".join([*lines, "", ""]).encode() + body)

    async def read_until(self, mark: bytes) -> bytes:
        """Read until *mark* was received, and give all that was, ever."""
        with trio.fail_after(DEADLINE_S):
            while mark not in self.received:
                part = await self.stream.receive_some()
                assert part, f"the connection ended before {mark!r}: {self.received!r}"
                self.received += part
        return self.received

    async def read_all(self) -> bytes:
        """Read until the server closes the connection."""
        with trio.fail_after(DEADLINE_S):
            async for part in self.stream:
                self.received += part
        return self.received

    async def reset(self) -> None:
        """Leave with a RST instead of a FIN."""
        import socket
        import struct

        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(self.stream)


def body_of(response: bytes) -> bytes:
    """Take the chunked body out of the bytes of a response of HTTP/1.1."""
    head, _, rest = response.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            break
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def is_complete(response: bytes) -> bool:
    """Whether a chunked response of HTTP/1.1 came to its proper end."""
    return response.endswith(b"\r\n0\r\n\r\n")


async def call(server: Server, path: str, **request: Any) -> bytes:
    """Send one request and give the body of the response, read to its end."""
    async with await server.connect() as client:
        headers = {"Connection": "close", **request.pop("headers", {})}
        await client.request(path, headers=headers, **request)
        return body_of(await client.read_all())


TIMER = (Scheduler._check_in_time.__code__, Scheduler._call_soon.__code__)
"""What the tasks of the one timer run. They linger for a second after the last stream; tests of `Scheduler` see it."""


def _tasks() -> int:
    """Count the living tasks; those of the timer are not counted, but those that it has started are."""
    count, tasks = 0, [trio.lowlevel.current_root_task()]
    while tasks:
        task = tasks.pop()
        assert task is not None
        count += getattr(task.coro, "cr_code", None) not in TIMER
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return count


async def tasks_at_rest() -> int:
    """Count the tasks of a server that has nothing to do."""
    await trio.testing.wait_all_tasks_blocked(cushion=0.02)
    return _tasks()


async def tasks_down_to(count: int, within_s: float = DEADLINE_S) -> None:
    """Wait until no more than *count* tasks are left."""
    with trio.fail_after(within_s):
        while _tasks() > count:  # noqa: ASYNC110 - there is no event for the end of somebody else's task
            await trio.sleep(0.005)
