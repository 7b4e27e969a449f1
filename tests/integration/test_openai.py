"""The chat with an OpenAI-compatible server behind it: words through, hang-up through, errors in our words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from examples.demo import create_app
from tests.openais import FakeOpenAI, endless_words, serving_openai
from tests.servers import RawClient, Server, body_of, call, serving

# The openai package never closes its async generators, not even at the end of an answer: of which Trio warns whoever
# asks for such warnings. It does no harm, for the response that they read is closed by then.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(openai|httpx2|httpcore2):ResourceWarning")

CHAT = "/api/_actions/ai-chat"
PROMPT = json.dumps({"prompt": "Say hello"}).encode()
KEY = "sk-a-key-that-nobody-may-read"
HANG_UP_S = 10.0
"""A deadline for the upstream server to see that our client has left, and sooner than any heartbeat would find it."""


@asynccontextmanager
async def chat_with(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """Serve the examples, their chat answered by the model at *url*."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_MODEL", "fake")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving(create_app()) as server:
        yield server


async def ask(client: RawClient) -> None:
    await client.request(CHAT, body=PROMPT)


async def test_the_model_s_words_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenAI()
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server:
        body = await call(server, CHAT, body=PROMPT)
    assert body == b'data: {"text":"Hello "}\n\ndata: {"text":"you."}\n\ndata: {"__actions_done":true}\n\n'
    assert fake.requests == [{"model": "fake", "messages": [{"role": "user", "content": "Say hello"}], "stream": True}]
    assert fake.keys == [KEY]


async def test_each_word_leaves_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenAI(["first ", "second "], pause_s=3600)
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server, await server.connect() as client:
        await ask(client)
        assert b"second" not in await client.read_until(b"first")


async def test_a_client_that_leaves_hangs_up_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenAI(endless_words())
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server:
        async with await server.connect() as client:
            await ask(client)
            await client.read_until(b'"text":"3 ')
            assert not fake.hung_up.is_set()
        with trio.fail_after(HANG_UP_S):
            await fake.hung_up.wait()


async def test_so_does_one_that_leaves_before_the_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenAI(thinks_s=3600)
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server:
        async with await server.connect() as client:
            await ask(client)
            await fake.asked.wait()
        with trio.fail_after(HANG_UP_S):
            await fake.hung_up.wait()


async def test_so_does_one_that_has_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler is cancelled while it waits for its own client, not for the upstream server."""
    fake = FakeOpenAI(endless_words(10_000), pause_s=0)
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server:
        async with await server.connect() as client:
            await ask(client)
            await fake.asked.wait()
            await wait_all_tasks_blocked(0.2)
            assert not fake.hung_up.is_set()
        with trio.fail_after(HANG_UP_S):
            await fake.hung_up.wait()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "UPSTREAM_REFUSED", "The model's server does not accept the API key"),
        (403, "UPSTREAM_REFUSED", "The model's server does not accept the API key"),
        (404, "UPSTREAM_ERROR", "The model's server answered 404"),
        (429, "UPSTREAM_BUSY", "The model's server accepts no more requests at the moment"),
        (500, "UPSTREAM_ERROR", "The model's server answered 500"),
    ],
)
async def test_a_refusal_is_told_in_our_words(
    status: int, code: str, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeOpenAI(status=status)
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server:
        body = await call(server, CHAT, body=PROMPT)
    error = json.loads(body.removeprefix(b"data: "))["__actions_error"]
    assert (error["code"], error["message"]) == (code, message)
    assert KEY.encode() not in body
    assert KEY not in caplog.text
    assert len(fake.requests) == 1


async def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        async with chat_with(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", monkeypatch) as server:
            body = await call(server, CHAT, body=PROMPT)
    assert b'{"code":"UPSTREAM_UNREACHABLE","message":"The model\'s server cannot be reached"' in body
    assert KEY.encode() not in body


async def test_an_answer_that_breaks_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenAI(["half "], breaks_off=True)
    async with serving_openai(fake), chat_with(fake.url, monkeypatch) as server, await server.connect() as client:
        await client.request(CHAT, body=PROMPT, headers={"Connection": "close"})
        body = body_of(await client.read_all())
    assert body.startswith(b'data: {"text":"half "}\n\ndata: {"__actions_error":{"code":"UPSTREAM_UNREACHABLE"')
