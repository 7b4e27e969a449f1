"""Releases of the packages around us that were not tested: one clear message, whatever became of their insides."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trio_streamact._common.versions import TESTED, untested

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_what_is_installed_here_is_tested() -> None:
    assert untested() == []


@pytest.mark.parametrize("package", TESTED)
def test_pip_is_told_the_same_bounds(package: str) -> None:
    (_, first), (_, last) = TESTED[package]
    bounds = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    assert [bound for bound in bounds if bound.startswith(package) and bound[len(package)] in "[>"] == [
        f"{package}{'[trio]' if package == 'hypercorn' else ''}>=0.{first},<0.{last + 1}"
    ]


def imported_with(folder: Path, package: str, release: str) -> subprocess.CompletedProcess[str]:
    """Import ours where *package* says that it is of *release*; *folder* may have modules in place of its own."""
    metadata = folder / f"{package.replace('-', '_')}-{release}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {release}\n")
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import trio_streamact"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("release", ["0.1.0", "0.99.0", "1.0.0"])
@pytest.mark.parametrize("package", TESTED)
def test_a_release_that_was_not_tested_is_one_warning_that_names_it(tmp_path: Path, package: str, release: str) -> None:
    imported = imported_with(tmp_path, package, release)
    assert imported.returncode == 0
    assert imported.stderr.count("Warning") == 1
    (_, first), (_, last) = TESTED[package]
    assert f"not tested with {package} {release} (tested: 0.{first} to 0.{last})" in imported.stderr


def test_a_release_that_lacks_what_is_needed_is_an_import_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "quart_trio.py").write_text("class Renamed: ...")
    imported = imported_with(tmp_path, "quart-trio", "0.99.0")
    last = imported.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: trio_streamact was not tested with quart-trio 0.99.0 (tested: 0.12 to 0.13)")
    assert "cannot import name 'QuartTrio'" in last
