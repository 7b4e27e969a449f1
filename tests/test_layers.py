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
    "_common",
    "errors",
    "limits",
    "_protocol",
    "_inputs",
    "_hypercorn",
    "_stream",
    "_actions",
    "_codegen",
    "extension",
    "_client",
    "client",
    "testing",
)

ORDER_WITHIN = {
    "_common": ("versions", "logs", "exception_groups"),
    "_protocol": ("decoding", "plain_values", "json", "encoding", "messages"),
    "_inputs": ("declared", "costs", "texts", "messages", "pydantic_costs", "foreign", "hooks", "strict", "schema"),
    "_stream": (
        "error_mapping",
        "buffer",
        "batch",
        "fairness",
        "signals",
        "lifecycle",
        "contexts",
        "writer",
        "stream",
        "body",
    ),
    "_actions": (
        "signature",
        "multipart",
        "csrf",
        "capacity",
        "request_input",
        "wrapping",
        "action",
        "dispatch",
        "definition",
        "rate_limits",
        "routes",
        "registration",
    ),
    "_codegen": (
        "reference",
        "names",
        "fields",
        "definitions",
        "models",
        "schemas",
        "description",
        "javascript",
        "typescript",
        "openapi",
        "assets",
        "cli",
    ),
    "_client": (
        "errors",
        "response_cleanup",
        "http2",
        "sending",
        "connection",
        "chunks",
        "options",
        "stream",
        "runner",
    ),
}
"""The same within a folder, where one holds; ``__init__`` is behind them all. Elsewhere there are no circles."""

PURE = {"errors", "limits", "_protocol", "_inputs"}
ALLOWED_IN = {
    "quart": {"_hypercorn", "_stream", "_actions", "_codegen", "extension", "testing"},
    "hypercorn": {"_hypercorn"},
    "click": {"_codegen"},
    "httpx2": {"_client"},
    "trio": set(ORDER) - PURE,
    # The library of rate limits counts by the wall clock; everything else asks trio.current_time().
    "time": {"_actions", "_hypercorn"},
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
            # `from . import errors` names a module only behind the `import`.
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
    assert not names & {"_client", "client", "testing"}


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("limits.py", "from .testing import open_stream", ["trio_streamact.testing"]),
        ("limits.py", "from . import client", ["trio_streamact.client"]),
        ("limits.py", "from . import errors, client", ["trio_streamact.client"]),
        ("limits.py", "import trio_streamact.testing", ["trio_streamact.testing"]),
        ("limits.py", "from trio_streamact.testing import x", ["trio_streamact.testing"]),
        ("limits.py", "from trio_streamact import Stream", ["trio_streamact.Stream"]),
        ("limits.py", "import trio_streamact", ["trio_streamact"]),
        ("limits.py", "from .unheard_of import x", ["trio_streamact.unheard_of"]),
        ("limits.py", "def f():\n    from .testing import x", ["trio_streamact.testing"]),
        ("limits.py", "if TYPE_CHECKING:\n    from .testing import x", ["trio_streamact.testing"]),
        ("_hypercorn/middleware.py", "from .._stream.body import x", ["trio_streamact._stream.body"]),
        ("_hypercorn/middleware.py", "from .. import _stream", ["trio_streamact._stream"]),
        ("_inputs/texts.py", "from .schema import x", ["trio_streamact._inputs.schema"]),
        ("_inputs/texts.py", "from . import declared, schema", ["trio_streamact._inputs.schema"]),
        ("_inputs/texts.py", "from . import UntypedText", ["trio_streamact._inputs.UntypedText"]),
        ("_inputs/texts.py", "from .texts import x", ["trio_streamact._inputs.texts"]),
        ("_inputs/texts.py", "import trio_streamact._inputs", ["trio_streamact._inputs"]),
        ("_inputs/texts.py", "if TYPE_CHECKING:\n    from .schema import x", ["trio_streamact._inputs.schema"]),
        ("_inputs/texts.py", "from .._actions.dispatch import x", ["trio_streamact._actions.dispatch"]),
        ("_inputs/__init__.py", "from .unheard_of import x", ["trio_streamact._inputs.unheard_of"]),
        ("_inputs/__init__.py", "from .schema import x\nfrom ..errors import y", []),
        ("_inputs/texts.py", "from .declared import x\nfrom ..errors import y\nfrom . import declared", []),
        ("limits.py", "from .errors import x\nimport json\nfrom trio_streamact._common.logs import y", []),
        ("_hypercorn/middleware.py", "from ..errors import x\nfrom .asgi import y\nfrom . import exchange", []),
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
    assert foreign_imports(Path("limits.py"), source) == {library}
    assert "limits" not in ALLOWED_IN[library]
