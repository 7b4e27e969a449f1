"""What the compiler of TypeScript knows of an app's actions through the Vue and the React client."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import attrs
import pytest

from tests.nodejs import MODULES, node
from trio_streamact import Stream, StreamActions
from trio_streamact._codegen.cli import references

pytestmark = pytest.mark.node

BROWSER = Path(__file__).parents[2] / "trio_streamact" / "browser"
PROGRAMS = Path(__file__).parents[1] / "clients" / "types"

# How imports are resolved is the same matter to both compilers, and the older one is slow.
COMPILERS = [
    ("typescript", "esnext", "bundler"),
    ("typescript", "node16", "node16"),
    ("typescript", "nodenext", "nodenext"),
    ("typescript-5", "nodenext", "nodenext"),
]
STRICT = ["strict", "noEmit", "exactOptionalPropertyTypes", "noUncheckedIndexedAccess", "verbatimModuleSyntax"]


@attrs.define
class Prompt:
    prompt: str
    temperature: float = 1.0


@attrs.define
class Token:
    text: str


def actions() -> StreamActions:
    actions = StreamActions()

    @actions.post("/ai-chat")
    async def ai_chat(input: Prompt, stream: Stream[Token]) -> None: ...

    @actions.post("/count-down")
    async def count_down(stream: Stream[int]) -> None: ...

    @actions.get("/items/<int:id>")
    async def item(stream: Stream[Token]) -> None: ...

    return actions


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has installed our package, Vue and React, and taken down what the app's actions are."""
    node()
    packages = tmp_path / "node_modules"
    packages.mkdir()
    for package in MODULES.iterdir():
        (packages / package.name).symlink_to(package)
    shutil.copytree(BROWSER, packages / "trio-streamact")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name, text in references(actions()._routes).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def compile_in(project: Path, compiler: str, *files: str, **options: object) -> str:
    """Compile *files* in *project*, and give what the compiler says."""
    strict = dict.fromkeys(STRICT, True)
    common = {"target": "es2022", "lib": ["es2022", "dom", "dom.iterable"], "jsx": "react-jsx", "types": []}
    config = {"compilerOptions": {**strict, **common, **options}, "files": files}
    (project / "tsconfig.json").write_text(json.dumps(config))
    command: list[str | Path] = [node(), MODULES / compiler / "bin" / "tsc", "--pretty", "false", "-p", "tsconfig.json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout


def wrong_lines(programs: list[str]) -> list[tuple[str, int, set[str]]]:
    """Where *programs* say that they are wrong, and the numbers of the errors that may be the compiler's for it."""
    found = []
    for program in programs:
        for number, line in enumerate((PROGRAMS / program).read_text().splitlines(), 1):
            if told := re.search(r"; // (\d+(?: or \d+)*)$", line):
                found.append((program, number, set(told[1].split(" or "))))
    return found


def check(said: str, programs: list[str]) -> None:
    """Check that a compiler complains of the lines of *programs* that are wrong, and of no others."""
    complaints = re.findall(r"^(\S+)\((\d+),\d+\): error TS(\d+)", said, re.M)
    expected = wrong_lines(programs)
    assert [(file, int(line)) for file, line, _ in complaints] == [(file, line) for file, line, _ in expected], said
    assert all(code in codes for (*_, code), (*_, codes) in zip(complaints, expected, strict=True)), said


@pytest.mark.parametrize(("compiler", "module", "resolution"), COMPILERS)
def test_each_mistake_is_an_error_in_its_line_and_what_is_right_is_none(
    project: Path, compiler: str, module: str, resolution: str
) -> None:
    programs = ["vue.ts", "react.tsx", "mistakes.ts"]
    assert len(wrong_lines(programs)) > 30
    for program in programs:
        shutil.copy(PROGRAMS / program, project)
    check(compile_in(project, compiler, *programs, module=module, moduleResolution=resolution), programs)


def test_a_page_without_a_build_is_checked_too(project: Path) -> None:
    served = project / "served"
    served.mkdir()
    for file in [*BROWSER.glob("*.d.ts"), project / "actions.d.ts"]:
        shutil.copy(file, served)
    shutil.copy(PROGRAMS / "page.js", project)
    options = {"module": "esnext", "moduleResolution": "bundler", "allowJs": True, "checkJs": True}
    paths = {"/api/_actions/_client/*": ["./served/*"]}
    check(compile_in(project, "typescript", "page.js", paths=paths, **options), ["page.js"])


def test_the_scripts_themselves_are_what_they_say_of_their_types(project: Path) -> None:
    scripts = [f"node_modules/trio-streamact/{name}.js" for name in ("vue", "react")]
    checked = {"module": "nodenext", "allowJs": True, "checkJs": True, "exactOptionalPropertyTypes": False}
    assert compile_in(project, "typescript", *scripts, **checked) == ""


def test_declarations_and_scripts_export_the_same() -> None:
    for name in ("vue", "react"):
        exports = re.findall(r"^export (?:async )?function (\w+)", (BROWSER / f"{name}.js").read_text(), re.M)
        declared = re.findall(r"^export function (\w+)", (BROWSER / f"{name}.d.ts").read_text(), re.M)
        assert set(declared) == set(exports) == {"useStreamAction"}
