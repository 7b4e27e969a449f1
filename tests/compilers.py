"""The load client of the benchmarks, compiled."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from benchmarks.processes import BINARY, build_client


@cache
def load_client() -> Path:
    """Give the path of the client; a test that needs it is left out where there is no C compiler."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        if os.environ.get("CI"):
            pytest.fail("A C compiler is missing, and nothing is left out in CI")
        pytest.skip("A C compiler is missing: install gcc and libc6-dev")
    return build_client(BINARY)
