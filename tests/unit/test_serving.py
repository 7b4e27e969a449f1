"""The repairs around hypercorn: bound to what we know, and silent nowhere else."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from trio_streamact import Stream, StreamActions, define_stream_action
from trio_streamact._common import versions
from trio_streamact._common.exception_groups import split_exception
from trio_streamact._common.versions import UnrepairedWarning
from trio_streamact._hypercorn.middleware import ServingMiddleware
from trio_streamact._hypercorn.patches import flow_control, pipelining
from trio_streamact._hypercorn.patches.versions import can_repair
from trio_streamact.testing import open_stream


class Part:
    def known(self) -> None: ...


def test_a_part_that_we_know_is_repaired_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert can_repair("a fault", Part, ["known"])


@pytest.mark.parametrize("version", ["0.16.0", "0.19.0", "1.0.0"])
def test_a_version_that_was_not_tested_is_left_alone(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "version", lambda _: version)
    assert not can_repair("a fault", Part, ["known"]), "of which the import has warned"


def test_a_part_that_lacks_what_we_touch_is_left_alone_with_one_warning() -> None:
    with pytest.warns(UnrepairedWarning, match="a fault is not repaired, since Part lacks gone"):
        assert not can_repair("a fault", Part, ["known", "gone"])


@pytest.mark.parametrize("module", [flow_control, pipelining])
def test_an_unknown_hypercorn_keeps_its_own_functions(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hypercorn.protocol.h2 import StreamBuffer
    from hypercorn.protocol.h11 import H11Protocol

    async def own(*_: Any) -> None: ...

    monkeypatch.setattr(versions, "version", lambda _: "9.9")
    monkeypatch.setattr(StreamBuffer, "pop", own)
    monkeypatch.setattr(H11Protocol, "handle", own)
    module.repair()
    kept: list[Any] = [StreamBuffer.pop, H11Protocol.handle]
    assert kept == [own, own]


def test_repairing_twice_is_repairing_once() -> None:
    from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
    from hypercorn.protocol.h11 import H11Protocol

    flow_control.repair()
    pipelining.repair()
    before = (StreamBuffer.pop, H2Protocol._send_data, H11Protocol.handle)
    flow_control.repair()
    pipelining.repair()
    assert (StreamBuffer.pop, H2Protocol._send_data, H11Protocol.handle) == before


async def test_an_app_without_the_extension_serves_streams_and_is_warned_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = QuartTrio(__name__)

    @define_stream_action
    async def it(stream: Stream[int]) -> None:
        await stream.send(1)

    app.post("/it")(it)
    for _ in range(3):
        async with open_stream(app, "/it") as stream:
            assert await stream.rest() == [1]
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "StreamActions(app)" in warned[0].getMessage()


async def test_the_extension_can_come_after_the_first_stream(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)

    @define_stream_action
    async def it(stream: Stream[int]) -> None:
        await stream.send(1)

    app.post("/it")(it)
    async with open_stream(app, "/it") as stream:
        await stream.rest()
    StreamActions(app)
    assert isinstance(app.asgi_app, ServingMiddleware)


async def test_a_group_is_taken_apart_into_what_each_part_wants() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            cancelled = error
            failure, stop = ValueError("x"), KeyboardInterrupt()
            group = BaseExceptionGroup("", [cancelled, BaseExceptionGroup("", [failure, stop])])
            parts = split_exception(group)
            assert isinstance(parts.cancelled, BaseExceptionGroup)
            assert parts.cancelled.exceptions == (cancelled,)
            assert parts.stop is stop
            assert isinstance(parts.failure, BaseExceptionGroup)
            alone = split_exception(cancelled)
            assert (alone.cancelled, alone.stop, alone.failure) == (cancelled, None, None)
            raise
    assert split_exception(failure).failure is failure
    assert split_exception(stop).stop is stop
