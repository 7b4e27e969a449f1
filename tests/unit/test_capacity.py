"""The limits of open streams, and the error that a stream above the limit receives."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from trio_streamact import ActionError, Limits, Stream, StreamActions
from trio_streamact._actions.capacity import StreamLimiter
from trio_streamact.testing import open_stream

TOO_MANY = {"code": "TOO_MANY_STREAMS", "message": "Too many streams are open", "statusCode": 503, "retryAfter": 5}


def test_a_limiter_without_limits_is_never_full() -> None:
    limiter = StreamLimiter(Limits())
    assert all(limiter.acquire("one") for _ in range(1000))


def test_slots_are_counted_in_all_and_for_each_client() -> None:
    limiter = StreamLimiter(Limits(streams=3, streams_per_client=2))
    first, *others = [limiter.acquire("a") for _ in range(3)]
    assert [slot is not None for slot in others] == [True, False]
    assert [limiter.acquire("b") is not None for _ in range(2)] == [True, False]
    assert first is not None
    for _ in range(2):  # once is enough
        first.release()
    assert [limiter.acquire("b") is not None for _ in range(2)] == [True, False]


def test_a_slot_can_be_assigned_to_a_client_that_is_known_later() -> None:
    limiter = StreamLimiter(Limits(streams_per_client=1))
    first, second, third = (limiter.acquire(None) for _ in range(3))
    assert first is not None and second is not None and third is not None  # noqa: PT018 - for the types
    assert first.assign("a")
    assert not second.assign("a")
    assert second.assign("b")
    first.release()
    assert third.assign("a")


def test_no_client_in_particular_is_counted_in_all_alone() -> None:
    limiter = StreamLimiter(Limits(streams_per_client=1))
    assert all(limiter.acquire(None) for _ in range(10))


def test_clients_that_left_are_forgotten() -> None:
    class Client:
        """A key of the app for a client."""

    limiter = StreamLimiter(Limits(streams_per_client=2))
    clients: WeakSet[Client] = WeakSet()
    for _ in range(3):
        client = Client()
        clients.add(client)
        slots = [limiter.acquire(client), limiter.acquire(client)]
        for slot in slots:
            assert slot is not None
            slot.release()
    del client
    assert not clients


async def test_the_one_too_many_is_told_and_a_place_that_is_free_again_is_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app, journal = make_app(Limits(streams=2))
    async with open_stream(app, f"{PREFIX}/ticks") as first:
        await first.next_chunk()
        async with open_stream(app, f"{PREFIX}/ticks") as second:
            await second.next_chunk()
            async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as third:
                with pytest.raises(ActionError) as caught:
                    await third.rest()
            assert caught.value.as_json() == TOO_MANY
        async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as third:
            assert await third.rest() == [{"text": "a"}]
    assert [report.outcome for report in journal.reports] == ["rejected", "disconnected", "done", "disconnected"]


async def test_streams_that_never_opened_take_no_place(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app(Limits(streams=1))
    for path in ("/private", "/broken", "/mistaken", "/words"):
        async with open_stream(app, PREFIX + path) as stream:
            while await stream.next_bytes():
                pass
    async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as stream:
        assert await stream.rest() == [{"text": "a"}]


async def test_each_client_has_its_own_places_by_the_key_of_the_app(autojump_clock: trio.testing.MockClock) -> None:
    async def who(request: Any) -> dict[str, str]:
        return {"user": request.headers["X-User"]}

    app = QuartTrio(__name__)
    actions = StreamActions(app, limits=Limits(streams_per_client=1), client_key=lambda request, ctx: ctx["user"])

    @actions.post("/it", middleware=[who])
    async def it(stream: Stream[int]) -> None:
        await stream.send(1)
        await trio.sleep_forever()

    ada, bob = {"X-User": "ada"}, {"X-User": "bob"}
    async with open_stream(app, f"{PREFIX}/it", headers=ada) as first:
        assert await first.next_chunk() == 1
        async with open_stream(app, f"{PREFIX}/it", headers=bob) as second:
            assert await second.next_chunk() == 1
        async with open_stream(app, f"{PREFIX}/it", headers=ada) as third:
            with pytest.raises(ActionError) as caught:
                await third.rest()
            assert caught.value.code == "TOO_MANY_STREAMS"


async def test_an_action_with_limits_of_its_own_has_its_places_to_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, limits=Limits(streams=1))

    async def it(stream: Stream[int]) -> None:
        await stream.send(1)
        await trio.sleep_forever()

    actions.post("/shared")(it)
    actions.post("/own", limits=Limits(streams=1))(it)
    async with open_stream(app, f"{PREFIX}/shared") as first, open_stream(app, f"{PREFIX}/own") as second:
        assert await first.next_chunk() == await second.next_chunk() == 1
        async with open_stream(app, f"{PREFIX}/own") as third:
            with pytest.raises(ActionError) as caught:
                await third.rest()
            assert caught.value.as_json() == TOO_MANY


@pytest.mark.parametrize("key", [lambda request, ctx: ctx["user"], lambda request, ctx: []])
async def test_a_key_that_fails_is_told_before_the_stream_opens(
    autojump_clock: trio.testing.MockClock, key: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app, limits=Limits(streams_per_client=1), client_key=key).post("/it")
    async def it(stream: Stream[int]) -> None:
        raise AssertionError("the handler ran")

    async with open_stream(app, f"{PREFIX}/it") as stream:
        if stream.status == 200:
            with pytest.raises(ActionError, match="INTERNAL_ERROR"):
                await stream.rest()
        else:
            assert stream.status == 500, "a key that cannot be one is a TypeError"
    assert len([record for record in caplog.records if record.exc_info]) == 1
