"""What both checkers must refuse, line by line: after the code of mypy's error, the rule of pyright's."""

from __future__ import annotations

import trio

from tests.typed.right import (
    CHAT,
    COUNT,
    EITHER,
    Progress,
    Prompt,
    Token,
    actions,
    ai_chat,
    produce,
    registered,
    send_words,
)
from trio_streamact import Stream, define_stream_action
from trio_streamact.client import ChunkStream, StreamActionReference, open_stream_action, use_stream_action


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


async def references_say_what_they_take() -> None:
    StreamActionReference[Prompt, Token]("/chat", input=Token, chunk=Token)  # type: ignore[arg-type]  # reportArgumentType
    StreamActionReference[Prompt, Token]("/chat", input=Prompt, chunk=Prompt)  # type: ignore[arg-type]  # reportArgumentType
    StreamActionReference("/chat", input=Prompt("Hello"))  # type: ignore[arg-type]  # reportArgumentType
    swapped: StreamActionReference[Token, Prompt] = CHAT  # type: ignore[assignment]  # reportAssignmentType
    open_stream_action(CHAT)  # type: ignore[arg-type]  # reportCallIssue
    open_stream_action(CHAT, None)  # type: ignore[arg-type]  # reportCallIssue
    open_stream_action(CHAT, {"prompt": "Hello"})  # type: ignore[misc]  # reportCallIssue
    open_stream_action(CHAT, Token("Hello"))  # type: ignore[misc]  # reportCallIssue
    open_stream_action(EITHER, Token("Hello"))  # type: ignore[misc]  # reportCallIssue
    open_stream_action(COUNT, Prompt("Hello"))  # type: ignore[misc]  # reportCallIssue
    open_stream_action(CHAT, Prompt("Hello"), method="GET")  # type: ignore[call-overload]  # reportArgumentType
    open_stream_action("/chat", chunks=Token)  # type: ignore[call-overload]  # reportCallIssue
    await use_stream_action(CHAT).execute()  # type: ignore[call-arg]  # reportCallIssue
    await use_stream_action(CHAT).execute(None)  # type: ignore[arg-type]  # reportArgumentType
    await use_stream_action(CHAT).execute(Token("Hello"))  # type: ignore[arg-type]  # reportArgumentType
    await use_stream_action(COUNT).execute(Prompt("Hello"))  # type: ignore[call-overload]  # reportCallIssue
    use_stream_action(CHAT, on_chunk=str.upper)  # type: ignore[arg-type]  # reportArgumentType
    await use_stream_action(swapped).execute(Token("Hello"))


async def chunks_are_those_of_the_reference(either: ChunkStream[Token | Progress]) -> None:
    words: ChunkStream[Token] = either  # type: ignore[assignment]  # reportAssignmentType
    async for word in words:
        assert word.percent  # type: ignore[attr-defined]  # reportAttributeAccessIssue
