"""What ``define_stream_action`` promises where the action is defined."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from quart import Response
from quart_trio import QuartTrio

from tests.apps import PREFIX, Prompt, Token, make_app
from trio_streamact import Limits, Stream, StreamActions, define_stream_action
from trio_streamact.testing import open_stream


def test_an_action_knows_what_it_is() -> None:
    limits = Limits(buffer_chunks=3)

    @define_stream_action(metadata={"team": "chat"}, limits=limits, dialect="named")
    async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
        """Answer a prompt."""

    action = ai_chat.action
    assert ai_chat.is_stream
    assert ai_chat.__name__ == action.name == "ai_chat"
    assert action.description == "Answer a prompt."
    assert (action.input, action.chunk) == (Prompt, Token)
    assert dict(action.metadata) == {"team": "chat"}
    assert (action.limits, action.dialect) == (limits, "named")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        action.name = "other"  # type: ignore[misc]


async def test_a_view_has_the_handler_of_its_author_which_can_be_tested_by_itself() -> None:
    async def ai_chat(input: Prompt, stream: trio.abc.SendChannel[Token]) -> None:
        for word in input.prompt.split():
            await stream.send(Token(word))

    def decorate(view: Any) -> Any:
        async def wrapper(**route: Any) -> Any:
            return await view(**route)

        wrapper.__wrapped__ = view  # type: ignore[attr-defined]  # and none of its attributes
        return wrapper

    class Author:
        async def method(self, stream: Stream[Any]) -> None: ...

    method, half = Author().method, partial(ai_chat, input=Prompt("a"))
    view = define_stream_action(ai_chat)

    assert view.handler is ai_chat
    assert view.action.chunk is Token
    assert StreamActions().post("/view")(view).handler is ai_chat
    assert StreamActions().post("/handler")(ai_chat).handler is ai_chat
    assert StreamActions().post("/wrapper")(decorate(view)).handler is ai_chat
    assert define_stream_action(method).handler == method
    assert define_stream_action(half).handler is half

    send, receive = trio.open_memory_channel[Token](2)
    await view.handler(input=Prompt("Hello you"), stream=send)
    assert [receive.receive_nowait() for _ in range(2)] == [Token("Hello"), Token("you")]


def test_types_that_are_local_to_a_function_are_found_behind_postponed_annotations() -> None:
    @attrs.define
    class Local:
        x: int

    @define_stream_action
    async def handler(input: Local, stream: Stream[Local]) -> None: ...

    assert (handler.action.input, handler.action.chunk) == (Local, Local)


def test_an_explicit_input_wins_over_the_annotation() -> None:
    @define_stream_action(input=dict[str, int])
    async def handler(input: Prompt, stream: Stream[Any]) -> None: ...

    assert handler.action.input == dict[str, int]


def test_an_action_without_annotations_takes_anything() -> None:
    @define_stream_action
    async def handler(stream, input):  # type: ignore[no-untyped-def]
        ...

    assert (handler.action.input, handler.action.chunk) == (Any, Any)


def test_partials_methods_and_callable_objects_can_be_handlers() -> None:
    class Chat:
        async def reply(self, input: Prompt, stream: Stream[Token]) -> None: ...

        async def __call__(self, input: Prompt, stream: Stream[Token]) -> None: ...

    for handler, name in ((Chat().reply, "reply"), (Chat(), "Chat"), (partial(Chat().reply), "reply")):
        action = define_stream_action(handler).action
        assert (action.name, action.input, action.chunk) == (name, Prompt, Token)


async def _good(stream: Stream[Any]) -> None: ...


async def _wrong_name(stream: Stream[Any], inputs: Any) -> None: ...


async def _no_stream(input: Any) -> None: ...


def _sync(stream: Stream[Any]) -> None: ...


async def _generator(stream: Stream[Any]) -> Any:
    yield 1


async def _unresolvable(input: Nowhere, stream: Stream[Any]) -> None:  # type: ignore[name-defined]  # noqa: F821
    ...


async def _unusable(input: type[int], stream: Stream[Any]) -> None: ...


async def _variadic(stream: Stream[Any], **rest: Any) -> None: ...


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (_wrong_name, "inputs"),
        (_no_stream, "stream"),
        (_sync, "async def"),
        (_generator, "yield"),
        (_unresolvable, "Nowhere"),
        (_unusable, "cannot be an input"),
        (_variadic, "rest"),
        (5, "async function"),
    ],
)
def test_a_handler_that_cannot_work_is_refused_where_it_is_defined(handler: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        define_stream_action(handler)
    with pytest.raises(TypeError, match=words):
        StreamActions().post("/x")(handler)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"middleware": [_sync]}, TypeError),
        ({"middleware": _good}, TypeError),
        ({"limits": {"heartbeat_s": 1}}, TypeError),
        ({"dialect": "loud"}, ValueError),
        ({"handle_server_error": _good}, TypeError),
        ({"handle_server_error": "x"}, TypeError),
        ({"input": object()}, TypeError),
        ({"surprise": 1}, TypeError),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        define_stream_action(_good, **options)


async def test_middleware_builds_the_context_in_order(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[Any] = []

    async def first(request: Any, metadata: Any) -> dict[str, Any]:
        seen.append(metadata["team"])
        return {"user": request.headers["X-User"], "rank": 1}

    async def second(ctx: dict[str, Any], input: Prompt) -> dict[str, Any]:
        seen.append((dict(ctx), input.prompt))
        return {"rank": 2}

    async def third() -> None: ...

    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.post("/it", middleware=[first, second, third], metadata={"team": "chat"})
    async def it(input: Prompt, ctx: dict[str, Any], metadata: Any, stream: Stream[Any]) -> None:
        await stream.send([ctx, dict(metadata)])

    async with open_stream(app, f"{PREFIX}/it", json={"prompt": "hi"}, headers={"X-User": "ada"}) as stream:
        assert await stream.rest() == [[{"user": "ada", "rank": 2}, {"team": "chat"}]]
    assert seen == ["chat", ({"user": "ada", "rank": 1}, "hi")]


async def test_a_middleware_that_returns_no_mapping_is_a_programming_error(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def mistaken() -> Any:
        return 5

    app = QuartTrio(__name__)

    @StreamActions(app).post("/it", middleware=[mistaken])
    async def it(stream: Stream[Any]) -> None: ...

    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert stream.status == 500
    assert "middleware" in caplog.text
    assert "it must return a mapping or None" in caplog.text


async def test_an_after_request_function_that_wants_all_the_data_fails_loudly_and_does_not_hang(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app()

    @app.after_request
    async def compress(response: Response) -> Response:
        await response.get_data()
        return response

    async with open_stream(app, f"{PREFIX}/ticks") as stream:
        assert stream.status == 500
    assert "text/event-stream" in caplog.text


async def test_the_response_is_of_the_app_s_own_kind(autojump_clock: trio.testing.MockClock) -> None:
    app, _ = make_app()

    class OwnResponse(app.response_class):  # type: ignore[misc, name-defined]
        def own(self) -> str:
            return "own"

    app.response_class = OwnResponse

    @app.after_request
    async def mark(response: Any) -> Any:
        response.headers["X-Own"] = response.own()
        return response

    async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}) as stream:
        assert stream.headers["x-own"] == "own"
        assert await stream.rest() == [{"text": "a"}]
