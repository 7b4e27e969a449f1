"""The action behind the progress bar. It knows no app; ``examples/demo.py`` registers it."""

from __future__ import annotations

import trio
from attrs import Attribute, define, field, validators

from trio_streamact import ActionError, Stream, define_stream_action

STEPS = 4
"""Into how many parts the work on one file falls."""


@define
class Job:
    files: list[str] = field(validator=validators.deep_iterable(validators.max_len(255)))

    @files.validator
    def _some_but_not_all(self, _: Attribute[list[str]], value: list[str]) -> None:
        if not 1 <= len(value) <= 100:
            raise ValueError("Choose between 1 and 100 files")


@define
class Progress:
    """How far a job has come: the file it works on, the files that are done, and the whole in percent."""

    file: str
    done: int
    total: int
    percent: int


@define_stream_action
async def process_files(input: Job, stream: Stream[Progress]) -> None:
    """Process files one after the other; the work is only pretended, the progress is not."""
    total = len(input.files)
    for index, name in enumerate(input.files):
        for step in range(STEPS):
            await stream.send(Progress(name, index, total, 100 * (index * STEPS + step) // (total * STEPS)))
            await _work_on(name, step)
        await stream.send(Progress(name, index + 1, total, 100 * (index + 1) // total))


async def _work_on(name: str, step: int) -> None:
    """Do one part of the work; Stop cancels it here."""
    await trio.sleep(0.04 + len(name) % 5 * 0.02)
    if step and name.startswith("broken"):
        raise ActionError("UNREADABLE_FILE", f"{name} cannot be read", 422)
