"""What is fuzzed within the process: the parsers of bytes from strangers, each as a function of bytes.

With atheris, which looks for inputs that reach new branches, and takes the options of libFuzzer:
``python -m tests.fuzz.guided NAME [FOLDER] [-OPTION=...]``.
whose options are libFuzzer's.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

PREFIX = "/api/_actions"
TYPES = [b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b", b""]
TYPES += [b"application/json; charset=utf-16", b"text/plain; charset=shift-jis", b"multipart/form-data"]
ANSWER_BYTES = 16 * 1024


def read_events(data: bytes) -> None:
    """The decoder of streams reads what the standard says, wherever the bytes are cut."""
    from tests.reference import read_event_stream
    from trio_streamact._protocol.decoding import EventDecoder

    cut = data[0] if data else 0
    decoder = EventDecoder()
    events = [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]
    assert (events, decoder.retry_ms) == read_event_stream(data)


def read_a_frame(data: bytes) -> None:
    """The data of an event are read as Python's ``json`` reads them, or refused as such."""
    from trio_streamact._protocol.decoding import Event, MalformedFrameError, as_text
    from trio_streamact._protocol.json import read_json
    from trio_streamact._protocol.messages import read_frame

    try:
        expected: Any = json.loads(as_text(data), parse_constant=int)  # which no constant is
    except (ValueError, RecursionError):
        expected = MalformedFrameError
    try:
        assert repr(read_json(data)) == repr(expected)
        read_frame(Event(as_text(data), "message"))
        read_frame(Event(as_text(data), "error"))
    except MalformedFrameError:
        pass


@functools.cache
def _app() -> Any:
    from tests.fuzz.costs import make_app

    return make_app()


def answer_a_body(data: bytes) -> None:
    """Any body for any kind of input is answered by a stream with one ending, of a bounded size."""
    import trio

    from tests.fuzz.asgi import Request, answer, check
    from tests.fuzz.inputs import INPUTS

    first, second, body = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    path, content_type = list(INPUTS)[first[0] % len(INPUTS)], TYPES[second[0] % len(TYPES)]
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    reply = trio.run(answer, _app(), Request("POST", PREFIX + path, b"", headers, [body[:7], body[7:]]))
    check(reply)
    assert len(reply.body) <= ANSWER_BYTES


TARGETS: dict[str, Callable[[bytes], None]] = {
    "events": read_events,
    "frames": read_a_frame,
    "bodies": answer_a_body,
}


def main() -> None:
    """Run one target under atheris until its time is over, or something fails."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["trio_streamact", "werkzeug.sansio", "cattrs"]):
        importlib.import_module("trio_streamact")
        importlib.import_module("trio_streamact.client")
        importlib.import_module("werkzeug.sansio.multipart")
        if sys.argv[1] == "bodies":
            _app()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
