"""The stream that a handler holds."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.unit.test_writer import DONE, a_stream, a_writer


async def test_a_stream_closes_once(autojump_clock: trio.testing.MockClock) -> None:
    writer = a_writer()
    stream = a_stream(writer)
    await stream.send(1)
    states = [stream.closed]
    await stream.close()
    await stream.close()
    assert [*states, stream.closed] == [False, True]
    with pytest.raises(trio.ClosedResourceError):
        await stream.send(2)
    assert writer.buffer.take(100) == [b"data: 1\n\n", DONE]


async def test_a_refused_chunk_leaves_the_stream_as_it_was(autojump_clock: trio.testing.MockClock) -> None:
    writer = a_writer()
    stream = a_stream(writer)
    for refused in (object(), {"__actions_done": True}):
        with pytest.raises((TypeError, ValueError)):
            await stream.send(refused)
    assert not writer.buffer.is_readable
