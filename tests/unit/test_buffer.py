"""The channel between handler and writer: its bounds, its order, its end."""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing

from trio_streamact import Limits, Stream
from trio_streamact._stream.buffer import GATHER_S, FrameChannel, Gathering

DONE = b"done"


async def test_it_takes_as_many_frames_as_it_may() -> None:
    channel = FrameChannel(Limits(buffer_chunks=2))
    assert [channel.put_nowait(b"x") for _ in range(3)] == [True, True, False]


async def test_it_takes_as_many_bytes_as_it_may_and_one_frame_always() -> None:
    channel = FrameChannel(Limits(buffer_bytes=10))
    assert channel.put_nowait(b"x" * 100)
    assert not channel.put_nowait(b"x")
    channel.take(1)
    assert not channel.put_nowait(b"x"), "what is not written yet counts, too"
    channel.written()
    assert [channel.put_nowait(b"x" * 5) for _ in range(3)] == [True, True, False]


async def test_take_gives_all_that_waits_up_to_its_bound_and_at_least_one() -> None:
    channel = FrameChannel(Limits())
    for frame in (b"aaaa", b"bb", b"c", b"dd"):
        channel.put_nowait(frame)
    assert channel.take(2) == [b"aaaa"]
    assert channel.take(3) == [b"bb", b"c"]
    assert channel.take(100) == [b"dd"]
    assert not channel.is_readable


async def test_a_fast_sender_fills_one_write_and_never_too_much(autojump_clock: trio.testing.MockClock) -> None:
    """It waits for room at every fourth frame, and on this clock no time passes: only bytes end a write."""
    channel = FrameChannel(Limits(buffer_chunks=4))

    async def send() -> None:
        for number in range(100):
            if not channel.put_nowait(b"%03d" % number):
                await channel.put(b"%03d" % number)
        channel.end(DONE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        first = await channel.gather(30 * 3)
        assert (len(first), channel.ends_with(first)) == (30, False)
        await trio.testing.wait_all_tasks_blocked()
        rest = await channel.gather(10_000)
        assert channel.ends_with(rest)
    assert first + rest == [*(b"%03d" % number for number in range(100)), DONE]


async def test_a_write_is_gathered_for_a_moment_and_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    """However fast its sender is, who takes a while for each frame here, as on a busy machine."""
    channel = FrameChannel(Limits(buffer_chunks=1))

    async def send() -> None:
        for _ in range(20):
            await channel.put(b"x")
            autojump_clock.jump(GATHER_S / 4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert len(await channel.gather(10_000)) in range(4, 7)
        nursery.cancel_scope.cancel()


async def test_a_write_that_is_full_or_has_the_last_frame_waits_for_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for most_bytes, frames in ((3, [b"xx"]), (100, [b"xx", b"xx", DONE])):
        channel = FrameChannel(Limits(buffer_chunks=1))

        async def send(channel: FrameChannel = channel, ends: bool = DONE in frames) -> None:
            await channel.put(b"xx")
            if ends:
                channel.end(DONE)

        channel.put_nowait(b"xx")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            gathering = Gathering(channel, most_bytes)
            assert gathering.goes_on() == (DONE in frames)
            await trio.testing.wait_all_tasks_blocked()
            assert DONE not in frames or not gathering.goes_on()
        assert gathering.frames == frames


async def test_a_sender_that_gets_room_may_be_a_turn_late(autojump_clock: trio.testing.MockClock) -> None:
    """Trio runs what is ready in any order."""
    for _ in range(20):
        channel = FrameChannel(Limits(buffer_chunks=1))

        async def send(channel: FrameChannel = channel) -> None:
            for _ in range(10):
                await channel.put(b"x")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert len(await channel.gather(100)) == 10


async def test_a_sender_that_does_something_else_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits(buffer_chunks=1))

    async def send() -> None:
        await channel.put(b"a")
        await channel.put(b"b")
        await trio.sleep(1)
        await channel.put(b"c")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert await channel.gather(100) == [b"a", b"b"]
        assert trio.current_time() == 0
        await channel.wait()
        assert await channel.gather(100) == [b"c"]


async def test_the_last_frame_has_room_always_and_comes_last() -> None:
    channel = FrameChannel(Limits(buffer_chunks=1))
    channel.put_nowait(b"x")
    assert channel.end(DONE)
    first, last = channel.take(1), channel.take(1)
    assert (first, last) == ([b"x"], [DONE])
    assert (channel.ends_with(first), channel.ends_with(last)) == (False, True)


async def test_only_the_first_end_counts() -> None:
    channel = FrameChannel(Limits())
    assert channel.end(DONE)
    assert not channel.end(b"error")
    assert channel.take(100) == [DONE]


async def test_closed_without_a_last_frame_it_gives_nothing_and_no_last() -> None:
    channel = FrameChannel(Limits())
    with channel:
        pass
    assert channel.is_readable
    assert not channel.has_frames
    assert not channel.ends_with(channel.take(100))


async def test_a_frame_that_equals_the_last_one_is_not_it() -> None:
    channel = FrameChannel(Limits())
    channel.put_nowait(b"".join([b"do", b"ne"]))
    channel.end(DONE)
    first, last = channel.take(1), channel.take(1)
    assert first == last == [DONE]
    assert (channel.ends_with(first), channel.ends_with(last)) == (False, True)


async def test_a_sender_that_works_on_frames_which_nobody_reads_owes_others_a_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = FrameChannel(Limits())

    def put_after(work_s: float) -> bool:
        autojump_clock.jump(work_s)
        channel.put_nowait(b"x")
        return channel.owes_turn

    assert [put_after(GATHER_S), put_after(GATHER_S / 2), put_after(GATHER_S)] == [False, False, True]
    await channel.let_others_run()
    assert not channel.owes_turn
    channel.take(100)
    assert [put_after(GATHER_S), put_after(GATHER_S / 2)] == [False, False], "what was put before is read"


async def test_what_is_read_in_a_turn_that_was_owed_pays_for_that_turn_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its sender works as before, so the next frame would wait for the one behind it."""
    channel = FrameChannel(Limits())

    async def read() -> None:
        channel.take(100)

    async def send() -> None:
        channel.put_nowait(b"x")
        for _ in range(10):  # trio runs what is ready in any order
            autojump_clock.jump(GATHER_S)
            channel.put_nowait(b"x")
            assert channel.owes_turn
            nursery.start_soon(read)
            await channel.let_others_run()
            assert not channel.has_frames

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)


async def test_a_sender_whose_frames_are_read_at_once_owes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits())

    def read() -> None:
        channel.take(100)

    channel.on_readable = read
    for _ in range(3):
        channel.put_nowait(b"x")
        assert not channel.owes_turn
        autojump_clock.jump(GATHER_S)


async def test_a_send_that_is_cancelled_while_others_run_has_sent(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits())
    stream: Stream[int] = Stream(channel, DONE)
    await stream.send(1)
    autojump_clock.jump(GATHER_S)

    async def cancel() -> None:
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel)
            await stream.send(2)
            assert scope.cancel_called, "nobody else has run"
    assert not scope.cancelled_caught
    assert channel.take(100) == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_only_the_clock_of_the_run_says_how_long_a_sender_has_worked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Else a hiccup of the machine would decide over how a test's chunks leave."""
    channel = FrameChannel(Limits())
    channel.put_nowait(b"x")
    time.sleep(2 * GATHER_S)  # noqa: ASYNC251 - the hiccup
    channel.put_nowait(b"x")
    assert not channel.owes_turn


async def test_closing_wakes_who_waits(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits(buffer_chunks=1))
    channel.put_nowait(b"x")
    refused = []

    async def put() -> None:
        try:
            await channel.put(b"y")
        except trio.ClosedResourceError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        nursery.start_soon(put)
        await trio.sleep(3)
        channel.close()
    assert len(refused) == 2
    assert channel.waited_s == pytest.approx(6)


async def test_a_cancelled_put_puts_nothing(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits(buffer_chunks=1))
    channel.put_nowait(b"x")
    with trio.move_on_after(1):
        await channel.put(b"y")
    assert channel.take(100) == [b"x"]
    assert not channel.is_readable


async def test_senders_get_room_in_the_order_in_which_they_came() -> None:
    """Also before one that comes when there is some: it might come again and again."""
    channel = FrameChannel(Limits(buffer_chunks=2))
    assert [channel.put_nowait(b"0"), channel.put_nowait(b"1")] == [True, True]
    async with trio.open_nursery() as nursery:
        for number in range(2, 6):
            nursery.start_soon(channel.put, b"%d" % number)
            await trio.testing.wait_all_tasks_blocked()
        read = channel.take(100)
        assert not channel.put_nowait(b"6"), "others were here first"
        nursery.start_soon(channel.put, b"6")
        while channel.has_frames:
            await trio.testing.wait_all_tasks_blocked()
            read += channel.take(100)
    assert read == [b"%d" % number for number in range(7)]


async def test_only_as_many_senders_wake_as_there_is_room_for() -> None:
    channel = FrameChannel(Limits(buffer_chunks=3))
    steps: list[str] = []

    class Steps(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            steps.append(task.name)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(channel.put, b"x", name="sender")
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(Steps())
        channel.take(100)
        await trio.testing.wait_all_tasks_blocked()
        assert steps.count("sender") == 3
        nursery.cancel_scope.cancel()


async def test_the_room_that_a_cancelled_sender_waits_for_is_for_those_behind_it() -> None:
    channel = FrameChannel(Limits(buffer_bytes=10))
    channel.put_nowait(b"x" * 5)
    async with trio.open_nursery() as nursery:
        large, small = trio.CancelScope(), trio.CancelScope()

        async def put(frame: bytes, scope: trio.CancelScope) -> None:
            with scope:
                await channel.put(frame)

        nursery.start_soon(put, b"x" * 6, large)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(put, b"y", small)
        await trio.testing.wait_all_tasks_blocked()
        assert channel.is_pressed
        large.cancel()
    assert (large.cancelled_caught, small.cancelled_caught) == (True, False)
    assert channel.take(100) == [b"x" * 5, b"y"]


async def test_a_sender_that_is_cancelled_when_it_has_got_room_has_sent() -> None:
    channel = FrameChannel(Limits(buffer_chunks=1))
    channel.put_nowait(b"x")
    async with trio.open_nursery() as nursery:
        scope, scheduled = trio.CancelScope(), []

        async def put() -> None:
            with scope:
                await channel.put(b"y")
                scheduled.append(scope.cancel_called)

        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        assert channel.take(100) == [b"x"]
        scope.cancel()
    assert scheduled == [True]
    assert channel.take(100) == [b"y"]


async def test_many_senders_cost_as_much_each_as_few() -> None:
    async def seconds_each(count: int, *, cancelled: bool) -> float:
        channel = FrameChannel(Limits())
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(channel.put, b"x" * 20)
            await trio.testing.wait_all_tasks_blocked()
            began, left = time.thread_time(), count
            if cancelled:
                nursery.cancel_scope.cancel()
            while not cancelled and left:
                await trio.lowlevel.checkpoint()
                channel.written()
                left -= len(await channel.gather(64 * 1024))
        return (time.thread_time() - began) / count

    for cancelled in (False, True):
        few, many = [min([await seconds_each(n, cancelled=cancelled) for _ in range(3)]) for n in (500, 4000)]
        assert many < 3 * few, "eight times as many, and each takes longer"


async def test_a_stream_closes_once(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits())
    stream: Stream[int] = Stream(channel, DONE)
    await stream.send(1)
    states = [stream.closed]
    await stream.close()
    await stream.close()
    assert [*states, stream.closed] == [False, True]
    with pytest.raises(trio.ClosedResourceError):
        await stream.send(2)
    assert channel.take(100) == [b"data: 1\n\n", DONE]


async def test_a_refused_chunk_leaves_the_stream_as_it_was(autojump_clock: trio.testing.MockClock) -> None:
    channel = FrameChannel(Limits())
    stream: Stream[object] = Stream(channel, DONE)
    for unsayable in (object(), {"__actions_done": True}):
        with pytest.raises((TypeError, ValueError)):
            await stream.send(unsayable)
    assert not channel.is_readable
