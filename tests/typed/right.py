"""A program that both checkers accept, each in its strictest mode."""

# pyright: strict

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar, assert_type

import attrs
import trio
from quart import Quart, Request, Response
from quart_trio import QuartTrio

from trio_streamact import (
    ActionError,
    Outcome,
    Stream,
    StreamActions,
    StreamReport,
    define_stream_action,
    rate_limit,
    stream_ended,
    stream_opened,
)
from trio_streamact.client import (
    ChunkStream,
    Status,
    StreamActionReference,
    StreamActionRunner,
    open_stream_action,
    use_stream_action,
)
from trio_streamact.errors import ErrorFields
from trio_streamact.extension import ActionOptions, ClientKey, Dialect, Guard, Handler, Middleware

P = ParamSpec("P")
R = TypeVar("R")


@attrs.define
class Prompt:
    prompt: str


@attrs.define
class Token:
    text: str


@attrs.define
class Progress:
    percent: int


def login_required(view: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @wraps(view)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return await view(*args, **kwargs)

    return wrapper


# Streams


async def send_words(words: Stream[Token]) -> None:
    await words.send(Token("Hello"))


async def produce(channel: trio.abc.SendChannel[Token]) -> None:
    async with channel:
        await channel.send(Token("Hello"))


async def mixed(stream: Stream[Token | Progress]) -> None:
    """A stream that takes more is one that takes less."""
    await send_words(stream)
    await produce(stream)
    await stream.send(Progress(50))
    async with stream as same:
        assert_type(same, Stream[Token | Progress])
    await stream.aclose()
    await stream.close()
    assert_type(stream.closed, bool)


# Handlers and their views


async def session(request: Request) -> AsyncIterator[Mapping[str, Any]]:
    yield {"session": request.headers}


async def only_for_users(ctx: dict[str, Any]) -> None:
    if "user" not in ctx:
        raise ActionError("UNAUTHORIZED", "Sign in first", 401)


app = QuartTrio(__name__)
actions = StreamActions(app)


@define_stream_action
async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
    await stream.send(Token(input.prompt))


@actions.post("/ai-chat", guards=[only_for_users], middleware=[session])
async def registered(input: Prompt, stream: Stream[Token]) -> None:
    await stream.send(Token(input.prompt))


@define_stream_action(name="to-a-channel")
async def to_a_channel(input: Prompt, stream: trio.abc.SendChannel[Token]) -> None:
    await stream.send(Token(input.prompt))


also = actions.get("/also")(ai_chat)
wrapped = actions.route("/wrapped", methods=["PUT"])(login_required(ai_chat))
by_quart = app.post("/by-quart/<int:id>")(login_required(ai_chat))
app.add_url_rule("/by-rule", view_func=ai_chat)


async def views_keep_the_types_of_their_handlers(stream: Stream[Token]) -> None:
    for view in (ai_chat, registered, also):
        await view.handler(input=Prompt("Hello"), stream=stream)
        await view.handler(Prompt("Hello"), stream)
    channel, _ = trio.open_memory_channel[Token](1)
    await to_a_channel.handler(input=Prompt("Hello"), stream=channel)
    assert_type(ai_chat.action.name, str)
    assert_type(await ai_chat(id=3), Response)
    assert_type(await wrapped(), Response)
    assert_type(ai_chat.is_stream, bool)


# Options and signals


def to_fields(error: Exception) -> ErrorFields | None:
    return {"code": "UPSTREAM", "message": "No answer"} if isinstance(error, TimeoutError) else None


def to_error(error: Exception) -> ActionError:
    return ActionError("UPSTREAM", str(error), 502)


def by_user(request: Request, ctx: Mapping[str, Any]) -> str | None:
    return str(ctx["user"]) if "user" in ctx else request.remote_addr


def options_are_those_of_the_names(guard: Guard, middleware: Middleware, key: ClientKey, dialect: Dialect) -> None:
    options: ActionOptions = {
        "guards": [guard, only_for_users, session, rate_limit("3/minute", key=key)],
        "middleware": [middleware, session],
        "handle_server_error": to_fields,
        "dialect": dialect,
    }
    handler: Handler = registered.handler
    actions.post("/with-options", **options)(handler)
    StreamActions(app, handle_server_error=to_error, client_key=by_user, url_prefix="/more")


def note_ended(app: QuartTrio, report: StreamReport) -> None:
    assert_type(report.outcome, Outcome)


async def note_ended_later(app: Quart, *, report: StreamReport, **_: Any) -> None: ...


@stream_opened.connect
def note_opened(app: QuartTrio, action: str) -> str:
    return action


@stream_ended.connect_via(app)
def note_one_app(app: QuartTrio, report: StreamReport) -> None: ...


stream_ended.connect(note_ended, sender=app)
stream_ended.connect(note_ended_later, app, weak=False)
assert_type(note_opened(app, "ai_chat"), str)


# References and calls


CHAT = StreamActionReference("/chat", input=Prompt, chunk=Token)
EITHER = StreamActionReference("/either", "PUT", input=Prompt | None, chunk=Token | Progress)
COUNT = StreamActionReference("/count", input=type(None), chunk=int)
NUMBERED = StreamActionReference("/numbered", input=dict[str, int], chunk=Annotated[int, "no more than three"])
ANYTHING = StreamActionReference("/anything")
EXPLICIT = StreamActionReference[Prompt, Token | Progress]("/chat", input=Prompt, chunk=Token | Progress)
OF_TEXT: StreamActionReference[Prompt, Any] = StreamActionReference("/chat", input=Prompt)
assert_type(CHAT, StreamActionReference[Prompt, Token])
assert_type(EITHER, StreamActionReference[Prompt | None, Token | Progress])
assert_type(COUNT, StreamActionReference[None, int])
assert_type(NUMBERED, StreamActionReference[dict[str, int], int])
assert_type(ANYTHING, StreamActionReference[Any, Any])


async def show(chunks: ChunkStream[Token | Progress]) -> None:
    async for chunk in chunks:
        assert_type(chunk, Token | Progress)


async def inputs_are_those_of_the_reference() -> None:
    async with (
        open_stream_action(CHAT, Prompt("Hello"), timeout=1) as words,
        open_stream_action(EITHER) as either,
        open_stream_action(EITHER, Prompt("Hello")),
        open_stream_action(COUNT) as numbers,
        open_stream_action(NUMBERED, {"page": 1}),
        open_stream_action(ANYTHING, {"whatever": 1}) as anything,
        open_stream_action(ANYTHING),
        open_stream_action(OF_TEXT, Prompt("Hello")),
        open_stream_action("/chat", {"prompt": "Hello"}, chunk=Token | Progress, method="PUT") as by_address,
    ):
        assert_type(words, ChunkStream[Token])
        assert_type(either, ChunkStream[Token | Progress])
        assert_type(numbers, ChunkStream[int])
        assert_type(anything, ChunkStream[Any])
        assert_type(by_address, ChunkStream[Token | Progress])
        await show(words)
        async for word in words:
            assert_type(word, Token)


async def runs_take_the_input_of_the_reference() -> None:
    chat = use_stream_action(CHAT)
    assert_type(chat, StreamActionRunner[Prompt, Token])
    await chat.execute(Prompt("Hello"))
    await use_stream_action(EITHER).execute()
    await use_stream_action(EITHER).execute(Prompt("Hello"))
    await use_stream_action(COUNT).execute()
    await use_stream_action(ANYTHING).execute()
    await use_stream_action(ANYTHING).execute({"whatever": 1})
    await use_stream_action("/chat", chunk=Token).execute(Prompt("Hello"))
    assert_type(chat.status, Status)
    assert_type(chat.chunks, Sequence[Token])
    assert_type(chat.data, Token | None)
    assert_type(chat.error, ActionError | None)
