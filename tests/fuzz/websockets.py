"""Handshakes of WebSockets, over HTTP/1.1 and HTTP/2, and what comes too early, too late or never."""

from __future__ import annotations

import random
import struct

from tests.fuzz.app import PREFIX
from tests.fuzz.bodies import spoilt
from tests.fuzz.http2 import EXTRA, PREFACE, Header, Maker, frame, opening, settings
from tests.fuzz.scripts import Script, script_of

PATHS = ["/ws/echo", "/ws/echo", "/ws/waits", "/ws/refuses", "/ws/returns", "/ws/sends", "/", "/plain", "?"]
PATHS += [f"{PREFIX}/idle", "/nothing", "http://["]
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


def message(dice: random.Random) -> bytes:
    """A frame of a WebSocket, masked as a client's are, or not."""
    payload = dice.choice([b"", b"hello", b"x" * 200, b"x" * 70_000, b"\xff\xfe", struct.pack(">H", 1000) + b"bye"])
    first = dice.choice([0x81, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x01, 0x80, 0xF1, dice.randrange(256)])
    size = len(payload) if dice.random() < 0.95 else dice.choice([2**62, 1, 126])
    mask = 0x80 * (dice.random() < 0.9)
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 2**16:
        head = bytes([first, mask | 126]) + struct.pack(">H", size)
    else:
        head = bytes([first, mask | 127]) + struct.pack(">Q", size)
    return head + (bytes(4) if mask else b"") + payload


def messages(dice: random.Random) -> list[bytes]:
    early = [message(dice) for _ in range(dice.choice([0, 0, 1, 2, 5]))]
    return early + [dice.randbytes(dice.randrange(1, 30))] * (dice.random() < 0.1) + [b"x"] * (dice.random() < 0.2)


def by_http1(dice: random.Random) -> list[bytes]:
    headers = ["Host: test", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    headers.append(f"Sec-WebSocket-Key: {KEY}")
    if dice.random() < 0.3:
        change = dice.randrange(len(headers))
        headers[change : change + 1] = dice.choice(
            [
                [],
                [headers[change]] * 2,
                ["Sec-WebSocket-Version: 8"],
                ["Sec-WebSocket-Key: é"],
                ["Content-Length: 5"],
                ["Transfer-Encoding: chunked"],
                ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
                ["Sec-WebSocket-Protocol: a, a,,"],
                ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
                ["Origin: http://elsewhere"],
                ["Expect: 100-continue"],
            ]
        )
    line = f"{dice.choice(['GET'] * 9 + ['POST'])} {dice.choice(PATHS)} HTTP/{dice.choice(['1.1'] * 9 + ['1.0'])}"
    return ["\r\n".join([line, *headers, "", ""]).encode(), *messages(dice)]


def by_http2(dice: random.Random) -> list[bytes]:
    maker = Maker(dice)
    parts = opening(maker) if dice.random() < 0.5 else [PREFACE, settings(dice.choice([{}, {4: 0}]))]
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        pairs: list[Header] = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", dice.choice(PATHS))]
        pairs += [(":scheme", "http"), (":authority", "test"), ("sec-websocket-version", "13")]
        if dice.random() < 0.2:
            pairs.pop(dice.randrange(len(pairs)))
        if dice.random() < 0.2:
            pairs.append(dice.choice([*EXTRA, ("sec-websocket-protocol", "a"), ("sec-websocket-extensions", "x")]))
        stream, maker.next_id = maker.next_id, maker.next_id + 2
        parts.append(maker.headers(pairs, stream, ends=dice.random() < 0.1))
        parts += [frame(0, dice.random() < 0.1, stream, early[:16_384]) for early in messages(dice)]
        if dice.random() < 0.3:
            parts.append(maker.any_frame())
        if dice.random() < 0.2:
            parts.append(frame(3, 0, stream, struct.pack(">I", 8)))
        if dice.random() < 0.2:
            parts.append(frame(8, 0, stream, struct.pack(">I", dice.choice([1, 1000, 70_000]))))
    return parts


def connection(dice: random.Random) -> Script:
    """Think of a connection."""
    parts = dice.choice([by_http1, by_http2])(dice)
    if dice.random() < 0.1:
        at = dice.randrange(len(parts))
        parts[at] = spoilt(dice, parts[at])
    return script_of(dice, parts)
