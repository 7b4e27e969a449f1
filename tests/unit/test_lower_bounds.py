"""The oldest releases that are allowed, and the interpreters that the gate finds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lower_bounds import PYPROJECT, lower_bounds, requirements_of

INTERPRETERS = Path(__file__).parents[1] / "interpreters.sh"
THIS = "%d.%d.%d" % sys.version_info[:3]  # noqa: UP031 - as the script prints it


def test_each_requirement_becomes_its_lower_bound() -> None:
    assert lower_bounds(["trio>=0.29", "hypercorn[trio]>=0.17, <0.19", "trio>=0.29"]) == [
        "hypercorn==0.17",
        "trio==0.29",
    ]


@pytest.mark.parametrize(
    "requirements",
    [["trio"], ["trio<1"], ["trio~=0.29"], ["trio>=0.29", "trio>=0.30"], ["trio>=0.29; python_version<'4'"]],
)
def test_a_requirement_without_a_lower_bound_of_its_own_is_refused(requirements: list[str]) -> None:
    with pytest.raises(ValueError, match="trio"):
        lower_bounds(requirements)


def test_every_package_that_the_gate_installs_has_a_lower_bound() -> None:
    bounds = lower_bounds(requirements_of(PYPROJECT, ["client", "demo", "ratelimit", "test"]))
    assert {bound.partition("==")[0] for bound in bounds} > {
        "quart",
        "quart-trio",
        "hypercorn",
        "trio",
        "attrs",
        "pytest",
    }


def found(path: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Run the script where only *path* has interpreters."""
    for tool in ("sh", "awk", "cut", "head", "ls", "sort", "tail", "tr"):
        (path / tool).symlink_to(shutil.which(tool) or tool)
    result = subprocess.run(
        ["sh", INTERPRETERS, *arguments],
        env={"PATH": str(path), "HOME": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return result.returncode, [line.partition(" ")[0] for line in result.stdout.splitlines()]


def shim(path: Path) -> None:
    """Make what pyenv has where it has chosen no interpreter of a version: it only complains."""
    path.write_text("#!/bin/sh\nexit 127\n")
    path.chmod(0o755)


def test_an_interpreter_on_the_path_is_found_and_a_shim_that_starts_none_is_not(tmp_path: Path) -> None:
    (tmp_path / f"python3.{sys.version_info.minor}").symlink_to(sys.executable)
    for minor in {11, 12, 13, 14} - {sys.version_info.minor}:
        shim(tmp_path / f"python3.{minor}")
    assert found(tmp_path) == (0, [THIS])


@pytest.mark.parametrize("by", ["variable", "shims", "home"])
def test_an_interpreter_of_pyenv_is_found(by: str, tmp_path: Path) -> None:
    shims = tmp_path / "shims" if by == "shims" else tmp_path / "bin"
    root = {"variable": tmp_path / "elsewhere", "shims": tmp_path, "home": shims / ".pyenv"}[by]
    (root / "versions" / THIS / "bin").mkdir(parents=True)
    shims.mkdir(exist_ok=True)
    (root / "versions" / THIS / "bin" / "python3").symlink_to(sys.executable)
    assert found(shims, **({"PYENV_ROOT": str(root)} if by == "variable" else {})) == (0, [THIS])


def test_python3_is_taken_and_another_one_only_where_it_is_none(tmp_path: Path) -> None:
    (tmp_path / f"python3.{sys.version_info.minor}").symlink_to(sys.executable)
    shim(tmp_path / "python3")
    assert found(tmp_path, "default") == (0, [THIS])


def test_an_interpreter_that_was_asked_for_and_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    shim(tmp_path / "python3")
    assert found(tmp_path, "only", "python3") == (1, [])
