"""The load client of the benchmarks measures nothing but streams that are whole."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
import trio

from benchmarks.servers.common import TEXT
from tests.compilers import load_client

DEADLINE_S = 10.0
ENDING = b'data: {"__actions_done":true}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

Answer = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture(scope="module")
def client() -> Path:
    return load_client()


def event(n: int, text: str = TEXT) -> bytes:
    return b"data: " + json.dumps({"n": n, "text": text}).encode() + b"\n\n"


def events(count: int) -> bytes:
    return b"".join(map(event, range(count)))


def chunked(body: bytes, size: int = 50) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


GOOD = events(3) + ENDING


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """Answer each connection with *answer*, on the port that is given, for as long as the block lasts."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):  # the client has seen enough
                await answer(stream)

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            yield listeners[0].socket.getsockname()[1]
            nursery.cancel_scope.cancel()


async def run(client: Path, answer: Answer, *options: str) -> Any:
    """Run the client against *answer*, and give what it prints."""
    async with answering(answer) as port:
        command = [str(client), "--port", str(port), *options]
        done = await trio.run_process(command, capture_stdout=True, check=False)
    said = json.loads(done.stdout)
    assert done.returncode == ("error" in said), done
    return said


def bytes_of(response: bytes, cut: int = 1 << 20, responses: int = 1) -> Answer:
    """Answer with these bytes, *cut* at a time."""

    async def answer(stream: trio.SocketStream) -> None:
        for _ in range(responses):
            await stream.receive_some()
            for at in range(0, len(response), cut):
                await stream.send_all(response[at : at + cut])

    return answer


async def drain(client: Path, response: bytes, cut: int = 1 << 20) -> Any:
    return await run(client, bytes_of(response, cut), "--events", "3", "drain")


async def test_a_whole_stream_is_counted(client: Path) -> None:
    said = await drain(client, HEAD + chunked(GOOD))

    assert (said["streams"], said["events"], len(said["first_ns"])) == (1, 3, 1)
    assert 0 < said["first_ns"][0] < said["wall_ns"] + said["first_ns"][0]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("chunk", [1, 5, 1000])
async def test_where_the_network_cuts_a_stream_changes_nothing(client: Path, cut: int, chunk: int) -> None:
    said = await drain(client, HEAD + chunked(GOOD, chunk), cut)

    assert said["events"] == 3


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunk", [1, 1000])
async def test_every_way_to_write_an_event_is_read(client: Path, end: bytes, chunk: int) -> None:
    body = b': hello\n\nretry: 5\n\nid: 7\nevent: message\ndata:{"n":0,\ndata: "text" : "word " }\n\n'
    body += event(1) + b":\n\n" + event(2) + b'data: { "__actions_done" : true }\n\n'

    assert (await drain(client, HEAD + chunked(body.replace(b"\n", end), chunk)))["events"] == 3


FAULTS = {
    "a missing event": (HEAD + chunked(event(0) + event(2) + ENDING), "event 2 came where 1 was due"),
    "a swapped order": (HEAD + chunked(event(1) + event(0) + event(2) + ENDING), "event 1 came where 0 was due"),
    "a doubled event": (HEAD + chunked(event(0) + event(0) + event(1) + ENDING), "event 0 came where 1 was due"),
    "an event too few": (HEAD + chunked(events(2) + ENDING), "the ending came after 2 of 3 events"),
    "an event too many": (HEAD + chunked(events(4) + ENDING), "an event more than the 3 asked for"),
    "a wrong payload": (HEAD + chunked(event(0, "ward ") + ENDING), "not a payload that was asked for"),
    "a longer payload": (HEAD + chunked(event(0, TEXT + "s") + ENDING), "not a payload that was asked for"),
    "a number that is none": (HEAD + chunked(b'data: {"n": x, "text": "word "}\n\n'), "not a payload"),
    "something behind the payload": (HEAD + chunked(event(0)[:-2] + b"]\n\n"), "not a payload"),
    "a tick for a token": (HEAD + chunked(b'data: {"n": 0, "due": 1, "sent": 2}\n\n'), "the wrong kind"),
    "a type of its own": (HEAD + chunked(b"event: error\n" + event(0) + ENDING), "an event of type error"),
    "an unknown field": (HEAD + chunked(b"dada: {}\n\n" + GOOD), "a field of an unknown name: dada"),
    "a missing ending": (HEAD + chunked(events(3)), "over after 3 of 3 events, without the ending"),
    "an ending cut short": (HEAD + chunked(GOOD[:-1]), "without the ending"),
    "a truncated response": ((HEAD + chunked(GOOD))[:-5], "ended inside the response, after 3 of 3 events"),
    "a connection that breaks off": (HEAD + chunked(GOOD)[:70], "ended inside the response, after 1 of 3 events"),
    "no answer": (b"", "ended inside the response, after 0 of 3 events"),
    "an event behind the ending": (HEAD + chunked(GOOD + event(3)), "bytes behind the ending"),
    "a comment behind the ending": (HEAD + chunked(GOOD + b":\n\n"), "bytes behind the ending"),
    "a torn line behind the ending": (HEAD + chunked(GOOD + b"da"), "bytes behind the ending"),
    "bytes behind the response": (HEAD + chunked(GOOD) + b"x", "bytes behind the response"),
    "an HTTP error": (HEAD.replace(b"200 OK", b"503 Busy") + chunked(b"no"), "the answer is HTTP/1.1 503 Busy"),
    "another content": (HEAD.replace(b"text/event-stream", b"text/html") + chunked(GOOD), "no event stream"),
    "no chunked coding": (HEAD.replace(b"Transfer-Encoding: chunked", b"X: y") + GOOD, "not in the chunked coding"),
    "a torn chunk": (HEAD + chunked(GOOD, 1000).replace(b"82", b"81", 1), "not the end of a chunk"),
    "a chunk without a size": (HEAD + b"-5\r\nhello\r\n0\r\n\r\n", "not the size of a chunk"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_stream_with_a_fault_is_refused(client: Path, name: str) -> None:
    response, fault = FAULTS[name]

    assert fault in (await drain(client, response))["error"]


async def test_a_server_that_says_nothing_is_given_up(client: Path) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    assert "timed out" in (await run(client, silent, "--timeout-s", "1", "drain"))["error"]


async def test_one_connection_serves_many_streams(client: Path) -> None:
    said = await run(client, bytes_of(HEAD + chunked(GOOD), responses=5), "--events", "3", "--total", "5", "drain")

    assert (said["events"], len(said["first_ns"])) == (15, 5)


async def test_a_connection_that_the_server_closes_is_opened_anew(client: Path) -> None:
    closing = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + chunked(GOOD)

    assert (await run(client, bytes_of(closing), "--events", "3", "--total", "5", "drain"))["events"] == 15


async def test_the_delivery_of_ticks_is_timed(client: Path) -> None:
    async def ticking(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(HEAD)
        for n in range(3):
            sent = time.monotonic_ns()
            await trio.sleep(0.02)  # as if the bytes had been under way
            payload = json.dumps({"n": n, "due": sent - 1_000_000, "sent": sent}).encode()
            await stream.send_all(chunked(b"data: " + payload + b"\n\n", 1000)[:-5])
        await stream.send_all(chunked(ENDING))

    said = await run(client, ticking, "--events", "3", "--every-us", "1", "--start-ms", "1", "ticks")

    assert all(20e6 <= took < 200e6 for took in said["delivery_ns"])
    assert [late - took for late, took in zip(said["lateness_ns"], said["delivery_ns"], strict=True)] == [1_000_000] * 3


async def test_streams_that_are_held_are_open_until_the_end_of_the_input(client: Path) -> None:
    opened: list[trio.SocketStream] = []
    closed: list[bytes | bytearray] = []

    async def hold(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        opened.append(stream)
        await stream.send_all(HEAD + chunked(event(0), 1000)[:-5])
        closed.append(await stream.receive_some())

    async with answering(hold) as port:
        command = [str(client), "--port", str(port), "--streams", "3", "hold"]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        said = await process.stdout.receive_some()
        assert (json.loads(said), len(opened), closed) == ({"ready": 3}, 3, [])
        await process.stdin.aclose()
        assert await process.wait() == 0


async def test_the_time_of_leaving_is_noted(client: Path) -> None:
    left: list[int] = []

    async def hold(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(HEAD + chunked(event(0), 1000)[:-5])
        await stream.receive_some()
        left.append(time.monotonic_ns())

    said = await run(client, hold, "--total", "3", "cancel")

    assert len(said["closed_ns"]) == 3
    assert all(0 < seen - at < 1e9 for seen, at in zip(left, said["closed_ns"], strict=True))


async def test_a_reader_pauses_and_then_wants_the_rest(client: Path) -> None:
    many = bytes_of(HEAD + chunked(events(5_000) + ENDING))  # more than one read takes

    said = await run(client, many, "--events", "5000", "--pause-ms", "200", "drain")

    assert said["events"] == 5_000
    assert said["wall_ns"] > 200e6


def http2(
    pieces: Sequence[bytes], *, status: str = "200", end: bool = True, reset: bool = False, cut: int = 0
) -> Answer:
    """Answer every request of an HTTP/2 connection with *pieces* of a body."""

    async def answer(stream: trio.SocketStream) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        waiting: dict[int, list[bytes]] = {}
        while True:
            for number, rest in waiting.items():
                send_what_fits(connection, number, rest)
            await send_in_parts(stream, connection.data_to_send(), cut)
            data = await stream.receive_some()
            if not data:
                return
            for happened in connection.receive_data(data):
                if isinstance(happened, h2.events.RequestReceived):
                    assert happened.stream_id is not None
                    connection.send_headers(happened.stream_id, [(":status", status)])
                    waiting[happened.stream_id] = list(pieces)

    def send_what_fits(connection: h2.connection.H2Connection, number: int, rest: list[bytes]) -> None:
        while rest and connection.local_flow_control_window(number) >= len(rest[0]):
            connection.send_data(number, rest.pop(0), end_stream=end and not rest)
            if reset and not rest:
                connection.reset_stream(number)

    return answer


async def send_in_parts(stream: trio.SocketStream, data: bytes, cut: int) -> None:
    for at in range(0, len(data), cut or 1 << 20):
        await stream.send_all(data[at : at + (cut or 1 << 20)])


@pytest.mark.parametrize("cut", [0, 1, 9])
@pytest.mark.parametrize("pieces", [[GOOD], [events(3), ENDING], [bytes([byte]) for byte in GOOD], [GOOD, b""]])
async def test_streams_over_http2_are_counted(client: Path, cut: int, pieces: list[bytes]) -> None:
    said = await run(client, http2(pieces, cut=cut), "--http2", "--streams", "3", "--events", "3", "drain")

    assert said["events"] == 9


async def test_windows_of_http2_are_given_back(client: Path) -> None:
    count, streams = 180_000, 3  # more than the window of each stream, and together more than the connection's
    body = events(count) + ENDING
    pieces = [body[at : at + 16_000] for at in range(0, len(body), 16_000)]

    said = await run(client, http2(pieces), "--http2", "--streams", str(streams), "--events", str(count), "drain")

    assert said["events"] == streams * count


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (http2([events(2), ENDING]), "the ending came after 2 of 3 events"),
        (http2([events(3)]), "without the ending"),
        (http2([GOOD], status="500"), "the answer is not 200"),
        (http2([GOOD[:-20]], end=False, reset=True), "the stream was reset"),
        (bytes_of(b"HTTP/1.1 400 Bad Request\r\n\r\n", responses=9), "is this HTTP/2?"),
    ],
)
async def test_a_fault_over_http2_is_refused(client: Path, answer: Answer, fault: str) -> None:
    said = await run(client, answer, "--http2", "--streams", "2", "--events", "3", "drain")

    assert fault in said["error"]


@pytest.mark.parametrize(
    "options", [["drain"], ["--port", "x", "drain"], ["--port", "1"], ["--port", "1", "--no", "drain"]]
)
def test_a_command_line_that_means_nothing_is_refused(client: Path, options: list[str]) -> None:
    done = subprocess.run([client, *options], capture_output=True, timeout=DEADLINE_S, check=False)

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]
