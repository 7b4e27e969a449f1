"""What both checkers must refuse, line by line: after the code of mypy's error, the rule of pyright's."""

from __future__ import annotations

from tests.typed.right import Progress, Token, produce, send_words
from trio_streamact import Stream


async def streams_take_what_they_say(words: Stream[Token], numbers: Stream[int]) -> None:
    await words.send("Hello")  # type: ignore[arg-type]  # reportArgumentType
    await send_words(numbers)  # type: ignore[arg-type]  # reportArgumentType
    await produce(numbers)  # type: ignore[arg-type]  # reportArgumentType
    more: Stream[Token | Progress] = words  # type: ignore[assignment]  # reportAssignmentType
    words.closed = True  # type: ignore[misc]  # reportAttributeAccessIssue
    await more.send(Progress(50))
