"""The one timer of a worker's streams."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from trio_streamact.serving.heart import LINGER_S, Heart


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


async def test_each_is_looked_at_when_it_is_due_and_sooner_if_asked(autojump_clock: trio.testing.MockClock) -> None:
    slow, fast = Patient(every_s=10), Patient(every_s=3)
    heart = Heart.beating()
    looks = [heart.join(slow, 10), heart.join(fast, 3)]
    await trio.sleep(7)
    heart.hurry(looks[0], 8)
    await trio.sleep(5.5)
    for look in looks:
        heart.leave(look)
    await trio.sleep(20)
    assert (slow.looks, fast.looks) == ([8], [3, 6, 9, 12])


async def test_it_ends_behind_the_last_stream_and_begins_again(autojump_clock: trio.testing.MockClock) -> None:
    for _ in range(2):
        heart = Heart.beating()
        heart.leave(heart.join(Patient(), 5))
        await trio.sleep(LINGER_S / 2)
        assert Heart.beating() is heart
        heart.leave(heart.join(Patient(), 5))
        await trio.sleep(LINGER_S * 2)
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


async def test_streams_that_have_left_are_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    heart = Heart.beating()
    stays = heart.join(Patient(), 600)
    for _ in range(1000):
        heart.leave(heart.join(Patient(), 600))
    assert len(heart._due) < 100
    heart.leave(stays)
