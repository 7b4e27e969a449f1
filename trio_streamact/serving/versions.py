"""Which hypercorn this is, and the one warning where we do not know it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from importlib.metadata import version

KNOWN_FROM, KNOWN_BEFORE = (0, 17), (0, 19)
"""The versions of hypercorn whose insides were measured: from the first, before the second."""


class UnrepairedWarning(RuntimeWarning):
    """A fault of the server was left as it is, since the server is not one that we know."""


def can_repair(fault: str, owner: object, attributes: Iterable[str]) -> bool:
    """Say whether *owner*, a part of hypercorn, is one that we know; where it is not, warn that *fault* remains."""
    installed = version("hypercorn")
    numbers = tuple(int(number) for number in re.findall(r"\d+", installed)[:2])
    missing = [name for name in attributes if not hasattr(owner, name)]
    if KNOWN_FROM <= numbers < KNOWN_BEFORE and not missing:
        return True
    reason = f"it lacks {', '.join(missing)}" if missing else "it is a version that was not tested"
    warnings.warn(f"hypercorn {installed}: {fault} is not repaired, since {reason}", UnrepairedWarning, stacklevel=2)
    return False
