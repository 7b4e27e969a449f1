"""Connections of HTTP/2: frames that are valid, nearly valid, at the wrong moment, or none."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Sequence

import hpack
from attrs import define, field
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.fuzz.app import METHODS, PREFIX
from tests.fuzz.bodies import SOUND, any_body, spoilt
from tests.fuzz.http1 import ACTIONS, PATHS, TARGETS
from tests.fuzz.scripts import Script, script_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Header = tuple[str, str]
EXTRA: list[Header] = [
    ("expect", "100-continue"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("te", "trailers"),
    ("content-length", "5"),
    ("content-length", "-1"),
    ("content-length", "99999999999999"),
    ("Upper", "case"),
    ("cookie", "a=b"),
    ("x", "a\r\nb"),
    ("x", "a\0b"),
    ("é", "é"),
    ("x", "y" * 15_000),
    ("origin", "http://elsewhere"),
    (":path", "/again"),
    (":status", "200"),
    (":protocol", "websocket"),
    ("host", "other"),
    ("", ""),
]
SETTINGS = [{1: 0}, {1: 2**20}, {2: 1}, {2: 2}, {3: 0}, {3: 1}, {4: 0}, {4: 1}, {4: 2**31 - 1}, {4: 2**31}, {5: 1}]
SETTINGS += [{5: 2**24 - 1}, {6: 1}, {8: 1}, {8: 7}, {99: 5}, {}, {4: 100, 3: 100}]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame of any kind, whether or not there is such a one."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags & 255, stream & (2**32 - 1)) + payload


def settings(values: dict[int, int]) -> bytes:
    return frame(4, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values.items()))


@define(eq=False)
class Maker:
    """Makes the frames of one connection."""

    dice: random.Random
    encoder: hpack.Encoder = field(factory=hpack.Encoder)
    next_id: int = 1

    def known_id(self) -> int:
        """A stream, most likely one that there is."""
        known = range(1, max(2, self.next_id), 2)
        return self.dice.choice([self.dice.choice(known)] * 6 + [self.next_id, self.next_id + 10, 0, 2, 2**31 - 1])

    def headers(self, pairs: Sequence[Header], stream: int, *, ends: bool) -> bytes:
        """Frames of a block of headers, in one or in several."""
        dice = self.dice
        encoded = self.encoder.encode([(a.encode(), b.encode()) for a, b in pairs], huffman=dice.random() < 0.7)
        if dice.random() < 0.04:
            encoded = spoilt(dice, encoded)
        flags = ends + 32 * (dice.random() < 0.05)
        if flags & 32:
            encoded = struct.pack(">IB", dice.choice([0, stream, 1, 2**31 + 3]), 15) + encoded
        if dice.random() < 0.85:
            return frame(1, flags | 4, stream, encoded)
        at = dice.randrange(len(encoded) + 1)
        between = dice.choice([b""] * 4 + [frame(9, 0, stream) * 50, self.ping()])
        last = dice.choice([4, 4, 4, 0])
        return frame(1, flags, stream, encoded[:at]) + between + frame(9, last, stream, encoded[at:])

    def request(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.4:
            return self.sound_request()
        body = any_body(dice, int(5000 ** dice.random()))
        paths = [PREFIX + body.path] * 3 + [dice.choice(ACTIONS), dice.choice(PATHS), dice.choice(TARGETS)]
        pairs: list[Header] = [(":method", dice.choice([*METHODS, "POST", "POST", "HEAD", "É"]))]
        pairs += [(":path", dice.choice(paths)), (":scheme", "http"), (":authority", dice.choice(["test", ""]))]
        pairs += [("content-type", body.content_type)]
        if dice.random() < 0.2:
            pairs.append(dice.choice(EXTRA))
        if dice.random() < 0.05:
            pairs.pop(dice.randrange(4))
        data = dice.choice([body.data, b""])
        stream, self.next_id = self.next_id, self.next_id + dice.choice([2, 2, 2, 2, 4, 0])
        sent = self.headers(pairs, stream, ends=not data and dice.random() < 0.9)
        return sent + self.data(stream, data) if data else sent

    def sound_request(self) -> bytes:
        method, path, body = self.dice.choice(SOUND)
        pairs: list[Header] = [(":method", method), (":path", PREFIX + path), (":scheme", "http")]
        pairs += [(":authority", "test"), ("content-type", body.content_type)]
        stream, self.next_id = self.next_id, self.next_id + 2
        encoded = self.encoder.encode(pairs)
        head = frame(1, 4 | (not body.data), stream, encoded)
        return head + frame(0, 1, stream, body.data) if body.data else head

    def data(self, stream: int, data: bytes) -> bytes:
        dice = self.dice
        size = max(1, min(16_384, len(data) // dice.choice([1, 1, 2, 10]) + 1))
        parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        ends = dice.random() < 0.8
        return b"".join(
            frame(0, ends and at == len(parts) - 1, stream, part)
            if dice.random() < 0.9
            else DataFrame(stream or 1, part, pad_length=dice.randrange(200), flags=["PADDED"]).serialize()
            for at, part in enumerate(parts)
        )

    def ping(self) -> bytes:
        return PingFrame(0, self.dice.randbytes(8), flags=self.dice.choice([[], ["ACK"]])).serialize()

    def any_frame(self) -> bytes:
        dice, stream = self.dice, self.known_id()
        make: list[Callable[[], bytes]] = [
            self.request,
            self.request,
            self.request,
            self.ping,
            lambda: settings(dice.choice(SETTINGS)),
            lambda: SettingsFrame(0, flags=["ACK"]).serialize(),
            lambda: RstStreamFrame(stream or 1, error_code=dice.choice([0, 8, 5, 99])).serialize(),
            lambda: RstStreamFrame(stream or 1, error_code=8).serialize(),
            lambda: PriorityFrame(stream or 1, depends_on=dice.choice([0, 1, 3, stream]), stream_weight=9).serialize(),
            lambda: WindowUpdateFrame(stream, window_increment=dice.choice([1, 100, 65_535, 2**31 - 1])).serialize(),
            lambda: frame(8, 0, stream, bytes(4)),
            lambda: self.data(stream, dice.randbytes(dice.choice([0, 1, 100, 20_000]))),
            lambda: self.headers([("x", "y")], stream, ends=True),
            lambda: HeadersFrame(stream or 1, dice.randbytes(20), flags=["END_HEADERS"]).serialize(),
            lambda: frame(9, 4, stream, dice.randbytes(5)),
            lambda: frame(dice.randrange(256), dice.randrange(256), stream, dice.randbytes(dice.randrange(40))),
            lambda: frame(
                dice.randrange(10), dice.randrange(256), stream, b"x" * 9, length=dice.choice([5, 2**24 - 1])
            ),
            lambda: frame(5, 4, stream, bytes([0, 0, 0, 2]) + self.encoder.encode([(":method", "GET")])),
        ]
        if dice.random() < 0.05:
            return GoAwayFrame(0, last_stream_id=stream, error_code=dice.choice([0, 2])).serialize()
        return dice.choice(make)()

    def flood(self) -> bytes:
        """Up to some 64 KB of one kind, as fits into one read."""
        dice = self.dice
        one: Callable[[int], bytes] = dice.choice(
            [
                lambda _: self.ping(),
                lambda _: settings({}),
                lambda at: settings({4: at % 1000}),
                lambda at: frame(2, 0, 2 * (at % 998) + 3, struct.pack(">IB", 0, 15)),
                lambda _: WindowUpdateFrame(0, window_increment=1).serialize(),
                lambda _: frame(99, 0, 0, b"x"),
                lambda _: frame(0, 0, 1),
                lambda _: frame(0, 0, 1, b"x"),
                lambda _: self.request() + frame(3, 0, max(1, self.next_id - 2), struct.pack(">I", 8)),
                lambda _: self.request(),
            ]
        )
        size, parts = dice.choice([5000, 60_000, 120_000]), [self.request()]
        while size > 0:
            parts.append(one(len(parts)))
            size -= len(parts[-1])
        return b"".join(parts)


def opening(maker: Maker) -> list[bytes]:
    """How a connection begins: with prior knowledge, or by an upgrade."""
    dice = maker.dice
    first = settings(dice.choice([{}, {}, {4: 0}, {4: 100}, {4: 2**31 - 1}, dice.choice(SETTINGS)]))
    if dice.random() < 0.2:
        path = dice.choice([*ACTIONS, *PATHS])
        told = base64.urlsafe_b64encode(first[9:]).rstrip(b"=") or b"AAMAAABkAAQAAP__"
        body = dice.choice([b"", b"", b"{}"])
        head = (
            b"%b %b HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"Content-Length: %d\r\nHTTP2-Settings: %b\r\n\r\n"
        ) % (dice.choice([b"GET", b"POST"]), path.encode(), len(body), told)
        maker.next_id = 3
        return [head + body, PREFACE, first]
    if dice.random() < 0.03:
        return [spoilt(dice, PREFACE), first]
    return [PREFACE] if dice.random() < 0.03 else [PREFACE, first]


def connection(dice: random.Random) -> Script:
    """Think of a connection."""
    maker = Maker(dice)
    if dice.random() < 0.3:
        first = settings(dice.choice([{}, {}, {4: 0}, {4: 100}, {4: 2**31 - 1}]))
        requests = [maker.sound_request() for _ in range(dice.choice([1, 1, 2, 5, 20]))]
        resets = [frame(3, 0, maker.known_id(), struct.pack(">I", 8)) for _ in range(dice.choice([0, 0, 1, 3]))]
        return script_of(dice, [PREFACE, first, *requests, *resets])
    parts = opening(maker)
    parts += [maker.request() for _ in range(dice.choice([0, 1, 1, 2, 5]))]
    parts += [maker.any_frame() for _ in range(dice.choice([0, 1, 2, 4, 10, 30]))]
    if dice.random() < 0.03:
        parts.append(maker.flood())
    if dice.random() < 0.1:
        at = dice.randrange(len(parts))
        parts[at] = spoilt(dice, parts[at])
    return script_of(dice, parts)
