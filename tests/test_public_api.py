"""What the package promises to the outside by its names alone."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, get_overloads

import pytest
import typing_extensions

import trio_streamact
from trio_streamact import StreamActions, client, errors, extension, limits, testing
from trio_streamact.errors import ServerErrorHandler

PUBLIC: dict[ModuleType, set[str]] = {
    trio_streamact: {
        "ActionError",
        "InvalidInput",
        "Limits",
        "Outcome",
        "OversizedChunkError",
        "Stream",
        "StreamAction",
        "StreamActionView",
        "StreamActions",
        "StreamReport",
        "define_stream_action",
        "rate_limit",
        "stream_ended",
        "stream_opened",
    },
    client: {
        "ActionError",
        "AddressOptions",
        "CallOptions",
        "ChunkStream",
        "Headers",
        "HeadersSource",
        "Status",
        "StreamActionReference",
        "StreamActionRunner",
        "open_stream_action",
        "use_stream_action",
    },
    errors: {
        "ActionError",
        "ErrorFields",
        "FieldErrors",
        "InvalidInput",
        "OversizedChunkError",
        "ServerErrorHandler",
        "UnrepairedWarning",
    },
    extension: {
        "ActionOptions",
        "ClientKey",
        "Dialect",
        "Guard",
        "Handler",
        "Middleware",
        "Registration",
        "StreamActionView",
        "StreamActions",
        "StreamEndedReceiver",
        "StreamEndedSignal",
        "StreamOpenedReceiver",
        "StreamOpenedSignal",
    },
    limits: {"Limits"},
    testing: {"IncompleteStreamError", "StreamClient", "open_stream"},
}
PUBLIC_NAMES = [(module, name) for module, names in PUBLIC.items() for name in sorted(names)]

NOT_MADE_BY_USERS = {"ChunkStream", "Stream", "StreamAction", "StreamActionRunner", "StreamClient"}
"""Classes whose ``__init__`` is ours alone."""


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_what_is_public_is_listed_in_order(module: ModuleType) -> None:
    assert set(module.__all__) == PUBLIC[module]
    assert module.__all__ == sorted(module.__all__)
    assert module.__doc__


@cache
def tree_of(module: ModuleType) -> list[ast.stmt]:
    """The statements of *module*."""
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text()).body


def defined_in(module: ModuleType) -> set[str]:
    """The names that *module* defines, or has of another module of ours."""
    found: set[str] = set()
    for node in tree_of(module):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= set(targets_of(node))
    return found


def targets_of(node: ast.stmt) -> list[str]:
    """The names that *node* assigns."""
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def assignments_of(name: str, thing: object) -> Iterator[tuple[ModuleType, ast.stmt, bool]]:
    """Where a public name is assigned: the module, the statement, and whether a docstring follows."""
    for module in [each for path, each in sys.modules.items() if path.startswith("trio_streamact")]:
        for node, following in pairwise([*tree_of(module), ast.Pass()]):
            if name in targets_of(node) and vars(module)[name] is thing:
                yield module, node, isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)


each_public_name = pytest.mark.parametrize(
    ("module", "name"), PUBLIC_NAMES, ids=lambda value: value if isinstance(value, str) else value.__name__
)


@each_public_name
def test_whatever_is_public_says_what_it_is(module: ModuleType, name: str) -> None:
    thing = getattr(module, name)

    assigned = list(assignments_of(name, thing))
    assert all(doc for *_, doc in assigned) if assigned else inspect.getdoc(thing)
    if inspect.isclass(thing):
        assert "__doc__" in vars(thing), "the docstring of a base class says nothing of this one"
        for member_name, member in vars(thing).items():
            if inspect.isfunction(member) and not member_name.startswith("_"):
                assert member.__doc__, f"{name}.{member_name}"


def functions_of(thing: Any) -> Iterator[Any]:
    """The functions of a public name that users call."""
    if inspect.isfunction(thing):
        yield inspect.unwrap(thing)
    elif inspect.isclass(thing):
        for name, member in vars(thing).items():
            if name == "__init__" and thing.__name__ in NOT_MADE_BY_USERS:
                continue
            if not name.startswith("_") or name.startswith("__"):
                function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if inspect.isfunction(function) and function.__module__ == thing.__module__:
                    yield function


def annotations_of(name: str, thing: Any) -> Iterator[tuple[ModuleType, ast.AST]]:
    """The annotations that users see of a public name, or what it is an alias of, each with the module it stands in."""
    for function in functions_of(thing):
        for each in (function, *get_overloads(function)):
            for annotation in each.__annotations__.values():
                yield sys.modules[each.__module__], ast.parse(str(annotation))
    if inspect.isclass(thing):
        for member, annotation in inspect.get_annotations(thing).items():
            if not member.startswith("_"):
                yield sys.modules[thing.__module__], ast.parse(getattr(annotation, "__forward_arg__", str(annotation)))
    for module, assignment, _ in assignments_of(name, thing):
        yield module, assignment


def private_names_in(module: ModuleType, annotation: ast.AST) -> set[str]:
    """The names of ours in *annotation*, an annotation in *module*, that no public module has."""
    ours = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} & defined_in(module)
    public = [(name, getattr(module, name)) for module, name in PUBLIC_NAMES]
    return {
        name
        for name in ours
        if not isinstance(vars(module)[name], TypeVar | typing_extensions.TypeVar | ParamSpec)
        and not any(name == other and vars(module)[name] is thing for other, thing in public)
    }


@each_public_name
def test_each_name_in_a_public_signature_is_public(module: ModuleType, name: str) -> None:
    for place, annotation in annotations_of(name, getattr(module, name)):
        assert private_names_in(place, annotation) == set(), ast.unparse(annotation)


def test_a_private_name_in_a_signature_would_be_noticed() -> None:
    module = sys.modules["trio_streamact._actions.routes"]

    assert private_names_in(module, ast.parse("dict[str, Route] | Limits")) == {"Route"}
    seen = [ast.unparse(annotation) for _, annotation in annotations_of("StreamActions", StreamActions)]
    assert {"ClientKey", "Unpack[ActionOptions]", "Registration"} <= set(seen)
    options = [ast.unparse(annotation) for _, annotation in annotations_of("ActionOptions", extension.ActionOptions)]
    assert {"Iterable[Guard]", "Limits | None"} <= set(options)
    handler = [ast.unparse(annotation) for _, annotation in annotations_of("ServerErrorHandler", ServerErrorHandler)]
    assert handler == ["ServerErrorHandler = Callable[[Exception], ActionError | ErrorFields | None]"]


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
        "trio_streamact._client",
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
