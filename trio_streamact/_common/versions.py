"""Which releases of the packages around us the tests run on, and what is said where another one is installed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from types import MappingProxyType

TESTED: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = MappingProxyType(
    {"hypercorn": ((0, 17), (0, 18)), "quart": ((0, 20), (0, 23)), "quart-trio": ((0, 12), (0, 13))}
)
"""The first and the last tested release of each package whose insides are known, as in ``pyproject.toml``."""


class UnrepairedWarning(RuntimeWarning):
    """A fault of the server was left as it is, since the server is not one that was tested."""


def untested() -> list[str]:
    """List the installed packages of another release than the tested ones, in words."""
    return [
        f"{package} {installed} (tested: {_said(first)} to {_said(last)})"
        for package, (first, last) in TESTED.items()
        if not first <= _numbers(installed := version(package)) <= last
    ]


@contextmanager
def known_versions() -> Iterator[None]:
    """Import our modules in this block: it warns once of releases that were not tested.

    Raises:
        ImportError: One of them lacks what we need. It names the releases.
    """
    if not (others := untested()):
        yield
        return
    found = f"trio_streamact was not tested with {', '.join(others)}"
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise ImportError(f"{found}, and does not work with it: {error}") from error
    warnings.warn(f"{found}; faults of another hypercorn are not repaired", UnrepairedWarning, stacklevel=3)


def _numbers(installed: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", installed)[:2])


def _said(release: tuple[int, int]) -> str:
    return ".".join(map(str, release))
