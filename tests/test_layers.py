"""Imports run one way: a module knows those that come before it in ``ORDER``, and none behind it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_streamact

ROOT = "trio_streamact"
HOUSE = Path(trio_streamact.__file__).parent

ORDER = (
    "errors",
    "causes",
    "limits",
    "wire",
    "decoder",
    "inputs",
    "requests",
    "calls",
    "origins",
    "room",
    "stream",
    "reports",
    "serving",
    "body",
    "action",
    "rate_limits",
    "references",
    "extension",
    "client",
    "testing",
)
NOT_YET_BUILT = {"references", "client"}

PURE = {"errors", "limits", "wire", "decoder", "inputs", "calls"}
ALLOWED_IN = {
    "quart": {"requests", "rate_limits", "body", "action", "references", "serving", "extension", "testing"},
    "hypercorn": {"serving"},
    "httpx2": {"client"},
    "trio": set(ORDER) - PURE,
}


def sources() -> dict[Path, str]:
    return {path.relative_to(HOUSE): path.read_text() for path in sorted(HOUSE.rglob("*.py"))}


def layer_of(path: Path) -> str:
    """The module that the file at *path* is, or the folder that it belongs to; the root is the empty name."""
    name = path.parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imported(path: Path, source: str) -> Iterator[tuple[str, ...]]:
    """The names of all modules that *source* imports, in parts, those of our own with the root in front."""
    package = (ROOT, *path.parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = (*base, *(node.module or "").split(".")) if node.module else base
            # `from . import wire` names a module only behind the `import`.
            yield from ((*name, alias.name) if name == (ROOT,) else name for alias in node.names)


def upward_imports(path: Path, source: str) -> list[str]:
    """What *source* imports of our own that does not come before it."""
    layer = layer_of(path)
    known = (layer, *ORDER[: ORDER.index(layer)])
    ours = [name for name in imported(path, source) if name[0] == ROOT]
    return [".".join(name) for name in ours if len(name) == 1 or name[1] not in known]


def foreign_imports(path: Path, source: str) -> set[str]:
    """The libraries that *source* imports; ``quart_trio`` counts as ``quart``."""
    return {name[0].removesuffix("_trio") for name in imported(path, source)}


def test_every_module_has_its_place() -> None:
    found = {layer_of(path) for path in sources()} - {""}

    assert found | NOT_YET_BUILT == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("path", [path for path in sources() if layer_of(path)], ids=str)
def test_a_module_imports_only_what_comes_before_it(path: Path) -> None:
    assert upward_imports(path, sources()[path]) == []


@pytest.mark.parametrize("path", [path for path in sources() if layer_of(path)], ids=str)
def test_a_module_imports_only_the_libraries_that_are_its_business(path: Path) -> None:
    for library in foreign_imports(path, sources()[path]) & ALLOWED_IN.keys():
        assert layer_of(path) in ALLOWED_IN[library], f"{library} is not for {path}"


def test_the_root_imports_neither_the_client_nor_the_tools_for_tests() -> None:
    names = {name[1] for name in imported(Path("__init__.py"), sources()[Path("__init__.py")]) if name[0] == ROOT}

    assert names <= set(ORDER)
    assert not names & {"client", "testing"}


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("wire.py", "from .stream import Stream", ["trio_streamact.stream"]),
        ("wire.py", "from . import body", ["trio_streamact.body"]),
        ("wire.py", "from . import errors, body", ["trio_streamact.body"]),
        ("wire.py", "import trio_streamact.action", ["trio_streamact.action"]),
        ("wire.py", "from trio_streamact.action import x", ["trio_streamact.action"]),
        ("wire.py", "from trio_streamact import Stream", ["trio_streamact.Stream"]),
        ("wire.py", "import trio_streamact", ["trio_streamact"]),
        ("wire.py", "from .unheard_of import x", ["trio_streamact.unheard_of"]),
        ("wire.py", "def f():\n    from .body import x", ["trio_streamact.body"]),
        ("wire.py", "if TYPE_CHECKING:\n    from .body import x", ["trio_streamact.body"]),
        ("serving/guard.py", "from ..body import x", ["trio_streamact.body"]),
        ("serving/guard.py", "from .. import body", ["trio_streamact.body"]),
        ("wire.py", "from .errors import x\nimport json\nfrom trio_streamact.limits import y", []),
        ("serving/guard.py", "from ..errors import x\nfrom .asgi import y\nfrom . import http2", []),
    ],
)
def test_an_upward_import_would_be_noticed(file: str, source: str, found: list[str]) -> None:
    assert upward_imports(Path(file), source) == found


@pytest.mark.parametrize(
    ("source", "library"),
    [
        ("import trio", "trio"),
        ("import trio.testing", "trio"),
        ("from trio import Event", "trio"),
        ("def f():\n    import hypercorn.trio", "hypercorn"),
        ("from quart_trio import QuartTrio", "quart"),
        ("from quart.wrappers import Request", "quart"),
    ],
)
def test_a_library_in_the_wrong_place_would_be_noticed(source: str, library: str) -> None:
    assert foreign_imports(Path("wire.py"), source) == {library}
    assert "wire" not in ALLOWED_IN[library]
