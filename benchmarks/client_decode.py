"""How fast does the Trio client read a stream, against the bare event reader of the HTTP client that it stands on?

    python -m benchmarks.client_decode [rounds]

Streams of 100,000 chunks come from a process of its own, which has their bytes ready. Each is read in turns: by
httpx2's ``EventSource``, which gives each event as text and no more; and by ``open_stream_action``, which reads JSON,
tells chunks from endings, and makes of each what was declared. The times are this process's own, on the processor; the
table has their medians, and the median of their ratios within a round.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import attrs
import httpx2
import trio

from trio_streamact._protocol.encoding import encode_chunk, encode_done
from trio_streamact.client import open_stream_action

CHUNKS = 100_000
WRITE_BYTES = 64 * 1024
"""What one write of an action takes at most, and so how large the parts of a response are."""


@attrs.define
class Token:
    text: str


@attrs.define
class Row:
    id: int
    name: str
    score: float
    tags: list[str]
    token: Token
    at: datetime
    is_new: bool | None


SAMPLES: dict[str, Any] = {
    "Token": Token("hello world"),
    "Row": Row(12345, "some name", 0.5, ["a", "b"], Token("hello"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None),
}


def response(sample: object) -> bytes:
    """All bytes of one response, its body in parts as a server of HTTP/1.1 writes them."""
    body = encode_chunk(sample) * CHUNKS + encode_done("marked")
    parts = (body[start : start + WRITE_BYTES] for start in range(0, len(body), WRITE_BYTES))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def serve() -> None:
    """Answer every request with the response that its path names."""
    answers = {name.encode(): response(sample) for name, sample in SAMPLES.items()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                while request := connection.recv(65_536):
                    connection.sendall(answers[request.split(b" ", 2)[1].removeprefix(b"/")])


async def by_httpx2(url: str, http: httpx2.AsyncClient) -> int:
    count = 0
    async with http.sse(url) as events:
        async for _ in events:
            count += 1
    return count - 1  # the last is the ending


async def by_us(url: str, http: httpx2.AsyncClient, chunk: Any) -> int:
    count = 0
    async with open_stream_action(url, http=http, method="GET", chunk=chunk) as stream:
        async for _ in stream:
            count += 1
    return count


async def seconds(read: Callable[[], Awaitable[int]]) -> float:
    began = time.process_time()
    assert await read() == CHUNKS
    return time.process_time() - began


async def measure(url: str, sample: object, rounds: int) -> dict[str, list[float]]:
    async with httpx2.AsyncClient() as http:
        readers: dict[str, Callable[[], Awaitable[int]]] = {
            "httpx2's EventSource, text": lambda: by_httpx2(url, http),
            "our client, JSON": lambda: by_us(url, http, Any),
            "our client, the attrs class": lambda: by_us(url, http, type(sample)),
        }
        taken: dict[str, list[float]] = {name: [] for name in readers}
        for number in range(rounds + 1):
            for name, read in readers.items():
                took_s = await seconds(read)
                if number:  # the first is to get warm
                    taken[name].append(took_s)
    return taken


async def measure_all(port: int, rounds: int) -> None:
    for name, sample in SAMPLES.items():
        taken = await measure(f"http://127.0.0.1:{port}/{name}", sample, rounds)
        floor = taken["httpx2's EventSource, text"]
        title = f"{name}, {len(encode_chunk(sample))} bytes"
        print(f"{title:32}{'us a chunk':>12}{'chunks/s':>12}{'rate, against httpx2':>24}")
        for reader, times in taken.items():
            median_s = statistics.median(times)
            ratio = statistics.median(theirs / ours for theirs, ours in zip(floor, times, strict=True))
            print(f"  {reader:30}{median_s / CHUNKS * 1e6:>12.2f}{CHUNKS / median_s:>12,.0f}{ratio:>24.2f}")


def main() -> None:
    with subprocess.Popen([sys.executable, "-m", __spec__.name, "serve"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            trio.run(measure_all, int(server.stdout.readline()), int(sys.argv[1]) if sys.argv[1:] else 15)
        finally:
            server.kill()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
