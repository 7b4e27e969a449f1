"""Node, with the packages that the tests need."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "node"
MODULES = HERE / "node_modules"
REACT = Path(__file__).parent / "clients" / "react-modules.js"


@cache
def node() -> str:
    """Give the path of Node, its packages installed; a test that needs it is left out where there is none."""
    executable, npm = shutil.which("node"), shutil.which("npm")
    if executable is None or npm is None:
        if os.environ.get("CI"):
            pytest.fail("Node is missing, and nothing is left out in CI")
        pytest.skip("Node is missing: install nodejs and npm")
    installed = MODULES / ".installed"
    with (HERE / "package.json").open("rb") as package:
        fcntl.flock(package, fcntl.LOCK_EX)  # tests in other processes need the packages, too
        wanted = package.read()
        if not installed.exists() or installed.read_bytes() != wanted:
            subprocess.run([npm, "install", "--silent"], cwd=HERE, check=True, timeout=300)
            installed.write_bytes(wanted)
    return executable


def pyright(*arguments: str, cwd: Path) -> dict[str, Any]:
    """Run pyright in *cwd* with the packages of this Python, and return its report.

    It is npm's own: PyPI's package of that name loads it when it is run.
    """
    command = [node(), str(MODULES / "pyright" / "index.js"), "--outputjson", *arguments]
    # Where it verifies a package, it knows no other way to a Python: `--pythonpath` is for programs.
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def vue_module(package: str = "vue") -> Path:
    """Give Vue as a module for browsers, the one that warns of what is done wrong."""
    node()
    return MODULES / package / "dist" / "vue.esm-browser.js"


@cache
def react_module(react: str = "react", react_dom: str = "react-dom") -> Path:
    """Give React as a module for browsers, the one that warns of what is done wrong."""
    node()
    made, unfinished = MODULES / f".{react}.js", MODULES / f".{react}-{os.getpid()}.js"
    define = '--define:process.env.NODE_ENV="development"'
    aliases = (f"--alias:react={react}", f"--alias:react-dom={react_dom}")
    options = ("--bundle", "--format=esm", define, *aliases, "--log-level=warning", f"--outfile={unfinished}")
    command: list[str | Path] = [MODULES / ".bin" / "esbuild", REACT, *options]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "NODE_PATH": str(MODULES)})
    unfinished.replace(made)  # whole at once: a server of another process may be reading it
    return made
