"""Names of test cases."""

from __future__ import annotations

import re


def shown(value: object) -> str:
    """Return a short name for *value* that is the same in every process, so without addresses and long sets."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:40]
