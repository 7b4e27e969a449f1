"""The declarations of an app's actions, as the compiler of TypeScript takes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.described import CHUNKS, Color, Point, Prompt, Token, Tree, User, routes_of
from tests.nodejs import MODULES, node
from trio_streamact import Stream, StreamActions
from trio_streamact._codegen.assets import own_modules
from trio_streamact._codegen.cli import references
from trio_streamact._protocol.encoding import encode_chunk

pytestmark = pytest.mark.node

USAGE = """
import { createStreamAction } from "./streamact.js";
import { aiChat, item, nothing, anything, tree } from "./actions.js";

const chat = createStreamAction(aiChat, { onChunk: (chunk) => chunk.text.toUpperCase() });
chat.execute({ prompt: "x" });
chat.execute({ prompt: "x", temperature: 1 });
const text: string | undefined = chat.data?.text;
const method: "POST" = aiChat.method;
// @ts-expect-error
chat.execute();
// @ts-expect-error
chat.execute({ temperature: 1 });
// @ts-expect-error
chat.execute({ prompt: "x", temperature: "hot" });
// @ts-expect-error
chat.data?.words;
// @ts-expect-error
aiChat.path = "/other";

createStreamAction(nothing).execute();
// @ts-expect-error
createStreamAction(nothing).execute({ prompt: "x" });

createStreamAction(item).execute({ id: 7, color: "red" });
// @ts-expect-error
createStreamAction(item).execute({ color: "red" });
// @ts-expect-error
createStreamAction(item).execute({ id: 7, color: "blue" });

createStreamAction(anything).execute();
createStreamAction(anything).execute([{}]);

createStreamAction(tree).execute({ value: 1, children: [{ value: 2 }] });
const deep: number | undefined = createStreamAction(tree).data?.children[0].children[0].value;
// @ts-expect-error
createStreamAction(tree).execute({ value: 1, children: [{}] });
"""


@attrs.define
class Coloured:
    color: Color = Color.RED


def usual_actions() -> StreamActions:
    actions = StreamActions()

    @actions.post("/ai-chat")
    async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
        """Chat */ with the model."""

    @actions.get("/items/<int:id>")
    async def item(input: Coloured, stream: Stream[User | Point | None]) -> None: ...

    @actions.post("/nothing")
    async def nothing(stream: Stream[int]) -> None: ...

    @actions.post("/anything")
    async def anything(input: Any, stream: Stream[Any]) -> None: ...

    @actions.post("/tree")
    async def tree(input: Tree[int], stream: Stream[Tree[int]]) -> None: ...

    return actions


def compiled(folder: Path, compiler: str, program: str, actions: StreamActions) -> str:
    """Have *program* compiled in *folder*, beside what is written for *actions*; give what the compiler says."""
    executable = node()
    for name, text in {**own_modules(), **references(routes_of(actions))}.items():
        (folder / name).write_text(text)
    (folder / "program.ts").write_text(program)
    options = ["--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"]
    done = subprocess.run(
        [executable, MODULES / compiler / "bin" / "tsc", *options, "program.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("compiler", ["typescript", "typescript-5"])
def test_inputs_and_chunks_are_checked_where_an_action_is_used(tmp_path: Path, compiler: str) -> None:
    assert compiled(tmp_path, compiler, USAGE, usual_actions()) == ""


def register(actions: StreamActions, name: str, chunk: Any) -> None:
    async def handler(stream: Any) -> None: ...

    handler.__name__ = name
    handler.__annotations__["stream"] = Stream[chunk]
    actions.post(f"/{name}")(handler)


@pytest.mark.parametrize("compiler", ["typescript", "typescript-5"])
def test_real_chunks_are_of_the_types_that_are_declared(tmp_path: Path, compiler: str) -> None:
    actions, lines = StreamActions(), []
    for number, (declared, chunk, wrong) in enumerate(CHUNKS):
        register(actions, f"it{number}", declared)
        lines.append(f'import {{ it{number} }} from "./actions.js";')
        lines.append(f'type Chunk{number} = NonNullable<(typeof it{number})["__types"]>["chunk"];')
        sent = encode_chunk(chunk).decode().removeprefix("data: ").strip()
        lines.append(f"export const good{number}: Chunk{number} = {sent};")
        lines += ["// @ts-expect-error", f"export const bad{number}: Chunk{number} = {json.dumps(wrong)};"]

    assert compiled(tmp_path, compiler, "\n".join(lines), actions) == ""
