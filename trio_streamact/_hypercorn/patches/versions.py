"""Whether a part of hypercorn is one that we know."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from ..._common.versions import UnrepairedWarning, untested


def can_repair(fault: str, owner: object, attributes: Iterable[str]) -> bool:
    """Return True if *owner*, a part of hypercorn, is one that we know; if it lacks something, warn that *fault* stays.

    Of a hypercorn that was not tested, the import has warned already.
    """
    if any(name.startswith("hypercorn ") for name in untested()):
        return False
    if missing := [name for name in attributes if not hasattr(owner, name)]:
        lacks = f"{getattr(owner, '__qualname__', owner)} lacks {', '.join(missing)}"
        warnings.warn(f"hypercorn: {fault} is not repaired, since {lacks}", UnrepairedWarning, stacklevel=2)
    return not missing
