"""What both checkers must refuse, line by line: after the code of mypy's error, the rule of pyright's."""

from __future__ import annotations

import trio

from tests.typed.right import Progress, Prompt, Token, actions, ai_chat, produce, registered, send_words
from trio_streamact import Stream, define_stream_action


async def streams_take_what_they_say(words: Stream[Token], numbers: Stream[int]) -> None:
    await words.send("Hello")  # type: ignore[arg-type]  # reportArgumentType
    await send_words(numbers)  # type: ignore[arg-type]  # reportArgumentType
    await produce(numbers)  # type: ignore[arg-type]  # reportArgumentType
    more: Stream[Token | Progress] = words  # type: ignore[assignment]  # reportAssignmentType
    words.closed = True  # type: ignore[misc]  # reportAttributeAccessIssue
    await more.send(Progress(50))


async def a_view_is_not_its_handler(stream: Stream[Token]) -> None:
    await ai_chat(input=Prompt("Hello"), stream=stream)  # type: ignore[arg-type]  # reportArgumentType
    await registered(input=Prompt("Hello"), stream=stream)  # type: ignore[arg-type]  # reportArgumentType
    await ai_chat(Prompt("Hello"), stream)  # type: ignore[call-arg]  # reportCallIssue
    await ai_chat.handler(input=Token("Hello"), stream=stream)  # type: ignore[arg-type]  # reportArgumentType
    await ai_chat.handler(input=Prompt("Hello"))  # type: ignore[call-arg]  # reportCallIssue
    await registered.handler(stream=stream)  # type: ignore[call-arg]  # reportCallIssue
    channel, _ = trio.open_memory_channel[int](1)
    await ai_chat.handler(Prompt("Hello"), channel)  # type: ignore[arg-type]  # reportArgumentType
    ai_chat.handler = registered.handler  # type: ignore[misc]  # reportAttributeAccessIssue


@define_stream_action  # type: ignore[arg-type]  # reportArgumentType
def not_async(stream: Stream[Token]) -> None: ...


@actions.post("/returns")  # type: ignore[arg-type]  # reportArgumentType
def not_async_either(stream: Stream[Token]) -> None: ...


@actions.post("/misspelt", gaurds=[])  # type: ignore[call-arg]  # reportCallIssue
async def misspelt(stream: Stream[Token]) -> None: ...
