"""A small OpenAI-compatible server, of which a test sees everything: requests, words, and the hang-up."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

PAUSE_S = 0.02


@attrs.define(eq=False)
class FakeOpenAI:
    """A server for ``/v1/chat/completions``.

    Args:
        words: What it answers; it may be endless.
        thinks_s: How long it waits before it answers at all, in seconds.
        pause_s: How long it waits behind each word, in seconds.
        status: The HTTP status it answers with. Where that is no 200, the body quotes the key, as real ones do.
        breaks_off: Whether it hangs up itself behind the last word, without a word about it.
    """

    words: Iterable[str] = ("Hello ", "you.")
    thinks_s: float = 0.0
    pause_s: float = PAUSE_S
    status: int = 200
    breaks_off: bool = False
    url: str = ""
    requests: list[dict[str, Any]] = attrs.field(factory=list)
    keys: list[str] = attrs.field(factory=list)
    asked: trio.Event = attrs.field(factory=trio.Event)
    hung_up: trio.Event = attrs.field(factory=trio.Event)

    async def answer(self, connection: trio.SocketStream) -> None:
        """Answer the one request of a *connection*, and note when the client hangs up in the middle."""
        async with connection:
            await self._read_request(connection)
            self.asked.set()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, connection)
                await trio.sleep(self.thinks_s)
                try:
                    await (self._stream(connection) if self.status == 200 else self._refuse(connection))
                except trio.BrokenResourceError:
                    self.hung_up.set()
                nursery.cancel_scope.cancel()

    async def _read_request(self, connection: trio.SocketStream) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += await connection.receive_some()
        head, _, body = received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(fields["content-length"]):
            body += await connection.receive_some()
        self.requests.append(json.loads(body))
        self.keys.append(fields["authorization"].removeprefix("bearer "))

    async def _watch(self, connection: trio.SocketStream) -> None:
        try:
            while await connection.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        self.hung_up.set()

    async def _stream(self, connection: trio.SocketStream) -> None:
        await connection.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for word in self.words:
            await self._send_event(connection, json.dumps(_chunk({"role": "assistant", "content": word}, None)))
            await trio.sleep(self.pause_s)
        if self.breaks_off:
            return
        await self._send_event(connection, json.dumps(_chunk({}, "stop")))
        await self._send_event(connection, "[DONE]")
        await connection.send_all(b"0\r\n\r\n")

    async def _send_event(self, connection: trio.SocketStream, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        await connection.send_all(b"%x\r\n%b\r\n" % (len(event), event))

    async def _refuse(self, connection: trio.SocketStream) -> None:
        error = {"message": f"Something is wrong with the key {self.keys[-1]}", "type": "error", "code": None}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 {self.status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        await connection.send_all(head.encode() + body)


def _chunk(delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [choice]}


def endless_words(size_bytes: int = 6) -> Iterable[str]:
    """Words of a given size, without end."""
    return (f"{count:<{size_bytes}}" for count in itertools.count())


@asynccontextmanager
async def serving_openai(fake: FakeOpenAI) -> AsyncIterator[FakeOpenAI]:
    """Serve *fake* on a free port of loopback, for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, fake.answer, 0, host="127.0.0.1"))
        fake.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        yield fake
        nursery.cancel_scope.cancel()
