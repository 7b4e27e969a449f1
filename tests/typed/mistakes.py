"""What both checkers must refuse, line by line: after the code of mypy's error, the rule of pyright's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import trio
from quart_trio import QuartTrio

from tests.typed.right import (
    CHAT,
    COUNT,
    EITHER,
    Progress,
    Prompt,
    Token,
    actions,
    ai_chat,
    note_ended,
    note_opened,
    produce,
    registered,
    send_words,
)
from trio_streamact import Stream, StreamActions, define_stream_action, stream_ended, stream_opened
from trio_streamact.client import ChunkStream, StreamActionReference, open_stream_action, use_stream_action
from trio_streamact.errors import ErrorFields


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


async def what_a_runner_holds_is_its_own() -> None:
    runner = use_stream_action(CHAT)
    runner.chunks.append(Token("mine"))  # type: ignore[attr-defined]  # reportAttributeAccessIssue
    runner.status = "done"  # type: ignore[misc]  # reportAttributeAccessIssue
    runner.chunks = []  # type: ignore[misc]  # reportAttributeAccessIssue
    runner.error = None  # type: ignore[misc]  # reportAttributeAccessIssue


def misspelt_code(error: Exception) -> ErrorFields:
    return {"cod": "UPSTREAM", "message": "No answer"}  # type: ignore[typeddict-item]  # reportReturnType


def any_mapping(error: Exception) -> dict[str, str]:
    return {}


def no_exception() -> None: ...


def returns_text(ctx: dict[str, Any]) -> str:
    return ""


async def returns_text_later(ctx: dict[str, Any]) -> str:
    return ""


async def yields_text() -> AsyncIterator[str]:
    yield ""


define_stream_action(handle_server_error=any_mapping)  # type: ignore[arg-type]  # reportArgumentType
StreamActions(handle_server_error=no_exception)  # type: ignore[arg-type]  # reportArgumentType
StreamActions(client_key=no_exception)  # type: ignore[arg-type]  # reportArgumentType
define_stream_action(guards=[returns_text])  # type: ignore[list-item]  # reportArgumentType
define_stream_action(guards=[returns_text_later])  # type: ignore[list-item]  # reportArgumentType
actions.get("/text", middleware=[yields_text])  # type: ignore[list-item]  # reportArgumentType
actions.get("/text", dialect="loud")  # type: ignore[arg-type]  # reportArgumentType


def note_text(app: QuartTrio, report: str) -> None: ...


stream_ended.connect(note_text)  # type: ignore[type-var]  # reportArgumentType
stream_ended.connect(note_opened)  # type: ignore[type-var]  # reportArgumentType
stream_opened.connect(note_ended)  # type: ignore[type-var]  # reportArgumentType
