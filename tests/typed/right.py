"""A program that both checkers accept, each in its strictest mode."""

# pyright: strict

from __future__ import annotations

from typing import assert_type

import attrs
import trio

from trio_streamact import Stream


@attrs.define
class Prompt:
    prompt: str


@attrs.define
class Token:
    text: str


@attrs.define
class Progress:
    percent: int


# Streams


async def send_words(words: Stream[Token]) -> None:
    await words.send(Token("Hello"))


async def produce(channel: trio.abc.SendChannel[Token]) -> None:
    async with channel:
        await channel.send(Token("Hello"))


async def mixed(stream: Stream[Token | Progress]) -> None:
    """A stream that takes more is one that takes less."""
    await send_words(stream)
    await produce(stream)
    await stream.send(Progress(50))
    async with stream as same:
        assert_type(same, Stream[Token | Progress])
    await stream.aclose()
    await stream.close()
    assert_type(stream.closed, bool)
