"""What the package promises to the outside by its names alone."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib.resources import files
from types import ModuleType

import pytest

import trio_streamact
from trio_streamact import client, testing

PUBLIC: dict[ModuleType, set[str]] = {
    trio_streamact: {
        "ActionError",
        "InvalidInput",
        "Limits",
        "OversizedChunkError",
        "Stream",
        "StreamAction",
        "StreamActions",
        "StreamReport",
        "define_stream_action",
        "rate_limit",
        "stream_ended",
        "stream_opened",
    },
    client: {
        "ActionError",
        "ChunkStream",
        "StreamActionReference",
        "StreamActionRunner",
        "open_stream_action",
        "use_stream_action",
    },
    testing: {"IncompleteStreamError", "StreamClient", "open_stream"},
}


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_what_is_public_is_listed_in_order(module: ModuleType) -> None:
    assert set(module.__all__) == PUBLIC[module]
    assert module.__all__ == sorted(module.__all__)
    assert module.__doc__


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in PUBLIC.items() for name in sorted(names)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_whatever_is_public_says_what_it_is(module: ModuleType, name: str) -> None:
    thing = getattr(module, name)

    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        assert "__doc__" in vars(thing), "the docstring of a base class says nothing of this one"
        for member_name, member in vars(thing).items():
            if inspect.isfunction(member) and not member_name.startswith("_"):
                assert member.__doc__, f"{name}.{member_name}"


def modules_after(statement: str) -> set[str]:
    """The top-level names of all modules that are there once *statement* ran in a new Python."""
    report = "import json, sys; print(json.dumps([name for name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", f"{statement}; {report}"], capture_output=True, check=True, text=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_root_brings_in_nothing_that_only_some_need() -> None:
    modules = modules_after("import trio_streamact")

    assert "trio_streamact._actions.action" in modules
    for name in (
        "trio_streamact.testing",
        "trio_streamact.client",
        "httpx2",
        "pydantic",
        "msgspec",
        "openai",
        "pytest",
    ):
        assert name not in modules


def test_nothing_that_only_some_have_is_needed_to_send_and_to_validate() -> None:
    statement = (
        "from trio_streamact._inputs import input_schema; from trio_streamact._protocol.encoding import encode_chunk;"
        "assert input_schema(dict[str, int])({'a': 1}) == {'a': 1}; assert encode_chunk({'a': {1}})"
    )

    assert not modules_after(statement) & {"httpx2", "pydantic", "msgspec"}


def test_the_types_are_shipped() -> None:
    assert files(trio_streamact).joinpath("py.typed").is_file()
