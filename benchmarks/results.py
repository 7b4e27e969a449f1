"""A run as it is kept: what was measured, when, on what, of what, and how."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from . import machine
from .rounds import Measured

HERE = Path(__file__).parent / "results"


@attrs.frozen(kw_only=True)
class Run:
    """One run, with all its values."""

    date: str
    command: str
    machine: dict[str, Any]
    load_average: float
    rounds: int
    scale: float
    versions: dict[str, dict[str, str]]
    left_out: dict[str, str]
    faults: list[str]
    values: Measured

    def save(self, name: str) -> Path:
        """Keep it as *name*."""
        path = HERE / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(attrs.asdict(self), indent=1)
        # One line a column, so that a run can be read, and set beside another one.
        text = re.sub(r"\[[\d\s.,eE+\-nul]+\]", lambda column: " ".join(column[0].split()), text)
        path.write_text(text + "\n")
        return path

    @classmethod
    def load(cls, name: str) -> Run:
        """Give what was kept as *name*."""
        return cls(**json.loads((HERE / f"{name}.json").read_text()))


def began(command: str) -> dict[str, Any]:
    """What is to be noted before a run, since it would change that."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "machine": machine.description(),
        "load_average": os.getloadavg()[0],
    }
