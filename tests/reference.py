"""The algorithm of the standard, word by word and all at once, to hold our decoder against.

Source: HTML Living Standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import re

from trio_streamact._protocol.decoding import Event


def read_event_stream(data: bytes) -> tuple[list[Event], int | None]:
    """The events in the whole of a stream, and the reconnection time at its end."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    *lines, _ = re.split("\r\n|\n|\r", text)  # what stands behind the last line end is discarded
    events: list[Event] = []
    retry_ms = None
    data_buffer = event_type = last_event_id = ""
    for line in lines:
        if line == "":
            if data_buffer:
                events.append(Event(data_buffer.removesuffix("\n"), event_type or "message", last_event_id))
            data_buffer = event_type = ""
            continue
        if line.startswith(":"):
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event_type = value
        elif field == "data":
            data_buffer += value + "\n"
        elif field == "id":
            last_event_id = last_event_id if "\0" in value else value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            retry_ms = min(int(value), 2**31 - 1)
    return events, retry_ms
