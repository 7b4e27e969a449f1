"""Node, with the packages that the tests need."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"


@cache
def node() -> str:
    """Give the path of Node, its packages installed; a test that needs it is left out where there is none."""
    executable, npm = shutil.which("node"), shutil.which("npm")
    if executable is None or npm is None:
        if os.environ.get("CI"):
            pytest.fail("Node is missing, and nothing is left out in CI")
        pytest.skip("Node is missing: install nodejs and npm")
    wanted = HERE / "package.json"
    installed = HERE / "node_modules" / ".installed"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        subprocess.run([npm, "install", "--silent"], cwd=HERE, check=True, timeout=300)
        installed.write_bytes(wanted.read_bytes())
    return executable
