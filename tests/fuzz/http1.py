"""Connections of HTTP/1.1: good requests and nearly good ones, one behind the other."""

from __future__ import annotations

import random

import h11

from tests.fuzz.app import METHODS, PREFIX
from tests.fuzz.bodies import SOUND, any_body, spoilt
from tests.fuzz.inputs import INPUTS
from tests.fuzz.scripts import Script, script_of

ACTIONS = [PREFIX + path for path in (*INPUTS, "/idle", "/ticks", "/flood", "/refused", "/item/a/b")]
PATHS = ["/plain", "/upload", "/nothing", "/ws/echo", f"{PREFIX}/_client/streamact.js", f"{PREFIX}/_client/actions.js"]
TARGETS = [
    "?",
    "*",
    "http://[",
    "//",
    "/%",
    "/%00",
    "/é",
    "http://test/plain",
    "test:80",
    "/" + "a" * 9000,
    "/../..",
    "",
]
TARGETS += ["/plain#x", "/plain?" + "&a=b" * 1200, f"{PREFIX}/any?a=%ff", "/a b", "\\", "/\x7f", "javascript:", "/;a"]
ODD_METHODS = ["HEAD", "OPTIONS", "CONNECT", "TRACE", "PRI", "get", "G" * 5000, "M-SEARCH", "É", ""]
HEADERS = [
    ("Expect", "100-continue"),
    ("Connection", "close"),
    ("Connection", "keep-alive, Upgrade"),
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("Upgrade", "websocket"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ("HTTP2-Settings", "a"),
    ("Origin", "http://elsewhere"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Cookie", "session=.eJw; a"),
    ("Accept-Encoding", "gzip;q=x"),
    ("Content-Encoding", "gzip"),
    ("Content-Length", "5"),
    ("Content-Length", "-1"),
    ("Content-Length", "99999999999999999999999"),
    ("Content-Length", "1, 1"),
    ("Transfer-Encoding", "chunked"),
    ("Transfer-Encoding", "gzip, chunked"),
    ("Transfer-Encoding", "identity"),
    ("Range", "bytes=9-1"),
    ("If-None-Match", 'W/"'),
    ("Trailer", "X"),
    ("Host", "other"),
    ("Host", ""),
    ("X-Forwarded-For", "1.2.3.4, é"),
    ("X" * 3000, "y"),
    ("X", "y" * 20_000),
    ("X", "a\r\n folded"),
    ("X", "a\0b"),
    (" X", "y"),
    ("Authorization", "Basic AAAA"),
]


def connection(dice: random.Random) -> Script:
    """Think of a connection."""
    if dice.random() < 0.03:
        return script_of(dice, [_flood(dice)])
    count = dice.choice([1, 1, 1, 2, 3, 8])
    if dice.random() < 0.3:
        return script_of(dice, [_sound(dice) for _ in range(count)])
    parts = [part for _ in range(count) for part in _request(dice)]
    if dice.random() < 0.3:
        at = dice.randrange(len(parts))
        parts[at] = spoilt(dice, parts[at])
    if dice.random() < 0.05:
        parts.insert(dice.randrange(len(parts) + 1), dice.randbytes(dice.randrange(1, 300)))
    return script_of(dice, parts)


def _sound(dice: random.Random) -> bytes:
    method, path, body = dice.choice(SOUND)
    head = f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: test\r\nContent-Type: {body.content_type}\r\n"
    return f"{head}Content-Length: {len(body.data)}\r\n\r\n".encode() + body.data


def _request(dice: random.Random) -> list[bytes]:
    if dice.random() < 0.2:
        return [_sound(dice)]
    body = any_body(dice, int(20_000 ** dice.random()))
    target = dice.choice([PREFIX + body.path] * 3 + [dice.choice(ACTIONS), dice.choice(PATHS), dice.choice(TARGETS)])
    method = dice.choice([dice.choice(METHODS), "POST", "POST", "GET", dice.choice(ODD_METHODS)])
    data = dice.choice([body.data, body.data, b""])
    headers = [("Host", "test"), ("Content-Type", body.content_type)]
    headers += [dice.choice(HEADERS) for _ in range(dice.choice([0, 0, 0, 1, 2]))]
    if dice.random() < 0.3:
        headers.append(("Transfer-Encoding", "chunked"))
        framed = _chunked(dice, data)
    else:
        headers += [("Content-Length", str(len(data) + dice.choice([0, 0, 0, 0, 1, -1, 1000])))] if data else []
        framed = [data]
    if all(name != "X" and name.strip() == name for name, _ in headers) and dice.random() < 0.3:
        try:
            own = h11.Connection(h11.CLIENT)
            head = own.send(h11.Request(method=method, target=target, headers=headers)) or b""
            return [head, *framed]
        except (h11.LocalProtocolError, UnicodeEncodeError):
            pass
    version = dice.choice(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/9.9", "HTTP/2", ""])
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers), "", ""]
    end = dice.choice(["\r\n"] * 9 + ["\n"])
    return [end.join(lines).encode("utf-8", "replace"), *framed]


def _chunked(dice: random.Random, data: bytes) -> list[bytes]:
    size = max(1, len(data) // dice.choice([1, 2, 10]))
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    framed = [b"%x%b\r\n%b\r\n" % (len(chunk), dice.choice([b""] * 9 + [b";a=b"]), chunk) for chunk in chunks]
    last = dice.choice([b"0\r\n\r\n"] * 8 + [b"", b"0\r\nX: y\r\n\r\n", b"-1\r\n", b"fffffffffff\r\n", b"0\r\n"])
    return [*framed, last]


def _flood(dice: random.Random) -> bytes:
    """Much of what takes few bytes and some work."""
    head = b"POST /upload HTTP/1.1\r\nHost: test\r\n"
    return dice.choice(
        [
            b"GET /plain HTTP/1.1\r\nHost: test\r\n\r\n" * dice.randint(100, 2000),
            b"GET %b/_client/streamact.js HTTP/1.1\r\nHost: test\r\n\r\n" % PREFIX.encode() * dice.randint(100, 600),
            b"GET %b/list HTTP/1.1\r\nHost: test\r\n\r\n" % PREFIX.encode() * dice.randint(100, 600),
            head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * dice.randint(1000, 20_000) + b"0\r\n\r\n",
            b"\r\n" * dice.randint(1000, 30_000),
            head + b"X: y\r\n" * 3000 + b"\r\n",
            head + b"Content-Length: 500000\r\n\r\n" + b"x" * 500_000,
            b"GET /idle HTTP/1.1\r\nHost: test\r\nContent-Length: 500000\r\n\r\n" + b" " * 500_000,
            b"GET %b/idle HTTP/1.1\r\nHost: test\r\n\r\n" % PREFIX.encode() * dice.randint(2, 500),
        ]
    )
