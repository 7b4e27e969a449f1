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

from trio_streamact._hypercorn.scheduler import LINGER_S, Heart, Look


@attrs.define(eq=False)
class Patient:
    """Notes when it is looked at; a look takes *takes_s*, and the next one is due *every_s* later."""

    every_s: float = 1.0
    takes_s: float = 0.0
    fails: bool = False
    looks: list[float] = attrs.field(factory=list)

    async def look(self, now: float) -> float:
        self.looks.append(now)
        await trio.sleep(self.takes_s)
        if self.fails:
            raise LookupError
        return now + self.every_s


async def test_each_is_looked_at_when_it_is_due_and_sooner_if_asked(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    slow, fast = Patient(every_s=10), Patient(every_s=3)
    heart = Heart.beating()
    looks = [heart.join(slow, 10), heart.join(fast, 3)]
    await trio.sleep(7)
    heart.hurry(looks[0], 8)
    heart.hurry(looks[1], 100)  # which is no sooner
    await trio.sleep(5.5)
    for look in looks:
        heart.leave(look)
    await trio.sleep(20)
    assert (slow.looks, fast.looks) == ([8], [3, 6, 9, 12])
    assert not caplog.records


async def test_it_ends_behind_the_last_stream_and_begins_again(autojump_clock: trio.testing.MockClock) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(2):
        heart = Heart.beating()
        look = heart.join(Patient(), 600)
        await trio.testing.wait_all_tasks_blocked()
        heart.leave(look)
        await trio.sleep(LINGER_S / 2)
        assert Heart.beating() is heart
        heart.leave(heart.join(Patient(), 5))
        await trio.sleep(LINGER_S * 2)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        heart.next_turn(lambda: None)  # of whoever is late
        next_one = Heart.beating()
        assert next_one is not heart
        next_one.leave(next_one.join(Patient(), trio.current_time()))
        await trio.sleep(LINGER_S * 2)


async def test_who_comes_while_a_last_look_lasts_is_looked_at(autojump_clock: trio.testing.MockClock) -> None:
    heart = Heart.beating()
    look = heart.join(Patient(takes_s=LINGER_S * 3), 1)
    await trio.sleep(1.1)
    heart.leave(look)
    await trio.sleep(LINGER_S * 2)
    late = Patient()
    look = Heart.beating().join(late, trio.current_time() + 1)
    await trio.sleep(LINGER_S * 4)
    assert late.looks
    Heart.beating().leave(look)


async def test_a_look_that_fails_is_logged_and_repeated(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    patient = Patient(fails=True)
    look = Heart.beating().join(patient, 1)
    await trio.sleep(1 + LINGER_S * 2.5)
    Heart.beating().leave(look)
    assert len(patient.looks) == len(caplog.records) == 3


async def test_turns_are_taken_in_order_behind_all_that_is_ready_and_one_that_fails_takes_none_away(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    heart = Heart.beating()
    look = heart.join(Patient(), 600)
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
            heart.next_turn(partial(heart.next_turn, partial(taken.append, 3)))
            heart.next_turn(partial(taken.append, 1))
            heart.next_turn(fail)
            heart.next_turn(partial(taken.append, 2))
            await trio.testing.wait_all_tasks_blocked()
            assert [each for each in taken if each != "ready"] == [1, 2, 3]
            assert taken.index("ready") < taken.index(3), "a turn that asks for another lets all others have theirs"
    heart.leave(look)
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError] * 10


async def test_a_stream_that_is_over_is_not_held_by_the_turn_that_it_had(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heart = Heart.beating()
    stays = heart.join(Patient(), 600)
    patient = Patient()
    gone = weakref.ref(patient)
    heart.next_turn(patient.looks.clear)
    heart.next_turn(partial(setattr, patient, "fails", False))
    await trio.testing.wait_all_tasks_blocked()
    del patient
    assert gone() is None
    heart.leave(stays)


async def test_work_beside_all_else_is_done_at_once_and_may_fail(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[float] = []

    async def work(takes_s: float) -> None:
        await trio.sleep(takes_s)
        if takes_s == 1:
            raise LookupError
        done.append(trio.current_time())

    heart = Heart.beating()  # which has yet to begin
    look = heart.join(Patient(), 600)
    for takes_s in (3, 1, 2):
        heart.spawn(partial(work, takes_s))
    await trio.testing.wait_all_tasks_blocked()
    heart.spawn(partial(work, 4))
    await trio.sleep(5)
    heart.leave(look)
    assert done == [2, 3, 4]
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError]


async def test_streams_that_have_left_are_forgotten_and_no_other(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    heart = Heart.beating()
    patients = {number: Patient(every_s=10_000) for number in range(1, 51)}
    stay: list[Look] = []
    looks: WeakSet[Look] = WeakSet()
    for number in random.Random(1).sample(range(1, 1001), 1000):
        look = heart.join(patients.get(number, Patient()), number)
        if number in patients:
            stay.append(look)
        else:
            looks.add(look)
            heart.leave(look)
    del look
    assert 0 < len(looks) < 3 * 64
    await trio.sleep(2000)
    assert [patient.looks for patient in patients.values()] == [[number] for number in patients]
    assert not caplog.records
    for look in stay:
        heart.leave(look)
