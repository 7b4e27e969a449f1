"""The action of the progress bar. It does not depend on an app; ``examples/demo.py`` registers it."""

from __future__ import annotations

import trio
from attrs import Attribute, define, field, validators

from trio_streamact import ActionError, Stream, define_stream_action

STEPS = 4
"""The number of steps for one file."""


@define
class Job:
    files: list[str] = field(validator=validators.deep_iterable(validators.max_len(255)))

    @files.validator
    def _is_not_empty_or_too_long(self, _: Attribute[list[str]], value: list[str]) -> None:
        if not 1 <= len(value) <= 100:
            raise ValueError("Choose between 1 and 100 files")


@define
class Progress:
    """The progress of a job: the current file, the number of finished files, and the percentage of the whole."""

    file: str
    done: int
    total: int
    percent: int


@define_stream_action
async def process_files(input: Job, stream: Stream[Progress]) -> None:
    """Process files one after the other. The work is simulated: each step sleeps."""
    total = len(input.files)
    for index, name in enumerate(input.files):
        for step in range(STEPS):
            await stream.send(Progress(name, index, total, 100 * (index * STEPS + step) // (total * STEPS)))
            await _work_on(name, step)
        await stream.send(Progress(name, index + 1, total, 100 * (index + 1) // total))


async def _work_on(name: str, step: int) -> None:
    """Do one step of the work. Stop cancels the handler here."""
    await trio.sleep(0.04 + len(name) % 5 * 0.02)
    if step and name.startswith("broken"):
        raise ActionError("UNREADABLE_FILE", f"{name} cannot be read", 422)
