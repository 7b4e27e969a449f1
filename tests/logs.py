"""What is logged while something runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


@contextmanager
def nothing_logged(but: str | None = None) -> Iterator[None]:
    """Fail when anything is logged that somebody would have to look at, by the app or by hypercorn.

    What has *but* in it may be logged.
    """
    records, loggers = _Records(), [logging.getLogger(), logging.getLogger("hypercorn.error")]
    for logger in loggers:
        logger.addHandler(records)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(records)
    assert [text for text in records.texts if but is None or but not in text] == []
