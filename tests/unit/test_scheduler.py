"""The one timer of a worker's streams."""

from __future__ import annotations

import random
import weakref
from functools import partial
from weakref import WeakSet

import attrs
import pytest
import trio
import trio.testing

from trio_streamact._hypercorn.scheduler import LINGER_S, Deadline, Scheduler


@attrs.define(eq=False)
class Watched:
    """Notes when it is looked at; a look takes *takes_s*, and the next one is due *every_s* later."""

    every_s: float = 1.0
    takes_s: float = 0.0
    fails: bool = False
    looks: list[float] = attrs.field(factory=list)

    async def check(self, now: float) -> float:
        self.looks.append(now)
        await trio.sleep(self.takes_s)
        if self.fails:
            raise LookupError
        return now + self.every_s


async def test_each_is_looked_at_when_it_is_due_and_sooner_if_asked(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    slow, fast = Watched(every_s=10), Watched(every_s=3)
    scheduler = Scheduler.current()
    looks = [scheduler.add(slow, 10), scheduler.add(fast, 3)]
    await trio.sleep(7)
    scheduler.reschedule(looks[0], 8)
    scheduler.reschedule(looks[1], 100)  # which is no sooner
    await trio.sleep(5.5)
    for look in looks:
        scheduler.remove(look)
    await trio.sleep(20)
    assert (slow.looks, fast.looks) == ([8], [3, 6, 9, 12])
    assert not caplog.records


async def test_it_ends_behind_the_last_stream_and_begins_again(autojump_clock: trio.testing.MockClock) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(2):
        scheduler = Scheduler.current()
        look = scheduler.add(Watched(), 600)
        await trio.testing.wait_all_tasks_blocked()
        scheduler.remove(look)
        await trio.sleep(LINGER_S / 2)
        assert Scheduler.current() is scheduler
        scheduler.remove(scheduler.add(Watched(), 5))
        await trio.sleep(LINGER_S * 2)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        scheduler.run_soon(lambda: None)  # of whoever is late
        next_one = Scheduler.current()
        assert next_one is not scheduler
        next_one.remove(next_one.add(Watched(), trio.current_time()))
        await trio.sleep(LINGER_S * 2)


async def test_who_comes_while_a_last_look_lasts_is_looked_at(autojump_clock: trio.testing.MockClock) -> None:
    scheduler = Scheduler.current()
    look = scheduler.add(Watched(takes_s=LINGER_S * 3), 1)
    await trio.sleep(1.1)
    scheduler.remove(look)
    await trio.sleep(LINGER_S * 2)
    late = Watched()
    look = Scheduler.current().add(late, trio.current_time() + 1)
    await trio.sleep(LINGER_S * 4)
    assert late.looks
    Scheduler.current().remove(look)


async def test_a_look_that_fails_is_logged_and_repeated(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(fails=True)
    look = Scheduler.current().add(watched, 1)
    await trio.sleep(1 + LINGER_S * 2.5)
    Scheduler.current().remove(look)
    assert len(watched.looks) == len(caplog.records) == 3


async def test_turns_are_taken_in_order_behind_all_that_is_ready_and_one_that_fails_takes_none_away(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler.current()
    look = scheduler.add(Watched(), 600)
    await trio.testing.wait_all_tasks_blocked()
    taken: list[int | str] = []

    def fail() -> None:
        raise LookupError

    async def ready() -> None:
        taken.append("ready")

    async with trio.open_nursery() as nursery:
        for _ in range(10):  # trio runs what is ready in any order
            taken.clear()
            nursery.start_soon(ready)
            scheduler.run_soon(partial(scheduler.run_soon, partial(taken.append, 3)))
            scheduler.run_soon(partial(taken.append, 1))
            scheduler.run_soon(fail)
            scheduler.run_soon(partial(taken.append, 2))
            await trio.testing.wait_all_tasks_blocked()
            assert [each for each in taken if each != "ready"] == [1, 2, 3]
            assert taken.index("ready") < taken.index(3), "a turn that asks for another lets all others have theirs"
    scheduler.remove(look)
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError] * 10


async def test_a_stream_that_is_over_is_not_held_by_the_turn_that_it_had(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scheduler = Scheduler.current()
    stays = scheduler.add(Watched(), 600)
    watched = Watched()
    gone = weakref.ref(watched)
    scheduler.run_soon(watched.looks.clear)
    scheduler.run_soon(partial(setattr, watched, "fails", False))
    await trio.testing.wait_all_tasks_blocked()
    del watched
    assert gone() is None
    scheduler.remove(stays)


async def test_work_beside_all_else_is_done_at_once_and_may_fail(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[float] = []

    async def work(takes_s: float) -> None:
        await trio.sleep(takes_s)
        if takes_s == 1:
            raise LookupError
        done.append(trio.current_time())

    scheduler = Scheduler.current()  # which has yet to begin
    look = scheduler.add(Watched(), 600)
    for takes_s in (3, 1, 2):
        scheduler.spawn(partial(work, takes_s))
    await trio.testing.wait_all_tasks_blocked()
    scheduler.spawn(partial(work, 4))
    await trio.sleep(5)
    scheduler.remove(look)
    assert done == [2, 3, 4]
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError]


async def test_streams_that_have_left_are_forgotten_and_no_other(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler.current()
    patients = {number: Watched(every_s=10_000) for number in range(1, 51)}
    stay: list[Deadline] = []
    looks: WeakSet[Deadline] = WeakSet()
    for number in random.Random(1).sample(range(1, 1001), 1000):
        look = scheduler.add(patients.get(number, Watched()), number)
        if number in patients:
            stay.append(look)
        else:
            looks.add(look)
            scheduler.remove(look)
    del look
    assert 0 < len(looks) < 3 * 64
    await trio.sleep(2000)
    assert [watched.looks for watched in patients.values()] == [[number] for number in patients]
    assert not caplog.records
    for look in stay:
        scheduler.remove(look)
