"""Decode the bytes of an event stream to events, wherever the network splits the bytes.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream".
One departure: the standard does not limit the size of an event; this decoder does, because the sender is not trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import attrs

MAX_RETRY_MS = 2**31 - 1
"""The longest delay of a timer in a browser, in milliseconds. A timer with a longer delay would run at once."""

_BOM = b"\xef\xbb\xbf"


@final
class MalformedFrameError(ValueError):
    """An event does not have the form that stream actions send."""


@final
@attrs.frozen
class OversizedEventError(ValueError):
    """An event is larger than the limit of the decoder."""

    limit_bytes: int

    def __str__(self) -> str:
        return f"the event is larger than the limit of {self.limit_bytes} bytes"


@final
@attrs.frozen
class Event:
    """One dispatched event: its data, its type, and the last event ID at the time of dispatch."""

    data: str
    type: str = "message"
    id: str = ""


def as_text(data: bytes) -> str:
    """Decode *data* as UTF-8. Invalid bytes become U+FFFD, as in the standard's "UTF-8 decode"."""
    return data.decode("utf-8", "replace")


@final
@attrs.define(eq=False)
class EventDecoder:
    """An incremental decoder: feed it bytes, and it yields the events that they complete.

    Args:
        max_event_bytes: The largest event, field names included. The default is twice the default size of a chunk.

    Attributes:
        retry_ms: The last reconnection time that the stream set, in milliseconds, at most ``MAX_RETRY_MS``; or None.
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
    _has_overflowed: bool = attrs.field(default=False, init=False)

    def feed(self, part: bytes) -> Iterator[Event]:
        """Yield the events that *part*, the next bytes, completes.

        This is a generator: it does nothing before it is iterated. Iterate to the end before you feed the next part.

        Raises:
            OversizedEventError: An event is larger than ``max_event_bytes``. Earlier events were yielded. After this
                every call raises the same error.
        """
        for type_, data in self.feed_raw(part):
            yield Event(as_text(data), type_ or "message", self._id)

    def feed_raw(self, part: bytes) -> Iterator[tuple[str, bytes]]:
        """Like ``feed``, but yield only the type of each event ("" if it has none) and the bytes of its data.

        This is for callers that decode the data themselves. It is faster: most of the time of ``feed`` goes into
        decoding text and building ``Event`` objects.
        """
        if self._has_overflowed:
            raise self._overflow()
        if self._after_cr and part:
            # The line ended at the CR. Waiting for a possible LF would have delayed the event.
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
        # Search only the new part, so that a long line in many small parts costs linear time.
        if b"\n" in part or b"\r" in part:
            yield from self._read_lines(self._take_lines())
        # Count the unfinished line in full, so that the limit does not depend on where the bytes were split.
        if self._data_bytes + len(self._line) > self.max_event_bytes:
            raise self._overflow()

    def _take_lines(self) -> list[bytes]:
        """Remove the complete lines from the buffer and return them, without their line ends."""
        text = bytes(self._line)
        if b"\r" not in text:
            lines = text.split(b"\n")
            unfinished = lines.pop()
        else:
            # bytes.splitlines splits at exactly the three line ends of the standard.
            lines = text.splitlines()
            unfinished = b"" if text.endswith((b"\r", b"\n")) else lines.pop()
            self._after_cr = text.endswith(b"\r")
        self._line[:] = unfinished
        return lines

    def _read_lines(self, lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
        # One loop with few calls: this is the hot path of a client.
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
        """Process the field in *line*. Return True if it is a data field."""
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
            case b"retry" if value.isdigit():  # bytes.isdigit accepts ASCII digits only
                # int() raises for more than 4300 digits.
                self.retry_ms = min(int(value.lstrip(b"0")[:18] or b"0"), MAX_RETRY_MS)
            case _:  # a comment (its name is empty) or an unknown field: the standard ignores both
                pass
        return False

    def _overflow(self) -> OversizedEventError:
        self._has_overflowed = True
        return OversizedEventError(self.max_event_bytes)
