"""An app with Sentry, as its documentation sets it up; what would be sent to Sentry is written to SENTRY_FILE."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import sentry_sdk
import trio
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from tests.apps import make_app
from trio_streamact import Limits

SENTRY_FILE = Path(os.environ["SENTRY_FILE"])


class Collector(Transport):
    """Writes each event and transaction as a line of JSON."""

    def capture_envelope(self, envelope: Envelope) -> None:
        with SENTRY_FILE.open("a") as file:
            for item in envelope.items:
                print(json.dumps({"kind": item.type, **(item.payload.json or {})}), file=file)


sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Collector)

app, journal = make_app(Limits(stall_s=float(os.environ["STALL_S"])))


@app.get("/outcomes/<int:count>")
async def outcomes(count: int) -> str:
    """How the first *count* streams have ended, which is waited for."""
    await journal.wait_for(reports=count)
    return " ".join(sorted(report.outcome for report in journal.reports)) + "."


@app.get("/raises")
async def raises() -> str:
    raise RuntimeError("in a view")


@app.get("/fails")
async def fails() -> AsyncIterator[bytes]:
    async def body() -> AsyncIterator[bytes]:
        yield b"begun"
        await trio.lowlevel.checkpoint()
        raise RuntimeError("in a body")

    return body()
