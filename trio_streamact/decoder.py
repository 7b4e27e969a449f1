"""The bytes of an event stream to events, wherever the network cuts them.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream".
One departure: the standard lets an event grow without end, and a reader of strangers' bytes must not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import attrs

_BOM = b"\xef\xbb\xbf"


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


@final
@attrs.define(eq=False)
class EventDecoder:
    """Feed it bytes, it gives the events that they complete.

    Args:
        max_event_bytes: How much of an unfinished event is kept, the names of its fields included. By default twice
            what a chunk may be.

    Attributes:
        retry_ms: The reconnection time that the stream last asked for, in milliseconds, or None.
    """

    max_event_bytes: int = 2 * 1024 * 1024
    retry_ms: int | None = attrs.field(default=None, init=False)
    _line: bytearray = attrs.field(factory=bytearray, init=False)
    _at_start: bool = attrs.field(default=True, init=False)
    _after_cr: bool = attrs.field(default=False, init=False)
    _data: list[str] = attrs.field(factory=list, init=False)
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
        if self._has_overflown:
            raise OversizedEventError(self.max_event_bytes)
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
            yield from self._read_lines()
        self._check(self._line)

    def _read_lines(self) -> Iterator[Event]:
        # On bytes, splitlines knows just the three line ends of the standard.
        lines = bytes(self._line).splitlines(keepends=True)
        self._line.clear()
        self._after_cr = lines[-1].endswith(b"\r")
        if not lines[-1].endswith((b"\r", b"\n")):
            self._line += lines.pop()
        for line in lines:
            text = line.rstrip(b"\r\n")
            self._check(text)
            if text:
                self._read_field(text)
            elif (event := self._dispatch()) is not None:
                yield event

    def _read_field(self, line: bytes) -> None:
        # Bytes that are no UTF-8 become U+FFFD, as the standard's decoder does.
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._data_bytes += len(line)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value.lstrip("0")[:18] or "0")  # Python refuses to read thousands of digits
            case _:  # a comment has an empty name; unknown fields are dropped
                pass

    def _dispatch(self) -> Event | None:
        data, type_ = self._data, self._type
        self._data, self._type, self._data_bytes = [], "", 0
        return Event("\n".join(data), type_ or "message", self._id) if data else None

    def _check(self, line: bytes | bytearray) -> None:
        """Refuse a *line*, whole or not, that is too much; so it is the same wherever the bytes were cut."""
        if self._data_bytes + len(line) > self.max_event_bytes:
            self._has_overflown = True
            raise OversizedEventError(self.max_event_bytes)
