"""One stream over HTTP/1.1, over TLS and over HTTP/2, with the same few moves for all of them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, Protocol, cast

import attrs
import h2.config
import h2.connection
import h2.settings
import pytest
import trio

from tests.http2 import Http2Client, http2
from tests.servers import DEADLINE_S, RawClient, Server, body_of, is_complete

Http = Literal["http1", "tls", "http2"]

on_each_protocol = pytest.mark.parametrize("http", ["http1", "tls", "http2"])


class Reader(Protocol):
    """A client of one stream."""

    async def until(self, mark: bytes) -> None:
        """Read until *mark* has come."""

    async def body(self) -> bytes:
        """Read to the proper end, and on HTTP/1.1 until the server closes the connection; return the whole body."""

    async def response(self) -> bytes:
        """Read to the proper end of a stream; return all that was read."""

    async def cut(self) -> None:
        """Read until the server has cut the stream, without an end."""

    async def leave(self) -> None:
        """Close the stream, or its connection."""


@attrs.frozen
class Reader1:
    client: RawClient

    async def until(self, mark: bytes) -> None:
        await self.client.read_until(mark)

    async def response(self) -> bytes:
        return await self.client.read_until(b"\r\n0\r\n\r\n")

    async def body(self) -> bytes:
        response = await self.client.read_all()
        assert is_complete(response), response[-300:]
        return body_of(response)

    async def cut(self) -> None:
        with suppress(trio.BrokenResourceError):
            assert not is_complete(await self.client.read_all())

    async def leave(self) -> None:
        await trio.aclose_forcefully(self.client.stream)


@attrs.frozen
class Reader2:
    client: Http2Client
    stream_id: int

    async def until(self, mark: bytes) -> None:
        await self.client.until(lambda: mark in self.client.bodies[self.stream_id])

    async def response(self) -> bytes:
        return await self.client.until_ended(self.stream_id)

    async def body(self) -> bytes:
        return await self.client.until_ended(self.stream_id)

    async def cut(self) -> None:
        await self.client.until(lambda: self.stream_id in self.client.was_reset or self.client.is_over)
        assert self.stream_id not in self.client.ended

    async def leave(self) -> None:
        await self.client.reset(self.stream_id)


@asynccontextmanager
async def reading(
    server: Server, http: Http, path: str, *, method: str = "POST", body: bytes = b"", reads: bool = True
) -> AsyncIterator[Reader]:
    """Request *path*. With ``reads=False`` nothing is read but by the moves of the reader."""
    if http == "http2":
        async with http2(server, opens_windows=reads) as multiplexed:
            yield Reader2(multiplexed, await multiplexed.request(path, method, body))
    else:
        async with RawClient(await _connect(server, http)) as client:
            await client.request(path, method=method, body=body)
            yield Reader1(client)


@attrs.frozen
class Unread:
    """A connection of which nothing is read, and how to request another path on it."""

    stream: trio.SocketStream
    request: Callable[[str], Awaitable[None]]

    async def until_reset(self) -> None:
        """Wait until the server has closed the connection at once, with a RST."""
        sock = getattr(self.stream, "transport_stream", self.stream).socket
        with trio.fail_after(DEADLINE_S):
            while not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # noqa: ASYNC110 - reading would wake it
                await trio.sleep(0.01)


@asynccontextmanager
async def reading_nothing(server: Server, http: Http, path: str) -> AsyncIterator[Unread]:
    """Request *path*, with the widest windows on HTTP/2, and read nothing at all."""
    async with RawClient(await _connect(server, http)) as client:
        if http != "http2":
            await client.request(path)
            yield Unread(client.stream, client.request)
            return
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        state.initiate_connection()
        state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        state.increment_flow_control_window(2**31 - 1 - 65_535)

        async def request(path: str) -> None:
            head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "test")]
            state.send_headers(state.get_next_available_stream_id(), head, end_stream=True)
            await client.stream.send_all(state.data_to_send())

        await request(path)
        yield Unread(client.stream, request)


async def _connect(server: Server, http: Http) -> trio.SocketStream:
    tcp = await trio.open_tcp_stream(server.host, server.port)
    if http != "tls":
        return tcp
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
    with trio.fail_after(DEADLINE_S):
        await stream.do_handshake()
    return cast("trio.SocketStream", stream)  # of which a client uses what both have
