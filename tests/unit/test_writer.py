"""The writers of a stream: what one write takes, and when a sender yields to other tasks.

What leaves through a real connection is a matter of ``tests/faults/test_write_through.py``.
"""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing

from trio_streamact import Limits, Stream
from trio_streamact._hypercorn import Exchange
from trio_streamact._protocol.encoding import HEARTBEAT
from trio_streamact._stream.batch import BATCH_WINDOW_S, Batch
from trio_streamact._stream.buffer import StreamIsClosed
from trio_streamact._stream.writer import PullWriter

DONE = b"done"


def a_writer(limits: Limits | None = None) -> PullWriter:
    return PullWriter(limits or Limits(), Exchange.without_middleware())


def a_stream(writer: PullWriter) -> Stream[object]:
    return Stream(writer, lambda: writer.end(DONE))


async def a_batch(writer: PullWriter, most_bytes: int) -> list[bytes]:
    batch = Batch(writer.buffer, writer._take, most_bytes)
    while batch.goes_on():
        await trio.lowlevel.checkpoint()
    writer.buffer.written()
    return batch.frames


async def send(writer: PullWriter, frame: bytes) -> None:
    """Add *frame* as a stream does."""
    if not writer.put_nowait(frame):
        await writer.put(frame)


# What one write takes


async def test_a_fast_sender_fills_one_write_and_never_too_much(autojump_clock: trio.testing.MockClock) -> None:
    """It waits for room at every fourth frame, and on this clock no time passes: only bytes end a write."""
    writer = a_writer(Limits(buffer_chunks=4))

    async def send_all() -> None:
        for number in range(100):
            await send(writer, b"%03d" % number)
        writer.end(DONE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all)
        await trio.testing.wait_all_tasks_blocked()
        first = await a_batch(writer, 30 * 3)
        assert (len(first), writer.buffer.ends_with(first)) == (30, False)
        await trio.testing.wait_all_tasks_blocked()
        rest = await a_batch(writer, 10_000)
        assert writer.buffer.ends_with(rest)
    assert first + rest == [*(b"%03d" % number for number in range(100)), DONE]


async def test_a_write_is_gathered_for_a_moment_and_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    """However fast its sender is, which takes a while for each frame here, as on a busy machine."""
    writer = a_writer(Limits(buffer_chunks=1))

    async def send_all() -> None:
        for _ in range(20):
            await send(writer, b"x")
            autojump_clock.jump(BATCH_WINDOW_S / 4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all)
        await trio.testing.wait_all_tasks_blocked()
        assert len(await a_batch(writer, 10_000)) in range(4, 7)
        nursery.cancel_scope.cancel()


async def test_a_write_that_is_full_or_has_the_last_frame_waits_for_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for most_bytes, frames in ((3, [b"xx"]), (100, [b"xx", b"xx", DONE])):
        writer = a_writer(Limits(buffer_chunks=1))

        async def send_all(writer: PullWriter = writer, ends: bool = DONE in frames) -> None:
            await send(writer, b"xx")
            if ends:
                writer.end(DONE)

        writer.put_nowait(b"xx")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all)
            await trio.testing.wait_all_tasks_blocked()
            batch = Batch(writer.buffer, writer._take, most_bytes)
            if batch.goes_on():
                await trio.testing.wait_all_tasks_blocked()
                assert not batch.goes_on()
            writer.buffer.take(100)
        assert batch.frames == frames


async def test_a_sender_that_gets_room_may_be_a_pass_late(autojump_clock: trio.testing.MockClock) -> None:
    """Trio runs the tasks that are ready in any order."""
    for _ in range(20):
        writer = a_writer(Limits(buffer_chunks=1))

        async def send_all(writer: PullWriter = writer) -> None:
            for _ in range(10):
                await send(writer, b"x")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all)
            await trio.testing.wait_all_tasks_blocked()
            assert len(await a_batch(writer, 100)) == 10


async def test_a_sender_that_does_something_else_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    writer = a_writer(Limits(buffer_chunks=1))

    async def send_all() -> None:
        for frame in (b"a", b"b"):
            await send(writer, frame)
        await trio.sleep(1)
        await send(writer, b"c")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all)
        await trio.testing.wait_all_tasks_blocked()
        assert await a_batch(writer, 100) == [b"a", b"b"]
        assert trio.current_time() == 0
        await trio.sleep(2)
        assert await a_batch(writer, 100) == [b"c"]


async def test_many_senders_cost_linear_time() -> None:
    """Each sender that gets room is woken once. Twice as many take twice as long, not four times."""

    async def seconds(senders: int) -> float:
        writer = a_writer(Limits(buffer_chunks=4))
        async with trio.open_nursery() as nursery:
            for _ in range(senders):
                nursery.start_soon(send, writer, b"x" * 1000)
            await trio.testing.wait_all_tasks_blocked()
            began, taken = time.process_time(), 0
            while taken < senders:
                taken += len(await a_batch(writer, 10_000))
            return time.process_time() - began

    ratios = [await seconds(8000) / await seconds(1000) for _ in range(5)]
    assert min(ratios) < 20


async def test_how_long_senders_wait_is_counted(autojump_clock: trio.testing.MockClock) -> None:
    writer = a_writer(Limits(buffer_chunks=1))
    writer.put_nowait(b"x")

    async def put() -> None:
        with pytest.raises(StreamIsClosed):
            await writer.put(b"y")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        nursery.start_soon(put)
        await trio.sleep(3)
        writer.close()
    assert writer.waited_s == pytest.approx(6)


# When a sender yields


async def test_a_sender_that_works_while_its_frames_wait_must_yield(autojump_clock: trio.testing.MockClock) -> None:
    writer = a_writer()

    def put_after(work_s: float) -> bool:
        autojump_clock.jump(work_s)
        writer.put_nowait(b"x")
        return writer.must_yield

    assert [put_after(BATCH_WINDOW_S), put_after(BATCH_WINDOW_S / 2), put_after(BATCH_WINDOW_S)] == [False, False, True]
    await writer.yield_to_others()
    assert not writer.must_yield
    await a_batch(writer, 100)
    assert [put_after(BATCH_WINDOW_S), put_after(BATCH_WINDOW_S / 2)] == [False, False], "what was put before is taken"


async def test_a_frame_that_is_taken_only_since_its_sender_yields_excuses_it_from_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The sender works as before, so without another turn the next frame would wait for the one after it."""
    writer = a_writer()

    async def read() -> None:
        await a_batch(writer, 100)

    async def send_all() -> None:
        writer.put_nowait(b"x")
        for _ in range(10):  # Trio runs the tasks that are ready in any order
            autojump_clock.jump(BATCH_WINDOW_S)
            writer.put_nowait(b"x")
            assert writer.must_yield
            nursery.start_soon(read)
            await writer.yield_to_others()
            assert not len(writer.buffer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all)


async def test_a_send_that_is_cancelled_while_others_run_has_sent(autojump_clock: trio.testing.MockClock) -> None:
    writer = a_writer()
    stream = a_stream(writer)
    await stream.send(1)
    autojump_clock.jump(BATCH_WINDOW_S)

    async def cancel() -> None:
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel)
            await stream.send(2)
            assert scope.cancel_called, "no other task has run"
    assert not scope.cancelled_caught
    assert writer.buffer.take(100) == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_only_the_clock_of_the_run_says_how_long_a_sender_has_worked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Else a hiccup of the machine would decide how a test's chunks leave."""
    writer = a_writer()
    writer.put_nowait(b"x")
    time.sleep(2 * BATCH_WINDOW_S)  # noqa: ASYNC251 - the hiccup
    writer.put_nowait(b"x")
    assert not writer.must_yield


# The parts of a response


async def test_each_part_has_all_the_frames_that_wait_and_none_follows_the_last() -> None:
    writer = a_writer()
    for frame in (b"a", b"b"):
        writer.put_nowait(frame)
    assert await writer.next_part() == b"ab"
    writer.put_nowait(b"c")
    writer.end(DONE)
    assert await writer.next_part() == b"c" + DONE
    assert not writer.is_delivered, "the server has not asked for more"
    assert await writer.next_part() is None
    assert (writer.is_delivered, writer.chunks, writer.written_bytes) == (True, 3, 3 + len(DONE))


async def test_a_heartbeat_is_a_part_and_no_chunk() -> None:
    writer = a_writer()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read() -> None:
            assert await writer.next_part() == HEARTBEAT

        await trio.testing.wait_all_tasks_blocked()
        writer.beat()
    assert (writer.chunks, writer.written_bytes) == (0, len(HEARTBEAT))


async def test_a_stream_that_is_closed_without_an_end_has_no_more_parts() -> None:
    """The handler was cancelled from outside: an end of the body would look like the end of the stream."""
    writer = a_writer()
    async with trio.open_nursery() as nursery:
        parts: list[object] = []

        @nursery.start_soon
        async def read() -> None:
            parts.append(await writer.next_part())

        await trio.testing.wait_all_tasks_blocked()
        writer.close()
        await trio.testing.wait_all_tasks_blocked()
        assert parts == []
        nursery.cancel_scope.cancel()
