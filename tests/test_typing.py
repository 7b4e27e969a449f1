"""What type checkers know of the public names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nodejs import pyright

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[1]


def test_the_type_of_each_public_name_is_known() -> None:
    found = pyright("--verifytypes", "trio_streamact", "--ignoreexternal", cwd=ROOT)["typeCompleteness"]

    unclear = [symbol["name"] for symbol in found["symbols"] if not symbol["isTypeKnown"]]
    assert unclear == []
    assert found["completenessScore"] == 1
