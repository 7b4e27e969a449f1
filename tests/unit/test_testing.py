"""What the public test helper promises to those who test their actions with it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from tests.apps import PREFIX, make_app
from trio_streamact import ActionError, Limits, Stream, StreamActions
from trio_streamact._protocol.decoding import EventDecoder, OversizedEventError
from trio_streamact.testing import IncompleteStreamError, StreamClient, open_stream


async def test_hazard_11_any_number_of_chunks_can_be_read_one_by_one_and_then_the_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app, _ = make_app()
    prompt = [str(n) for n in range(300)]
    async with open_stream(app, f"{PREFIX}/words", json={"prompt": " ".join(prompt)}) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert await stream.next_chunk() == {"text": "0"}
        assert await stream.rest() == [{"text": text} for text in prompt[1:]]
        with pytest.raises(trio.EndOfChannel):
            await stream.next_chunk()


async def test_an_hour_of_ticks_takes_no_time(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app).post("/minutes")
    async def minutes(stream: Stream[int]) -> None:
        for minute in range(60):
            await stream.send(minute)
            await trio.sleep(60)

    async with open_stream(app, f"{PREFIX}/minutes") as stream:
        assert await stream.rest() == list(range(60))
    assert trio.current_time() >= 3600


async def test_the_error_that_the_client_is_told_is_raised(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app()
    async with open_stream(app, f"{PREFIX}/refused") as stream:
        assert await stream.next_chunk() == 1
        for _ in range(2):
            with pytest.raises(ActionError) as caught:
                await stream.next_chunk()
            assert (caught.value.code, caught.value.status_code) == ("NOT_FOUND", 404)


@pytest.mark.parametrize("dialect", ["marked", "named"])
async def test_both_dialects_are_read(autojump_clock: trio.testing.MockClock, dialect: str) -> None:
    app, _ = make_app(dialect=dialect)
    async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as stream:
        assert await stream.rest() == [{"text": "a"}]
    async with open_stream(app, f"{PREFIX}/words", json={}) as stream:
        with pytest.raises(ActionError) as caught:
            await stream.rest()
        assert caught.value.field_errors == {"prompt": ["Field required"]}


async def test_hazard_11_leaving_the_block_is_a_disconnect_and_waits_for_the_handler(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app, journal = make_app()
    async with open_stream(app, f"{PREFIX}/ticks") as stream:
        await stream.next_chunk()
        assert journal.finished == 0
    assert (journal.finished, journal.cancelled) == (1, 1)


async def test_the_app_gets_ahead_by_no_more_than_one_write(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    sent = []

    @StreamActions(app).post("/it")
    async def it(stream: Stream[int]) -> None:
        for n in range(5):
            await stream.send(n)
            sent.append(n)
            await trio.sleep(1)

    async with open_stream(app, f"{PREFIX}/it") as stream:
        await trio.sleep(0.5)
        assert sent == [0]
        assert await stream.next_chunk() == 0


async def test_hazard_11_a_failing_assert_is_reported_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    app, journal = make_app()
    with pytest.raises(AssertionError, match="not this"):
        async with open_stream(app, f"{PREFIX}/ticks") as stream:
            assert await stream.next_chunk() == "not this"
    assert journal.finished == 1


async def test_an_error_of_the_stream_is_raised_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app()
    with pytest.raises(ActionError) as caught:
        async with open_stream(app, f"{PREFIX}/words", json={"prompt": ""}) as stream:
            await stream.rest()
    assert caught.value.code == "VALIDATION_ERROR"


async def test_a_group_that_the_block_raises_itself_stays_one(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app()
    group = ExceptionGroup("the block's own", [LookupError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_stream(app, f"{PREFIX}/ticks"):
            raise group
    assert caught.value is group


async def test_an_app_that_fails_is_what_is_raised_and_not_what_the_block_made_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app, _ = make_app()
    inner = app.asgi_app

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        async def fail_on_body(message: Any) -> None:
            if message["type"] == "http.response.body":
                raise LookupError("in the middle")
            await send(message)

        await inner(scope, receive, fail_on_body)

    app.asgi_app = failing  # type: ignore[method-assign]
    with pytest.raises(LookupError, match="in the middle"):
        async with open_stream(app, f"{PREFIX}/ticks") as stream:
            await stream.rest()


async def test_a_block_that_is_cancelled_is_left_in_time(autojump_clock: trio.testing.MockClock) -> None:
    app, journal = make_app()
    with trio.move_on_after(1) as scope:
        async with open_stream(app, f"{PREFIX}/ticks"):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert journal.finished == 1


async def test_the_query_and_bytes_can_be_sent(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app()
    async with open_stream(app, f"{PREFIX}/echo", method="GET", query={"a": "b c", "d": ["1", "2"]}) as stream:
        assert await stream.rest() == [{"input": {"a": "b c", "d": ["1", "2"]}}]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with open_stream(app, f"{PREFIX}/echo", data=b"x=1", headers=form) as stream:
        assert await stream.rest() == [{"input": {"x": "1"}}]


async def test_an_app_that_fails_is_not_mistaken_for_a_stream_that_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = QuartTrio(__name__)

    @app.get("/cut")
    async def cut() -> Any:
        async def body() -> Any:
            yield b"data: 1\n\n"

        return body(), {"Content-Type": "text/event-stream"}

    async with open_stream(app, "/cut", method="GET") as stream:
        assert await stream.next_chunk() == 1
        with pytest.raises(IncompleteStreamError):
            await stream.next_chunk()


async def test_functions_before_serving_run_within_test_app(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app()
    served = []

    @app.before_serving
    async def before() -> None:
        served.append(True)

    async with app.test_app(), open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as stream:
        assert await stream.rest() == [{"text": "a"}]
    assert served == [True]


async def test_chunks_are_read_however_large_the_app_lets_them_be(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    large = "x" * (EventDecoder().max_event_bytes + 1)

    @StreamActions(app, limits=Limits(chunk_bytes=2 * len(large))).post("/large")
    async def send_large(stream: Stream[str]) -> None:
        await stream.send(large)

    async with open_stream(app, f"{PREFIX}/large") as stream:
        assert await stream.rest() == [large]


async def test_events_are_read_before_the_error_that_comes_behind_them() -> None:
    send, receive = trio.open_memory_channel[bytes](1)
    client = StreamClient(receive)
    client._decoder = EventDecoder(max_event_bytes=20)
    send.send_nowait(b"data: 1\n\ndata: 2\n\ndata: " + b"3" * 20)

    assert [await client.next_chunk(), await client.next_chunk()] == [1, 2]
    with pytest.raises(OversizedEventError):
        await client.next_chunk()
