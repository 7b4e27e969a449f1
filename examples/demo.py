"""The app that serves the examples: pages, actions, and a log line for every stream that has ended."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

from quart import Response, abort, send_file, send_from_directory
from quart_trio import QuartTrio

from trio_streamact import StreamActions, StreamReport, stream_ended

from .chat.chat import ai_chat
from .chat.model import open_model
from .progress.progress import process_files
from .relay.relay import relayed_chat
from .vue.page import local_vue, page

HERE = Path(__file__).parent

log = logging.getLogger(__name__)


def create_app() -> QuartTrio:
    """Return the app. It must be served by hypercorn's Trio worker."""
    app = QuartTrio(__name__, static_folder="static")
    actions = StreamActions(app)
    actions.post("/ai-chat")(ai_chat)
    actions.post("/process-files")(process_files)
    actions.post("/relayed-chat")(relayed_chat)
    stream_ended.connect(log_ended, sender=app)

    @app.while_serving
    async def model() -> AsyncGenerator[None]:
        async with open_model() as app.config["MODEL"]:
            yield

    @app.get("/")
    async def index() -> Response:
        return await send_file(HERE / "index.html")

    @app.get("/chat")
    async def chat_page() -> Response:
        return await send_file(HERE / "chat" / "index.html")

    @app.get("/progress")
    async def progress_page() -> Response:
        return await send_file(HERE / "progress" / "index.html")

    @app.get("/vue")
    async def vue_page() -> Response:
        return Response(page(), mimetype="text/html")

    @app.get("/vue/vue.js")
    async def vue() -> Response:
        return await send_file(local_vue() or abort(404), mimetype="text/javascript")

    @app.get("/vue/<name>.js")
    async def vue_component(name: str) -> Response:
        return await send_from_directory(HERE / "vue", f"{name}.js")

    return app


def log_ended(_: QuartTrio, report: StreamReport) -> None:
    """Log how a stream ended. After Stop, this line appears at once."""
    ended = f"{report.outcome} ({report.code})" if report.code else report.outcome
    log.info("%s: %s after %d chunks, %.1f s", report.action, ended, report.chunks, report.duration_s)
