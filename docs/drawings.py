"""Write the drawings of ``operation.md``, the life of a stream from its table: ``python -m docs.drawings``."""

from __future__ import annotations

import re
from pathlib import Path

from trio_streamact._stream.lifecycle import MOVES, State

PAGE = Path(__file__).with_name("operation.md")

CHUNK = """flowchart TD
    send["handler: stream.send(chunk)"] --> encode["_protocol/encoding: encode_chunk"]
    encode --> buffer["_stream/buffer: FrameBuffer, bounded in frames and bytes"]
    buffer -- "no room" --> wait["send waits, first come first served"]
    wait -- "the writer has taken frames" --> buffer
    buffer --> push["_stream/writer: PushWriter, in the task of the sender"]
    buffer --> pull["_stream/writer: PullWriter, when the server asks"]
    push --> exchange1["_hypercorn/exchange: write_nowait"]
    exchange1 --> http1["_hypercorn/http1_writer: chunk framing, os.write"]
    http1 --> kernel["kernel: socket buffer"]
    http1 -. "socket full: _flush, by the scheduler" .-> push
    pull --> quart["Quart: response part"]
    quart --> exchange2["_hypercorn/exchange: send"]
    exchange2 --> hypercorn["hypercorn: h11 or h2, TLS"]
    hypercorn --> kernel
"""


def life() -> str:
    """Return the table of moves as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.RUNNING.name}"]
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), move in MOVES.items():
        outcome = f" ({move.outcome})" if move.outcome and move.outcome != event.value else ""
        arrows.setdefault((state.name, move.to.name), []).append(f"{event.value}{outcome}")
    lines += [f"    {start} --> {end}: {', '.join(events)}" for (start, end), events in arrows.items()]
    ends = {move.to for move in MOVES.values()} - {state for state, _ in MOVES}
    lines += [f"    {state.name} --> [*]" for state in State if state in ends]
    return "\n".join(lines) + "\n"


def drawn(page: str) -> str:
    """Return *page* with both drawings as they are now."""
    for name, drawing in (("chunk", CHUNK), ("life", life())):
        page = re.sub(
            rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", f"```mermaid\n{drawing}```\n", page, flags=re.DOTALL
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
