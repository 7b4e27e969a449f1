"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The same examples each time in the gate; more of them, and new ones, by hand with HYPOTHESIS_PROFILE=wide.
settings.register_profile("gate", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("wide", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own settings reaches a test."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
