"""The releases of hypercorn, Quart and quart-trio that the tests run on, and a warning for other releases."""

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
"""The first and the last tested release of each package whose private parts are used, as in ``pyproject.toml``."""


class UnrepairedWarning(RuntimeWarning):
    """A patch for a fault of hypercorn was not applied, because the installed hypercorn is not a tested release."""


def untested() -> list[str]:
    """Return a text for each installed package that is not a tested release: "hypercorn 0.19.0 (tested: ...)"."""
    return [
        f"{package} {installed} (tested: {_written(first)} to {_written(last)})"
        for package, (first, last) in TESTED.items()
        if not first <= _numbers(installed := version(package)) <= last
    ]


@contextmanager
def known_versions() -> Iterator[None]:
    """Run the imports of our modules in this block. It warns once if a release is not tested.

    Raises:
        ImportError: An import failed, and a release is not tested. The message names the releases.
    """
    if not (others := untested()):
        yield
        return
    found = f"trio_streamact was not tested with {', '.join(others)}"
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise ImportError(f"{found}, and does not work with it: {error}") from error
    warnings.warn(
        f"{found}; patches for faults of hypercorn apply to tested releases only", UnrepairedWarning, stacklevel=3
    )


def _numbers(installed: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", installed)[:2])


def _written(release: tuple[int, int]) -> str:
    return ".".join(map(str, release))
