"""Imports run one way: a module knows those that come before it in ``ORDER``, and none behind it; so in a folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import trio_streamact

ROOT = "trio_streamact"
HOUSE = Path(trio_streamact.__file__).parent

ORDER = (
    "versions",
    "logs",
    "errors",
    "causes",
    "limits",
    "wire",
    "decoder",
    "inputs",
    "multipart",
    "calls",
    "origins",
    "room",
    "stream",
    "reports",
    "serving",
    "requests",
    "outlet",
    "body",
    "wrapping",
    "action",
    "dispatch",
    "definition",
    "rate_limits",
    "references",
    "client_files",
    "commands",
    "registration",
    "extension",
    "frames",
    "client",
    "testing",
)

ORDER_WITHIN = {
    "inputs": ("declared", "costs", "texts", "messages", "foreign", "hooks", "strict", "schema"),
    "references": (
        "reference",
        "routes",
        "names",
        "fields",
        "definitions",
        "models",
        "schemas",
        "description",
        "javascript",
        "typescript",
        "openapi",
    ),
    "client": ("faults", "closing", "http2", "sending", "connection", "chunks", "options", "stream", "runner"),
}
"""The same within a folder, where one holds; ``__init__`` is behind them all. Elsewhere there are no circles."""

PURE = {"versions", "logs", "errors", "limits", "wire", "decoder", "inputs", "calls", "origins", "frames"}
ALLOWED_IN = {
    "quart": {
        "multipart",
        "requests",
        "rate_limits",
        "body",
        "action",
        "dispatch",
        "definition",
        "client_files",
        "serving",
        "registration",
        "extension",
        "testing",
    },
    "hypercorn": {"serving"},
    "click": {"commands"},
    "httpx2": {"client"},
    "trio": set(ORDER) - PURE,
    "time": {
        "rate_limits",
        "serving",
    },  # its library counts by the wall clock; everything else asks trio.current_time()
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
            yield from ((*name, alias.name) if name in ((ROOT,), package) else name for alias in node.names)


def upward_imports(path: Path, source: str) -> list[str]:
    """What *source* imports of our own that does not come before it."""
    layer = layer_of(path)
    known = ORDER[: ORDER.index(layer)]
    beside = known_beside(path)

    def comes_before(name: tuple[str, ...]) -> bool:
        if len(name) > 1 and name[1] == layer:
            return beside is None or (len(name) > 2 and name[2] in beside)
        return len(name) > 1 and name[1] in known

    return [".".join(name) for name in imported(path, source) if name[0] == ROOT and not comes_before(name)]


def known_beside(path: Path) -> tuple[str, ...] | None:
    """The files of its own folder that the file at *path* may know; None where the folder has no order."""
    order = ORDER_WITHIN.get(layer_of(path))
    if order is None or path.stem == "__init__":
        return order
    return order[: order.index(path.stem)]


def imports_within(folder: str) -> dict[str, set[str]]:
    """The files of *folder* by name, each with those of the folder that it imports."""
    files = {path: source for path, source in sources().items() if path.parts[0] == folder}
    names = {path.stem for path in files}
    found: dict[str, set[str]] = {}
    for path, source in files.items():
        beside = [name for name in imported(path, source) if name[:2] == (ROOT, folder)]
        # Whatever is no file is a name of the folder's own, and so of its `__init__`.
        found[path.stem] = {name[2] if name[2:] and name[2] in names else "__init__" for name in beside}
    return found


def foreign_imports(path: Path, source: str) -> set[str]:
    """The libraries that *source* imports; ``quart_trio`` counts as ``quart``."""
    return {name[0].removesuffix("_trio") for name in imported(path, source)}


def test_every_module_has_its_place() -> None:
    found = {layer_of(path) for path in sources()} - {""}

    assert found == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("folder", ORDER_WITHIN)
def test_every_file_of_a_folder_in_order_has_its_place(folder: str) -> None:
    found = sorted(path.stem for path in sources() if path.parts[0] == folder)

    assert found == sorted((*ORDER_WITHIN[folder], "__init__"))


@pytest.mark.parametrize("folder", sorted({path.parts[0] for path in sources() if len(path.parts) > 1}))
def test_no_imports_within_a_folder_run_in_a_circle(folder: str) -> None:
    TopologicalSorter(imports_within(folder)).prepare()


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
        ("serving/guard.py", "from ..body.part import x", ["trio_streamact.body.part"]),
        ("inputs/texts.py", "from .schema import x", ["trio_streamact.inputs.schema"]),
        ("inputs/texts.py", "from . import declared, schema", ["trio_streamact.inputs.schema"]),
        ("inputs/texts.py", "from . import Text", ["trio_streamact.inputs.Text"]),
        ("inputs/texts.py", "from .texts import x", ["trio_streamact.inputs.texts"]),
        ("inputs/texts.py", "import trio_streamact.inputs", ["trio_streamact.inputs"]),
        ("inputs/texts.py", "if TYPE_CHECKING:\n    from .schema import x", ["trio_streamact.inputs.schema"]),
        ("inputs/texts.py", "from ..requests import x", ["trio_streamact.requests"]),
        ("inputs/__init__.py", "from .unheard_of import x", ["trio_streamact.inputs.unheard_of"]),
        ("inputs/__init__.py", "from .schema import x\nfrom ..errors import y", []),
        ("inputs/texts.py", "from .declared import x\nfrom ..errors import y\nfrom . import declared", []),
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
        ("from time import perf_counter", "time"),
        ("def f():\n    import hypercorn.trio", "hypercorn"),
        ("from quart_trio import QuartTrio", "quart"),
        ("from quart.wrappers import Request", "quart"),
    ],
)
def test_a_library_in_the_wrong_place_would_be_noticed(source: str, library: str) -> None:
    assert foreign_imports(Path("wire.py"), source) == {library}
    assert "wire" not in ALLOWED_IN[library]
