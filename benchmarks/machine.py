"""The machine: which core is whose, what the kernel has accounted, and what it is."""

from __future__ import annotations

import os
import platform
import re
import resource
from collections.abc import Callable, Mapping
from pathlib import Path


def cores() -> tuple[int, int]:
    """The core for servers and the one for the client; the same one where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pinned_to(core: int) -> Callable[[], None]:
    """What a child does before it becomes a server or a client."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


def resident_bytes(pid: int) -> int:
    """How much memory a process holds that is really there."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, "a process that runs has memory"
    return int(found[1]) * 1024


def processor(cpuinfo: str) -> str:
    """Name the processor; by family and model too, since a virtual machine may say no more than its maker."""
    known: dict[str, str] = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.*)$", cpuinfo, re.MULTILINE))
    if "model name" not in known:
        return platform.machine()
    if not {"cpu family", "model"} <= known.keys():
        return known["model name"]
    return f"{known['model name']}, family {known['cpu family']}, model {known['model']}"


def description() -> dict[str, str | int]:
    """What a result must say of the machine that it comes from."""
    return {
        "cpu": processor(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def said(of: Mapping[str, object]) -> str:
    """Write a description in a line."""
    return f"{of['cpu']}, {of['cores']} cores, Linux {of['kernel']}, Python {of['python']}"
