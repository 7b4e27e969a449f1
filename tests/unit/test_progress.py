"""How much a client has to take, and how that is counted."""

from __future__ import annotations

import pytest

from trio_streamact._hypercorn.progress import ENOUGH_BYTES, Progress


@pytest.mark.parametrize(
    ("waiting", "taken", "is_enough"),
    [
        (10**6, ENOUGH_BYTES, True),
        (10**6, ENOUGH_BYTES - 1, False),
        (30, 30, True),
        (30, 29, False),
        (1, 0, False),
    ],
)
def test_a_client_takes_enough_or_all_that_waited(waiting: int, taken: int, is_enough: bool) -> None:
    progress = Progress()
    assert progress.idle_s(1.0, (500,), waiting) == 0
    assert progress.idle_s(3.0, (500 + taken,), 10**6) == (0 if is_enough else 2)


def test_little_by_little_is_enough_too_and_then_it_counts_anew() -> None:
    progress = Progress()
    looks = [progress.idle_s(now, (now * ENOUGH_BYTES // 4,), 10**6) for now in range(9)]
    assert looks == [0, 1, 2, 3, 0, 1, 2, 3, 0]


def test_what_does_not_count_for_a_while_counts_from_then_on() -> None:
    """What a connection carries while a stream has no window is for others."""
    progress, much = Progress(), 10 * ENOUGH_BYTES
    assert progress.idle_s(0, (0, None), much) == 0
    assert progress.idle_s(1, (0, much), much) == 1, "it may have been taken before"
    assert progress.idle_s(2, (0, None), much) == 2
    assert progress.idle_s(3, (0, 2 * much), much) == 3
    assert progress.idle_s(4, (0, 3 * much), much) == 0


def test_a_count_that_falls_is_one_of_what_is_left() -> None:
    """As the kernel counts on a UNIX socket."""
    progress = Progress()
    progress.idle_s(0, (200_000,), 200_000)
    assert progress.idle_s(1, (100_000,), 100_000) == 0


def test_a_fresh_start_forgets_what_was() -> None:
    progress = Progress()
    progress.idle_s(0, (0,), 100)
    progress.restart()
    assert progress.idle_s(5, (0,), 100) == 0
