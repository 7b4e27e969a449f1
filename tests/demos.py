"""The examples as a user runs them: a process of their own, on real hypercorn."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent
DEADLINE_S = 20.0


@attrs.define(eq=False)
class Demo:
    """A running ``python -m examples``, and what it has written so far."""

    process: subprocess.Popen[str]
    log: str = ""
    url: str = ""
    _written: threading.Condition = attrs.field(factory=threading.Condition)

    def read(self) -> None:
        """Keep all that the process writes, until it writes no more."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._written:
                self.log += line
                self._written.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the process has written something that matches *pattern*."""
        with self._written:
            assert self._written.wait_for(lambda: re.search(pattern, self.log), DEADLINE_S), self.log
            found = re.search(pattern, self.log)
            assert found is not None
            return found

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the process as a user would, and give its exit code."""
        self.process.send_signal(how)
        return self.process.wait(DEADLINE_S)


@contextmanager
def running_demo(port: int = 0) -> Iterator[Demo]:
    """Run the examples for as long as the block lasts; it begins when they can be reached."""
    hidden = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    with subprocess.Popen(
        [sys.executable, "-m", "examples"],
        cwd=ROOT,
        env={**environment, "PORT": str(port), "PYTHONWARNINGS": "default"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        demo = Demo(process)
        reader = threading.Thread(target=demo.read)
        reader.start()
        try:
            demo.url = demo.wait_for(r"Open (http://\S+) ")[1]
            yield demo
        finally:
            if process.poll() is None:
                process.kill()
            reader.join()
