"""Taking our repairs away, so that a test sees the fault as it is."""

from __future__ import annotations

from typing import Any

import pytest
from quart_trio import QuartTrio

from trio_streamact import StreamActions


def leave_out(monkeypatch: pytest.MonkeyPatch, owner: Any, *names: str) -> None:
    """Put hypercorn's own functions back in the place of our repairs of *owner*."""
    StreamActions(QuartTrio(__name__))  # which repairs
    for name in names:
        own = getattr(owner, name)
        while hasattr(own, "original"):
            own = own.original
        for mark in ("original", "repaired"):  # or the next app would repair it again
            monkeypatch.setattr(own, mark, own, raising=False)
        monkeypatch.setattr(owner, name, own)
