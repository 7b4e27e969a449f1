"""Logging that ends nothing: a handler or a filter that raises is the app's trouble, and no stream's."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, final


@final
class SafeLogger:
    """A logger whose handlers and filters may fail: what they raise is dropped, as is the record."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def warning(self, message: str, *arguments: object, exc_info: Any = None) -> None:
        """Log a warning."""
        self._log(logging.WARNING, message, arguments, exc_info)

    def error(self, message: str, *arguments: object, exc_info: Any = None) -> None:
        """Log an error."""
        self._log(logging.ERROR, message, arguments, exc_info)

    def exception(self, message: str, *arguments: object) -> None:
        """Log an error with the exception that is being handled."""
        self._log(logging.ERROR, message, arguments, True)

    def _log(self, level: int, message: str, arguments: tuple[object, ...], exc_info: Any) -> None:
        with suppress(Exception):
            self._logger.log(level, message, *arguments, exc_info=exc_info, stacklevel=3)


log = SafeLogger(logging.getLogger("trio_streamact"))
"""What is not about one app."""


client_log = SafeLogger(logging.getLogger("trio_streamact.client"))
"""What is about our clients."""


async def log_by_hypercorn(config: Any, message: str) -> None:
    """Log the exception that is being handled where the server logs its own."""
    with suppress(Exception):
        await config.log.exception(message)


async def warn_by_hypercorn(config: Any, message: str, *arguments: object) -> None:
    """Log a warning where the server logs its own."""
    with suppress(Exception):
        await config.log.warning(message, *arguments)
