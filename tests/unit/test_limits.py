"""Which limits make sense, and that they stay as they are."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from trio_streamact import Limits

NAMES = [attribute.name for attribute in attrs.fields(Limits)]
SECONDS = [name for name in NAMES if name.endswith("_s")]
COUNTS = [name for name in NAMES if not name.endswith("_s")]
MAY_BE_ZERO = {"drain_s"}
MAY_BE_NONE = {"lifetime_s", "streams", "streams_per_client"}


def limits_with(name: str, value: Any) -> Limits:
    return Limits(**{name: value})


def test_the_defaults_are_those_of_the_documentation() -> None:
    limits = Limits()

    assert (limits.buffer_chunks, limits.buffer_bytes, limits.write_bytes) == (64, 256 * 1024, 64 * 1024)
    assert (limits.chunk_bytes, limits.heartbeat_s, limits.stall_s) == (1024 * 1024, 15, 30)
    assert (limits.lifetime_s, limits.streams) == (None, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1, -0.5, -math.inf])
def test_nothing_is_limited_to_less_than_nothing(name: str, value: float) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        limits_with(name, value)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MAY_BE_ZERO])
def test_a_limit_of_zero_lets_nothing_through_and_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be more than 0"):
        limits_with(name, 0)


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_are_numbers(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        limits_with(name, math.nan)
    for value in (True, "1", [1]):
        with pytest.raises(TypeError, match=name):
            limits_with(name, value)


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [1, 0.001, math.inf])
def test_seconds_may_be_whole_or_not_and_infinite(name: str, value: float) -> None:
    assert getattr(limits_with(name, value), name) == value


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [1.0, math.inf, True, "64", [1]])
def test_counts_and_sizes_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a whole number"):
        limits_with(name, value)


@pytest.mark.parametrize("name", NAMES)
def test_only_what_may_be_without_a_limit_may_be_none(name: str) -> None:
    if name in MAY_BE_NONE:
        assert getattr(limits_with(name, None), name) is None
    else:
        with pytest.raises(TypeError, match=name):
            limits_with(name, None)


def test_limits_are_given_by_name_and_never_change() -> None:
    with pytest.raises(TypeError):
        Limits(64)  # type: ignore[call-arg]  # that is the point
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Limits().stall_s = 1  # type: ignore[misc]  # that is the point
    assert attrs.evolve(Limits(), stall_s=1.0) == Limits(stall_s=1.0)
