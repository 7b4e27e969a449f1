"""What type checkers know of the public names: pyright here, mypy in ``make check``, which checks the same programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.nodejs import pyright

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "tests" / "typed"
MARK = re.compile(r"# type: ignore\[[\w\-, ]+\]  # (report\w+)")
"""A line that both checkers must refuse: mypy's code, which it reports as unused where there is no such error, and the
rule of pyright's."""


@pytest.fixture(scope="module")
def complaints() -> dict[str, list[tuple[int, str, str]]]:
    """The line, the rule and the words of each error that pyright reports, ``type: ignore`` or not, by program."""
    found: dict[str, list[tuple[int, str, str]]] = {"right.py": [], "mistakes.py": []}
    for each in pyright("-p", str(PROGRAMS), cwd=ROOT)["generalDiagnostics"]:
        line, rule = each["range"]["start"]["line"] + 1, each.get("rule", "")
        found[Path(each["file"]).name].append((line, rule, each["message"]))
    return found


def test_the_type_of_each_public_name_is_known() -> None:
    found = pyright("--verifytypes", "trio_streamact", "--ignoreexternal", cwd=ROOT)["typeCompleteness"]

    unclear = [symbol["name"] for symbol in found["symbols"] if not symbol["isTypeKnown"]]
    assert unclear == []
    assert sum(found["exportedSymbolCounts"].values()) < 150
    assert found["completenessScore"] == 1


def test_what_is_right_is_no_error(complaints: dict[str, list[tuple[int, str, str]]]) -> None:
    assert complaints["right.py"] == []


def test_each_mistake_is_an_error_in_its_line(complaints: dict[str, list[tuple[int, str, str]]]) -> None:
    lines = (PROGRAMS / "mistakes.py").read_text().splitlines()
    marked = {(number, mark[1]) for number, line in enumerate(lines, 1) if (mark := MARK.search(line))}
    assert len(marked) == sum("type: ignore" in line for line in lines) > 10

    found = complaints["mistakes.py"]

    assert marked - {(line, rule) for line, rule, _ in found} == set(), found
    assert {line for line, *_ in found} == {line for line, _ in marked}, found
