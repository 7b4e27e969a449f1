"""The buffer between the senders of a stream and its writer: its bounds, its order, its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from trio_streamact import Limits
from trio_streamact._stream.buffer import FrameBuffer, StreamIsClosed

DONE = b"done"


async def test_it_takes_as_many_frames_as_it_may() -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=2))
    assert [buffer.put_nowait(b"x") for _ in range(3)] == [1, 2, 0]


async def test_it_takes_as_many_bytes_as_it_may_and_one_frame_always() -> None:
    buffer = FrameBuffer(Limits(buffer_bytes=10))
    assert buffer.put_nowait(b"x" * 100)
    assert not buffer.put_nowait(b"x")
    buffer.take(1)
    assert not buffer.put_nowait(b"x"), "what was taken is not written yet"
    buffer.written()
    assert [buffer.put_nowait(b"x" * 5) for _ in range(3)] == [1, 2, 0]


async def test_take_returns_all_frames_up_to_its_bound_and_at_least_one() -> None:
    buffer = FrameBuffer(Limits())
    for frame in (b"aaaa", b"bb", b"c", b"dd"):
        buffer.put_nowait(frame)
    assert buffer.take(2) == [b"aaaa"]
    assert buffer.take(1, at_least=0) == []
    assert buffer.take(3) == [b"bb", b"c"]
    assert buffer.take(100) == [b"dd"]
    assert not buffer.is_readable


# Senders that wait


async def blocked(nursery: trio.Nursery, *senders: Callable[[], object]) -> None:
    """Start *senders*, one after the other, each of which waits for room."""
    for sender in senders:
        nursery.start_soon(sender)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()


async def test_senders_get_room_in_the_order_in_which_they_came(autojump_clock: trio.testing.MockClock) -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=2))
    buffer.put_nowait(b"0")
    buffer.put_nowait(b"1")

    async with trio.open_nursery() as nursery:
        for number in range(2, 7):
            nursery.start_soon(buffer.put, b"%d" % number)
            await trio.testing.wait_all_tasks_blocked()
        assert buffer.take(2) == [b"0", b"1"]
        assert not buffer.put_nowait(b"late"), "others came before"
        assert [buffer.take(2) for _ in range(3)] == [[b"2", b"3"], [b"4", b"5"], [b"6"]]


async def test_a_write_that_has_room_takes_the_frames_of_waiting_senders_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=1))
    buffer.put_nowait(b"0")

    async with trio.open_nursery() as nursery:
        for number in range(1, 10):
            nursery.start_soon(buffer.put, b"%d" % number)
            await trio.testing.wait_all_tasks_blocked()
        assert buffer.take(6) == [b"%d" % number for number in range(6)]
        assert buffer.take(100) == [b"%d" % number for number in range(6, 10)]
    assert not buffer.has_blocked_senders


async def test_a_sender_with_a_large_frame_is_not_overtaken(autojump_clock: trio.testing.MockClock) -> None:
    buffer = FrameBuffer(Limits(buffer_bytes=10))
    buffer.put_nowait(b"x" * 8)
    buffer.put_nowait(b"y")

    async with trio.open_nursery() as nursery:
        await blocked(nursery, lambda: buffer.put(b"z" * 10), lambda: buffer.put(b"w"))
        assert buffer.take(8) == [b"x" * 8]
        assert buffer.take(10) == [b"y"]
        buffer.written()
        assert buffer.take(10) == [b"z" * 10]
        buffer.written()
        assert buffer.take(10) == [b"w"]


async def test_a_sender_that_is_cancelled_has_added_nothing_and_holds_up_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=1))
    buffer.put_nowait(b"x")

    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            with trio.move_on_after(1):
                await buffer.put(b"y")

        await blocked(nursery, leave, lambda: buffer.put(b"z"))
        await trio.sleep(2)
        assert buffer.take(100) == [b"x", b"z"]
    assert not buffer.is_readable


async def test_a_small_frame_need_not_wait_for_a_large_one_whose_sender_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    buffer = FrameBuffer(Limits(buffer_bytes=10))
    buffer.put_nowait(b"x" * 8)

    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            with trio.move_on_after(1):
                await buffer.put(b"y" * 8)

        await blocked(nursery, leave, lambda: buffer.put(b"z"))
        await trio.sleep(2)
        assert not buffer.has_blocked_senders
    assert buffer.take(100) == [b"x" * 8, b"z"]


async def test_a_sender_that_is_cancelled_when_its_frame_is_added_has_sent_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=1))
    buffer.put_nowait(b"x")

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(take_and_cancel, buffer, scope)
            await buffer.put(b"y")
    assert scope.cancel_called
    assert not scope.cancelled_caught
    assert buffer.take(1) == [b"y"]


async def take_and_cancel(buffer: FrameBuffer, scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    assert buffer.take(1, at_least=1) == [b"x"]
    scope.cancel()


async def test_closing_refuses_the_senders_that_wait(autojump_clock: trio.testing.MockClock) -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=1))
    buffer.put_nowait(b"x")
    refused = []

    async def put() -> None:
        try:
            await buffer.put(b"y")
        except StreamIsClosed as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        await blocked(nursery, put, put)
        buffer.close()
    assert len(refused) == 2
    assert buffer.take(100) == [b"x"]


# The end


async def test_the_last_frame_has_room_always_and_comes_last() -> None:
    buffer = FrameBuffer(Limits(buffer_chunks=1))
    buffer.put_nowait(b"x")
    assert buffer.end(DONE)
    first, last = buffer.take(1), buffer.take(1)
    assert (first, last) == ([b"x"], [DONE])
    assert (buffer.ends_with(first), buffer.ends_with(last)) == (False, True)


async def test_only_the_first_end_counts() -> None:
    buffer = FrameBuffer(Limits())
    assert buffer.end(DONE)
    assert not buffer.end(b"error")
    assert buffer.take(100) == [DONE]


async def test_a_buffer_that_is_closed_without_an_end_has_no_last_frame() -> None:
    buffer = FrameBuffer(Limits())
    buffer.close()
    assert buffer.is_readable
    assert not len(buffer)
    assert not buffer.ends_with(buffer.take(100))


async def test_a_frame_that_equals_the_last_one_is_not_it() -> None:
    buffer = FrameBuffer(Limits())
    buffer.put_nowait(b"".join([b"do", b"ne"]))
    buffer.end(DONE)
    first, last = buffer.take(1), buffer.take(1)
    assert first == last == [DONE]
    assert (buffer.ends_with(first), buffer.ends_with(last)) == (False, True)


async def test_what_was_put_back_comes_first() -> None:
    buffer = FrameBuffer(Limits())
    for frame in (b"a", b"b", b"c"):
        buffer.put_nowait(frame)
    buffer.put_back(buffer.take(2))
    assert buffer.take(3) == [b"a", b"b", b"c"]


async def test_a_buffer_that_is_dropped_has_nothing_left() -> None:
    buffer = FrameBuffer(Limits())
    buffer.put_nowait(b"x")
    buffer.drop()
    assert (len(buffer), buffer.is_open, buffer.take(100)) == (0, False, [])


@pytest.mark.parametrize("frame", [b"", b"x" * 1000])
async def test_an_empty_buffer_has_room_for_any_frame(frame: bytes) -> None:
    assert FrameBuffer(Limits(buffer_chunks=1, buffer_bytes=1)).put_nowait(frame)
