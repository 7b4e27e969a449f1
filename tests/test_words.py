"""Plain words: what docstrings, comments and messages do not say. See "Words" in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "trio_streamact"

DONE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs",
    "trio_streamact/browser",
    "trio_streamact/__init__.py",
    "trio_streamact/_actions",
    "trio_streamact/_client",
    "trio_streamact/_codegen",
    "trio_streamact/_common",
    "trio_streamact/_hypercorn/__init__.py",
    "trio_streamact/_hypercorn/asgi.py",
    "trio_streamact/_hypercorn/connection.py",
    "trio_streamact/_hypercorn/disconnects.py",
    "trio_streamact/_hypercorn/exchange.py",
    "trio_streamact/_hypercorn/heartbeat.py",
    "trio_streamact/_hypercorn/http1_writer.py",
    "trio_streamact/_hypercorn/middleware.py",
    "trio_streamact/_hypercorn/progress.py",
    "trio_streamact/_hypercorn/scheduler.py",
    "trio_streamact/_hypercorn/shutdown.py",
    "trio_streamact/_hypercorn/targets.py",
    "trio_streamact/_hypercorn/watchdog.py",
    "trio_streamact/_inputs",
    "trio_streamact/_protocol",
    "trio_streamact/_stream",
    "trio_streamact/client.py",
    "trio_streamact/errors.py",
    "trio_streamact/extension.py",
    "trio_streamact/limits.py",
    "trio_streamact/testing.py",
)
"""The files and folders that are checked. A folder counts with all its Python files and declarations."""

STOP_LIST = {
    # Name the actor.
    r"\bwho(ever|m)?\b": "the client, the handler, a caller, hypercorn",
    r"\b(no|some|every|any)(body|one)\b": "no client, a caller, all streams",
    r"\bno one\b": "no client, no task",
    r"\b(we|us|ours)\b": "this module, the server, hypercorn",
    r"\bstrangers?\b": "an untrusted client",
    # No fragments.
    r"\bof (which|whom)\b": "a sentence of its own",
    r"\bfrom (now|here|there) on\b": "after this",
    # One plain verb for an act.
    r"\b(to tell|tells|telling|told)\b": "send, report, log",
    r"\b(hears?|heard)\b": "is notified, reads",
    r"\b(says?|said|unsaid)\b": "return, report, describe",
    r"\b(gives?|gave|giving)\b": "return, yield, pass, release",
    r"\blook(s|ed|ing)? (at|for|into|through)\b": "check, search, inspect",
    r"\b(speak|speaks|spoken)\b": "use, support",
    r"\bwants?\b": "needs, has, requests",
    r"\blikes\b": "any number, no limit",
    r"\bstands?\b": "is, comes",
    r"\b(mend|mends|mended)\b": "repair, fix",
    r"\bgood-?bye\b": "SERVER_SHUTDOWN",
    # Negate the verb.
    r"(?<!there )\b(?-i:is none|are none)\b": "is not valid",
    r"(?<!there )\b(is|are) no (?!longer)[a-z]": "is not a",
    # The usual word.
    r"\bfor (ever|good)\b": "forever",
    r"\bbeside\b": "next to, concurrently",
    r"\bbehind\b(?! (a|the|another|nginx)?\s*(prox|nginx|Sentry))": "after, below, inside",
    r"\b(of|is|speaks) HTTP/[123](\.\d)?\b": "an HTTP/2 connection",
    r"\bthe model\b(?!')": "nuxt-actions",
    r"\b(unsayable|sayable)\b": "is not serializable",
    r"\bround (a|the|an|it|every|each)\b": "around",
    r"\b(all the same|none the less)\b": "anyway",
    r"\b(anew|at last|by then|made ready)\b": "again, finally, already, prepared",
    r"\bin hand\b": "under control",
    r"\bword for word\b|(?<!word )\bin words\b|\bwithout a word\b": "unchanged, as text, without an ending",
}


def files(suffix: str) -> list[Path]:
    """The files of *suffix* that are checked."""
    found = [path for name in DONE for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))]
    return sorted(path for path in found if path.name.endswith(suffix))


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The lines of all docstrings, comments and messages of *source*, each with its number."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from ((node.lineno, line.strip()) for line in node.value.splitlines())
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.removeprefix("#").strip()


def prose(page: str) -> list[tuple[int, str]]:
    """The lines of *page* that are not code, each with its number."""
    lines, is_code = [], False
    for number, line in enumerate(page.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            lines.append((number, re.sub("`[^`]*`|\\[[^]]*\\]\\([^)]*\\)", "", line)))
    return lines


def found_in(lines: Iterable[tuple[int, str]]) -> list[str]:
    """What the stop list finds in *lines*."""
    return [
        f"{number}: {match[0]!r} ({better}) in {line!r}"
        for number, line in lines
        for pattern, better in STOP_LIST.items()
        if (match := re.search(pattern, line, re.IGNORECASE))
    ]


def vague(source: str) -> list[str]:
    """The first lines of docstrings of *source* that are no sentence and no name of a thing."""
    documented = (ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef, ast.Module)
    docstrings = (ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, documented))
    return [text for text in docstrings if re.match(r"(As|How|That|Those|What|Where|Whether)\b", text)]


@pytest.mark.parametrize("path", files(".py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_written_in_plain_words(path: Path) -> None:
    assert found_in(texts(path.read_text())) == []


@pytest.mark.parametrize("path", files(".py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_begins_with_what_is_returned_or_changed(path: Path) -> None:
    assert vague(path.read_text()) == []


@pytest.mark.parametrize("path", files(".md") + files(".d.ts"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_is_written_in_plain_words(path: Path) -> None:
    text = path.read_text()
    assert found_in(prose(text) if path.suffix == ".md" else enumerate(text.splitlines(), 1)) == []


@pytest.mark.parametrize(
    "text",
    [
        '"""Who hears of it."""',
        "x = 1  # for ever",
        'raise TypeError("the rate is none")',
        'log.error(f"the stream of {name} is no stream")',
        '"""First.\n\n    Look at it.\n    """',
    ],
)
def test_a_word_of_the_stop_list_would_be_noticed(text: str) -> None:
    assert found_in(texts(text))


@pytest.mark.parametrize("text", ["told = whoever(beside)", "x = None  # is None", '"""There is no stream yet."""'])
def test_code_and_plain_words_are_not_noticed(text: str) -> None:
    assert not found_in(texts(text))


def test_a_vague_docstring_would_be_noticed() -> None:
    assert vague('def is_open() -> bool:\n    """Whether it is open."""')
    assert not vague('def is_open() -> bool:\n    """Return True if it is open."""')


def test_what_is_checked_is_there() -> None:
    assert [name for name in DONE if not (ROOT / name).exists()] == []
