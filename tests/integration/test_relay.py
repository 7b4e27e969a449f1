"""The relay example between real servers: what it passes on, in both directions."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from quart_trio import QuartTrio

from examples.chat.chat import Prompt, Token
from examples.chat.words import answer_to
from examples.demo import create_app
from examples.relay import relay
from tests.cli import hypercorn
from tests.demos import running_demo
from tests.servers import Server, serving
from trio_streamact import StreamActions, StreamReport, stream_ended
from trio_streamact.client import ActionError, StreamActionReference, open_stream_action, use_stream_action
from trio_streamact.extension import all_of

RELAYED = "/api/_actions/relayed-chat"


@attrs.define(eq=False)
class Pair:
    """The relay, and the reports of it and of the service behind it, in the order in which they came."""

    server: Server
    reports: list[StreamReport] = attrs.field(factory=list)

    @property
    def action(self) -> StreamActionReference[Prompt, Token]:
        return StreamActionReference(self.server.url + RELAYED, input=Prompt, chunk=Token)

    def note(self, _: object, report: StreamReport) -> None:
        self.reports.append(report)

    async def ended(self) -> list[tuple[str, str]]:
        """Wait until both streams have ended, sooner than a heartbeat would find that a client has left; say how."""
        with trio.fail_after(10):
            while len(self.reports) < 2:  # noqa: ASYNC110 - a signal is no event
                await trio.sleep(0.005)
        return sorted((report.action, report.outcome) for report in self.reports)


@asynccontextmanager
async def relayed() -> AsyncIterator[Pair]:
    """Serve the demo, and the relay before it."""
    demo = create_app()
    async with serving(demo) as upstream:
        app = relay.create_app(upstream.url)
        async with serving(app) as server:
            pair = Pair(server)
            for each in (demo, app):
                stream_ended.connect(pair.note, sender=each)
            yield pair


async def test_words_pass_one_by_one_and_the_end_behind_them() -> None:
    async with relayed() as pair:
        async with open_stream_action(pair.action, Prompt("Hi")) as words:
            text = (await anext(words)).text
            assert pair.reports == []  # the other service has hardly begun
            async for word in words:
                text += word.text
        assert text == answer_to("Hi")
        assert await pair.ended() == [("ai_chat", "done"), ("relayed_chat", "done")]
        assert pair.reports[0].chunks == pair.reports[1].chunks > 20


async def test_an_error_of_the_other_service_is_told_as_it_is() -> None:
    async with relayed() as pair:
        runner = use_stream_action(pair.action)
        await runner.execute(Prompt("Please fail!"))
        assert runner.error is not None
        assert runner.error.args == (
            "GENERATOR_FAILED",
            "The word generator failed, because you asked it to",
            503,
            {},
        )
        assert runner.chunks[0] == Token("You ")
        assert await pair.ended() == [("ai_chat", "error"), ("relayed_chat", "error")]


async def test_wrong_input_is_refused_before_it_is_passed_on() -> None:
    async with relayed() as pair:
        runner = use_stream_action(pair.server.url + RELAYED)
        await runner.execute({"prompt": ""})
        assert runner.error is not None
        assert (runner.error.code, runner.error.field_errors) == (
            "VALIDATION_ERROR",
            {"prompt": ["Write something first"]},
        )
        assert [report.action for report in pair.reports] == ["relayed_chat"]


@pytest.mark.parametrize("words", [0, 3])
async def test_stop_cancels_through_both(words: int) -> None:
    async with relayed() as pair:

        def count(_: Token) -> None:
            if len(runner.chunks) == words:
                runner.stop()

        runner = use_stream_action(pair.action, on_chunk=count)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.execute, Prompt("How does streaming work?"))
            if not words:
                await trio.sleep(0.1)
                runner.stop()
        assert await pair.ended() == [("ai_chat", "disconnected"), ("relayed_chat", "disconnected")]


async def test_a_slow_reader_slows_the_other_service() -> None:
    """From end to end, through two servers and a client between them."""
    upstream_app = QuartTrio(__name__)
    sent = 0

    @StreamActions(upstream_app).post("/ai-chat")
    async def ai_chat(input: Prompt, stream: Any) -> None:
        nonlocal sent
        while True:
            await stream.send(Token("x" * 1000))
            sent += 1

    async with (
        serving(upstream_app) as upstream,
        serving(relay.create_app(upstream.url)) as server,
        open_stream_action(server.url + RELAYED, Prompt("Hi"), chunk=Token) as words,
    ):
        await anext(words)
        with trio.fail_after(10):
            before = -1
            while sent > before:  # until it stands still
                before = sent
                await trio.sleep(0.3)
    assert sent < 40_000  # what two kernels take on the way is some megabytes each


async def test_the_other_service_being_killed_is_an_error_for_the_reader() -> None:
    with running_demo() as demo:
        async with serving(relay.create_app(demo.url)) as server:
            runner = use_stream_action(server.url + RELAYED, chunk=Token)
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(runner.execute, Prompt("How does streaming work?"))
                    while len(runner.chunks) < 3:  # noqa: ASYNC110 - the callback is somebody else's test
                        await trio.sleep(0.01)
                    await trio.to_thread.run_sync(demo.stop, signal.SIGKILL)
            assert runner.error is not None
            assert runner.error.code == "STREAM_INCOMPLETE"
            await runner.execute(Prompt("Hi"))
            assert runner.error.as_json() == {
                "code": "NETWORK_ERROR",
                "message": "The server cannot be reached",
                "statusCode": 503,
            }


async def test_it_runs_as_its_docstring_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(create_app()) as upstream:
        monkeypatch.setenv("UPSTREAM_URL", upstream.url)
        async with hypercorn("examples.relay.relay:create_app()", workers=0) as cli:
            with pytest.raises(ActionError, match="GENERATOR_FAILED"):
                async with open_stream_action(cli.server.url + RELAYED, Prompt("fail"), chunk=Token) as words:
                    assert await anext(words) == Token("You ")
                    assert [word async for word in words]


async def test_without_another_service_it_asks_the_server_that_it_runs_on() -> None:
    app = create_app()
    all_of(app)[0].post("/relayed-chat-of-a-test")(relay.relayed_chat)
    async with serving(app) as server, open_stream_action(f"{server.url}{RELAYED}-of-a-test", Prompt("Hi")) as words:
        assert "".join([word["text"] async for word in words]) == answer_to("Hi")
