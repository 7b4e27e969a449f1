"""Loggers that never raise: a log handler or filter that fails must not end a stream."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, final


@final
class SafeLogger:
    """A logger that drops the record, and the exception, when a log handler or filter raises."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def warning(self, message: str, *arguments: object, exc_info: Any = None) -> None:
        """Log a warning."""
        self._log(logging.WARNING, message, arguments, exc_info)

    def error(self, message: str, *arguments: object, exc_info: Any = None) -> None:
        """Log an error."""
        self._log(logging.ERROR, message, arguments, exc_info)

    def exception(self, message: str, *arguments: object) -> None:
        """Log an error, with the traceback of the exception that is being handled."""
        self._log(logging.ERROR, message, arguments, True)

    def _log(self, level: int, message: str, arguments: tuple[object, ...], exc_info: Any) -> None:
        with suppress(Exception):
            self._logger.log(level, message, *arguments, exc_info=exc_info, stacklevel=3)


log = SafeLogger(logging.getLogger("trio_streamact"))
"""For records that do not belong to one app."""


client_log = SafeLogger(logging.getLogger("trio_streamact.client"))
"""For records of the Python client."""


async def log_by_hypercorn(config: Any, message: str) -> None:
    """Log the exception that is being handled in hypercorn's error log."""
    with suppress(Exception):
        await config.log.exception(message)


async def warn_by_hypercorn(config: Any, message: str, *arguments: object) -> None:
    """Log a warning in hypercorn's error log."""
    with suppress(Exception):
        await config.log.warning(message, *arguments)
