"""The bytes of an event stream to events, wherever the network cuts them.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream".
One departure: the standard lets an event grow without end, and a reader of strangers' bytes must not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import attrs

MAX_RETRY_MS = 2**31 - 1
"""As long as a browser's timer can wait; a longer time would make it go off at once."""

_BOM = b"\xef\xbb\xbf"


@final
class MalformedFrameError(ValueError):
    """An event is none that a stream action sends."""


@final
@attrs.frozen
class OversizedEventError(ValueError):
    """An event is larger than we agreed to hold in memory."""

    limit_bytes: int

    def __str__(self) -> str:
        return f"an event of more than {self.limit_bytes} bytes"


@final
@attrs.frozen
class Event:
    """One dispatched event: its data, its type, and the last event ID as it stood when it was dispatched."""

    data: str
    type: str = "message"
    id: str = ""


def as_text(data: bytes) -> str:
    """Decode bytes of a stream: those that are no UTF-8 become U+FFFD, as the standard's decoder makes them."""
    return data.decode("utf-8", "replace")


@final
@attrs.define(eq=False)
class EventDecoder:
    """Feed it bytes, it gives the events that they complete.

    Args:
        max_event_bytes: How much of an unfinished event is kept, the names of its fields included. By default twice
            what a chunk may be.

    Attributes:
        retry_ms: The reconnection time that the stream last asked for, in milliseconds and at most ``MAX_RETRY_MS``, or
            None.
    """

    max_event_bytes: int = 2 * 1024 * 1024
    retry_ms: int | None = attrs.field(default=None, init=False)
    _line: bytearray = attrs.field(factory=bytearray, init=False)
    _at_start: bool = attrs.field(default=True, init=False)
    _after_cr: bool = attrs.field(default=False, init=False)
    _data: list[bytes] = attrs.field(factory=list, init=False)
    _data_bytes: int = attrs.field(default=0, init=False)
    _type: str = attrs.field(default="", init=False)
    _id: str = attrs.field(default="", init=False)
    _has_overflown: bool = attrs.field(default=False, init=False)

    def feed(self, part: bytes) -> Iterator[Event]:
        """Take the next bytes, however they are cut, and give the events that they complete, one by one.

        Nothing is taken before it is iterated; iterate to the end before feeding the next part.

        Raises:
            OversizedEventError: An event has grown beyond ``max_event_bytes``. The events before it were given; from
                here on the decoder takes nothing.
        """
        for type_, data in self.feed_raw(part):
            yield Event(as_text(data), type_ or "message", self._id)

    def feed_raw(self, part: bytes) -> Iterator[tuple[str, bytes]]:
        """As ``feed``, but give no more of each event than its type, "" where it has none, and the bytes of its data.

        For who reads the bytes himself: most of the time that ``feed`` takes goes into what it makes of them.
        """
        if self._has_overflown:
            raise self._overflow()
        if self._after_cr and part:
            # The line ended at the CR already: waiting for the LF would hold an event back.
            self._after_cr = False
            part = part.removeprefix(b"\n")
        self._line += part
        if self._at_start:
            if len(self._line) < len(_BOM) and _BOM.startswith(self._line):
                return
            self._at_start = False
            if self._line.startswith(_BOM):
                del self._line[: len(_BOM)]
            part = bytes(self._line)
        # Only the new part is searched: a long line that comes in small parts costs no more than in one.
        if b"\n" in part or b"\r" in part:
            yield from self._read_lines(self._take_lines())
        # A line counts whole or not, so it is the same wherever the bytes were cut.
        if self._data_bytes + len(self._line) > self.max_event_bytes:
            raise self._overflow()

    def _take_lines(self) -> list[bytes]:
        """Take all lines that have ended, without their ends."""
        text = bytes(self._line)
        if b"\r" not in text:
            lines = text.split(b"\n")
            unfinished = lines.pop()
        else:
            # On bytes, splitlines knows just the three line ends of the standard.
            lines = text.splitlines()
            unfinished = b"" if text.endswith((b"\r", b"\n")) else lines.pop()
            self._after_cr = text.endswith(b"\r")
        self._line[:] = unfinished
        return lines

    def _read_lines(self, lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
        # One loop with few calls, for this is where the time of a stream goes.
        data, data_bytes, limit = self._data, self._data_bytes, self.max_event_bytes
        for line in lines:
            if line:
                if data_bytes + len(line) > limit:
                    raise self._overflow()
                if line.startswith(b"data: "):
                    data.append(line[6:])
                    data_bytes += len(line)
                elif self._read_field(line):
                    data_bytes += len(line)
            else:
                if data:
                    yield self._type, data[0] if len(data) == 1 else b"\n".join(data)
                    data.clear()
                    data_bytes = 0
                self._type = ""
        self._data_bytes = data_bytes

    def _read_field(self, line: bytes) -> bool:
        """Take what *line* says, and tell whether it was data."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                return True
            case b"event":
                self._type = as_text(value)
            case b"id" if b"\0" not in value:
                self._id = as_text(value)
            case b"retry" if value.isdigit():  # of bytes, only ASCII digits are
                # Eighteen are more than enough, and thousands of digits Python refuses to read.
                self.retry_ms = min(int(value.lstrip(b"0")[:18] or b"0"), MAX_RETRY_MS)
            case _:  # a comment has an empty name; unknown fields are dropped
                pass
        return False

    def _overflow(self) -> OversizedEventError:
        self._has_overflown = True
        return OversizedEventError(self.max_event_bytes)
