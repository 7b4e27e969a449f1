"""What a body costs has a bound, whatever it is: some bodies are tried that go for as much as they can get."""

from __future__ import annotations

import subprocess
import sys

from tests.fuzz.play import environment

SECONDS, SEED = 8, 1
SLACK = 2.0
"""How much wider the bound of the processor's time is here, where other tests run at the same time."""


def test_no_body_takes_more_than_its_share() -> None:
    """Of memory at most 20 times its size, of the processor 0.3 s per MB, and an answer of at most 16 KiB."""
    command = [sys.executable, "-m", "tests.fuzz.costs", str(SEED), str(SECONDS), str(SLACK)]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
