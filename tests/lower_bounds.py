"""Prints constraints for pip under which each direct dependency is the oldest that ``pyproject.toml`` allows."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*\])?>=(?P<oldest>[\w.]+)(,<[\w.]+)?")


def lower_bounds(requirements: Iterable[str]) -> list[str]:
    """Return a constraint for each of *requirements*, sorted by name.

    Raises:
        ValueError: A requirement has no lower bound, or two requirements give different bounds to one package.
    """
    oldest: dict[str, str] = {}
    for requirement in requirements:
        found = REQUIREMENT.fullmatch(requirement.replace(" ", ""))
        if found is None:
            raise ValueError(f"{requirement!r} is not of the form name>=oldest or name>=oldest,<unknown")
        if oldest.setdefault(found["name"], found["oldest"]) != found["oldest"]:
            raise ValueError(f"{found['name']} has two lower bounds: {oldest[found['name']]} and {found['oldest']}")
    return [f"{name}=={version}" for name, version in sorted(oldest.items())]


def requirements_of(pyproject: Path, extras: Iterable[str]) -> list[str]:
    """Return what *pyproject* requires, with *extras*."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(requirement for extra in extras for requirement in optional[extra])]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lower_bounds(requirements_of(PYPROJECT, sys.argv[1:]))) + "\n")
