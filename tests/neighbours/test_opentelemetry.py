"""OpenTelemetry's ASGI middleware, outside the app: the streams keep all, and their spans are right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.apps import PREFIX, make_app
from tests.neighbours.promises import ON_EACH_PROTOCOL, ON_ONE, Wrap
from tests.neighbours.protocols import Http, on_each_protocol, reading
from tests.servers import call, serving
from trio_streamact import Stream, StreamActions


def traced(app: Any, exporter: InMemorySpanExporter | None = None) -> Any:
    """Put the middleware around *app*, with a provider of its own."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter or InMemorySpanExporter()))
    return OpenTelemetryMiddleware(app, tracer_provider=provider)


@on_each_protocol
@pytest.mark.parametrize("promise", ON_EACH_PROTOCOL, ids=lambda promise: promise.__name__)
async def test_behind_opentelemetry(
    promise: Callable[[Wrap, Http, dict[str, str]], Awaitable[None]], http: Http, tls: dict[str, str]
) -> None:
    await promise(traced, http, tls)


@pytest.mark.parametrize("promise", ON_ONE, ids=lambda promise: promise.__name__)
async def test_behind_opentelemetry_too(promise: Callable[[Wrap], Awaitable[None]]) -> None:
    await promise(traced)


def server_spans(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.kind is trace.SpanKind.SERVER]


async def test_a_stream_is_one_span_which_is_the_current_one_in_its_handler() -> None:
    exporter = InMemorySpanExporter()
    app, _ = make_app()
    actions = StreamActions(app, url_prefix="")
    seen = []

    @actions.post("/spans")
    async def spans(stream: Stream[int]) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)
        for number in range(3):
            await stream.send(number)

    async with serving(traced(app, exporter)) as server:
        assert (await call(server, "/spans")).count(b"data: ") == 4
    (span,) = server_spans(exporter)
    assert span.attributes is not None
    assert span.attributes["http.status_code"] == 200
    assert seen == [span.context.span_id]


async def test_the_span_of_a_stream_ends_when_its_client_leaves() -> None:
    exporter = InMemorySpanExporter()
    app, journal = make_app()
    async with serving(traced(app, exporter)) as server:
        async with reading(server, "http1", f"{PREFIX}/ticks") as reader:
            await reader.until(b"data: 1\n\n")
            assert not server_spans(exporter)
        await journal.wait_for(reports=1)
    assert len(server_spans(exporter)) == 1
