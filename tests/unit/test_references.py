"""What clients read of the registered actions: names, paths and types."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal
from uuid import UUID

import attrs
import pydantic
import pytest
from quart_trio import QuartTrio

from tests.described import (
    Both,
    Checked,
    Color,
    Json,
    LateOptions,
    Listed,
    Message,
    Names,
    Odd,
    Options,
    Page,
    Pair,
    Point,
    Prompt,
    Renamed,
    Row,
    Size,
    Sparse,
    T,
    Token,
    Tree,
    Unresolvable,
    User,
    UserId,
    Wrapped,
    action_of,
    declarations,
    routes_of,
    type_in_typescript,
)
from tests.ids import shown
from trio_streamact import Stream, StreamActions, define_stream_action
from trio_streamact._codegen import NameCollisionError, describe, javascript, typescript
from trio_streamact._codegen.definitions import Definition, name_all
from trio_streamact._codegen.names import camel_case, exports
from trio_streamact.extension import routes_of as routes_of_app

# Names


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("chat", "chat"),
        ("ai_chat", "aiChat"),
        ("aiChat", "aiChat"),
        ("_ai__chat_", "aiChat"),
        ("AIChat", "aiChat"),
        ("Chat", "chat"),
        ("HTTP", "http"),
        ("get_HTTP_status", "getHTTPStatus"),
        ("step_2", "step2"),
        ("_2fa", "_2fa"),
        ("delete", "delete_"),
        ("class_", "class_"),
        ("await", "await_"),
        ("default", "default_"),
        ("größe_der_datei", "größeDerDatei"),
        ("made-up name", "madeUpName"),
        ("_", "_"),
    ],
)
def test_a_handler_is_named_as_javascript_names_things(name: str, written: str) -> None:
    assert camel_case(name) == written


def test_two_actions_of_one_name_are_an_error_that_names_both() -> None:
    actions = StreamActions()

    @actions.post("/one")
    async def ai_chat(stream: Stream[int]) -> None: ...

    async def aiChat(stream: Stream[int]) -> None: ...  # noqa: N802 - the point

    with pytest.raises(NameCollisionError, match="set the option name= of one of them") as raised:
        actions.get("/two/<int:id>")(aiChat)
    assert f"ai_chat (POST /api/_actions/one, {__file__}:" in str(raised.value)
    assert f"aiChat (GET /api/_actions/two/<int:id>, {__file__}:" in str(raised.value)
    assert raised.value.name == "aiChat"
    assert isinstance(raised.value, ValueError)
    assert list(exports(routes_of(actions))) == ["aiChat"], "it was not registered"

    actions.get("/two/<int:id>", name="answers")(aiChat)
    assert list(exports(routes_of(actions))) == ["aiChat", "answers"]


def test_each_extension_is_a_namespace_of_its_own() -> None:
    app = QuartTrio(__name__)
    for prefix in ("/api/v1", "/api/v2"):

        @StreamActions(app, url_prefix=prefix).post("/orders")
        async def orders(stream: Stream[int]) -> None: ...

    named = exports(routes_of_app(app))
    assert {name: route.path for name, route in named.items()} == {
        "orders": "/api/v1/orders",
        "apiV2Orders": "/api/v2/orders",
    }
    assert describe(routes_of_app(app)).actions[1].export == "apiV2Orders"


def test_one_action_at_several_paths_is_numbered() -> None:
    actions = StreamActions()

    async def chat(stream: Stream[int]) -> None: ...

    view = define_stream_action(chat)
    actions.post("/one")(view)
    actions.post("/two")(chat)
    actions.get("/two")(view)

    found = [line.split()[2] for line in javascript(routes_of(actions)).splitlines() if line.startswith("export")]
    assert found == ["chat", "chat2", "chat3"]


def test_a_method_and_an_object_are_one_action_wherever_they_stand() -> None:
    @attrs.define  # with an __eq__, and so without a hash
    class Chat:
        async def __call__(self, stream: Stream[int]) -> None: ...

        async def talk(self, stream: Stream[int]) -> None: ...

    actions, chat = StreamActions(), Chat()
    for path in ("/one", "/two"):
        actions.post(path)(chat)
        actions.post(f"{path}/talk")(chat.talk)

    found = [line.split()[2] for line in javascript(routes_of(actions)).splitlines() if line.startswith("export")]
    assert found == ["chat", "talk", "chat2", "talk2"]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/plain", "/plain"),
        ("/<id>/x/<int:n>", "/{id}/x/{n}"),
        ("/<any('a b',\"c\"):kind>-<path:rest>", "/{kind}-{rest}"),
        ("/<string(length=2):two>", "/{two}"),
        ("/gr\u00fc\u00df dich?{no}#%", "/gr%C3%BC%C3%9F%20dich%3F%7Bno%7D%23%25"),
        ("/a:b@c", "/a:b@c"),
    ],
)
def test_a_path_is_written_as_clients_fill_it(path: str, template: str) -> None:
    actions = StreamActions(url_prefix="")
    actions.post(path)(lambda_of())

    assert routes_of(actions)[0].template == template


def lambda_of() -> Any:
    async def it(stream: Stream[int]) -> None: ...

    return it


@pytest.mark.parametrize(
    ("methods", "first"),
    [
        (["GET", "POST"], "POST"),
        (["GET", "PATCH", "PUT"], "PUT"),
        (["GET"], "GET"),
        (["HEAD", "GET"], "GET"),
        (["HEAD"], "HEAD"),
    ],
)
def test_a_reference_has_a_method_whose_body_can_hold_any_input(methods: list[str], first: str) -> None:
    actions = StreamActions()
    actions.route("/it", methods=methods)(lambda_of())

    assert f'method: "{first}"' in javascript(routes_of(actions))
    assert f'readonly method: "{first}";' in declarations(actions)


def test_a_reference_says_where_the_app_is_mounted() -> None:
    assert 'path: "/below/api/_actions/it"' in javascript(routes_of(action_of()), "/below")


# Whole modules

ACTIONS_JS = """\
// Generated by trio-streamact from the stream actions of the app. Do not edit.

export const aiChat = Object.freeze({ name: "ai_chat", path: "/api/_actions/ai-chat", method: "POST" });
export const item = Object.freeze({ name: "item", path: "/api/_actions/items/{id}", method: "GET" });
"""

ACTIONS_D_TS = """\
// Generated by trio-streamact from the stream actions of the app. Do not edit.

/** What a thing looks like. */
export type Color = "red" | "green";

/** What the model is asked. */
export interface Prompt {
  prompt: string;
  temperature?: number;
}

export interface Token {
  text: string;
}

/**
 * Chat with the model.
 *
 *     as you like *\\/
 */
export declare const aiChat: {
  readonly name: "ai_chat";
  readonly path: string;
  readonly method: "POST";
  readonly __types?: { input: Prompt; chunk: Token };
};

export declare const item: {
  readonly name: "item";
  readonly path: string;
  readonly method: "GET";
  readonly __types?: { input: { id: number }; chunk: Color | null };
};
"""


def small_actions() -> StreamActions:
    actions = StreamActions()

    @actions.post("/ai-chat")
    async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
        """
        Chat with the model.

            as you like */
        """

    @actions.get("/items/<int:id>")
    async def item(stream: Stream[Color | None]) -> None: ...

    return actions


def test_a_module_for_pages_and_one_for_compilers_are_written() -> None:
    routes = routes_of(small_actions())

    assert javascript(routes) == ACTIONS_JS
    assert typescript(describe(routes)) == ACTIONS_D_TS


def test_without_actions_there_still_are_modules() -> None:
    assert javascript([]).splitlines()[-1] == "export {};"
    assert typescript(describe([])).splitlines()[-1] == "export {};"


def test_declarations_can_be_had_without_what_was_written_for_colleagues() -> None:
    written = typescript(describe(routes_of(small_actions())), with_docs=False)

    assert "/*" not in written
    assert "aiChat" in written


def test_what_is_in_a_name_or_a_docstring_cannot_break_out() -> None:
    actions = StreamActions()

    async def it(stream: Stream[Literal['"\\\n\u2028\ud800`${x}', "</script>"]]) -> None: ...

    it.__doc__ = "*/ alert(1) /* \ud800"
    it.__name__ = 'it"'
    actions.post("/it")(it)
    description = describe(routes_of(actions))
    for written in (typescript(description), javascript(routes_of(actions))):
        written.replace("\ud800", "?").encode()
    assert r"""chunk: "\"\\\n\u2028\ud800`${x}" | "</script>" };""" in typescript(description)
    assert typescript(description).count("*/") == 1
    assert r'name: "it\""' in javascript(routes_of(actions))


def test_the_same_actions_are_always_written_the_same() -> None:
    program = (
        "from tests.described import *;"
        "d = describe(routes_of(action_of(input=Both[Point], chunk=User | Message | Both[Pair] | Page[int])));"
        "print(typescript(d), openapi(d, 't'))"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(written) == 1


# Types


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        (str, "string"),
        (int, "number"),
        (bool, "boolean"),
        (None, "null"),
        (Any, "unknown"),
        (object, "unknown"),
        (complex, "unknown"),
        (datetime, "string"),
        (time, "string"),
        (UUID, "string"),
        (Decimal, "string"),
        (bytes, "string"),
        (Path, "string"),
        (UserId, "number"),
        (Annotated[int, "positive"], "number"),
        (T, "unknown"),
        (int | float, "number"),
        (int | str | None, "number | string | null"),
        (int | Any, "unknown"),
        (Literal["a", 1, True, 2**60], '"a" | 1 | true | number'),
        (Literal[Color.RED], '"red"'),
        (list[int], "number[]"),
        (list[int | None], "(number | null)[]"),
        (list[list[int]], "number[][]"),
        (list, "unknown[]"),
        (set[str], "string[]"),
        (Sequence[str], "string[]"),
        (tuple[int, str | None], "[number, (string | null)]"),
        (tuple[int, ...], "number[]"),
        (tuple[()], "[]"),
        (tuple, "unknown[]"),
        (dict[str, int], "{ [key: string]: number }"),
        (dict[int, list[int]], "{ [key: string]: number[] }"),
        (dict, "{ [key: string]: unknown }"),
        (Mapping[str, Any], "{ [key: string]: unknown }"),
        (dict[Color, int], '{ [key in "red" | "green"]?: number }'),
        (dict[Literal[1, 2], int], '{ [key in "1" | "2"]?: number }'),
        (dict[str, int] | list[dict[str, int]], "{ [key: string]: number } | { [key: string]: number }[]"),
        (Color, "Color"),
        (list[Token], "Token[]"),
        (Tree[int], "TreeInt"),
        (Tree[list[Token]], "TreeListToken"),
        (Page[User], "PageUser"),
        (Wrapped[int], "WrappedInt"),
        (Json, "Json"),
        (pydantic.TypeAdapter(list[int]), "unknown"),  # no type of values
    ],
    ids=shown,
)
def test_a_chunk_of_each_type_has_its_type_in_typescript(declared: Any, written: str) -> None:
    assert type_in_typescript(chunk=declared) == written


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        (Any, "void"),
        (pydantic.TypeAdapter(list[int]), "number[]"),
        (dict[str, Token], "{ [key: string]: Token }"),
        (Prompt | None, "Prompt | null"),
        (int | str, "number | string"),
    ],
    ids=shown,
)
def test_an_input_of_each_type_has_its_type_in_typescript(declared: Any, written: str) -> None:
    assert type_in_typescript(input=declared) == written


class Validating:
    """Anything with ``validate`` can be an input, and says nothing of what it takes."""

    def validate(self, raw: object) -> object:
        return raw


@pytest.mark.parametrize(
    ("parameters", "written"),
    [("stream", "void"), ("input, stream", "unknown"), ("request, ctx, metadata, stream", "void")],
)
def test_what_the_handler_asks_for_says_whether_there_is_an_input(parameters: str, written: str) -> None:
    names: dict[str, Any] = {}
    exec(f"async def it({parameters}): ...", names)
    actions = StreamActions()
    actions.post("/it")(names["it"])

    assert f"{{ input: {written}; chunk: unknown }}" in declarations(actions)


def test_an_input_that_only_middleware_looks_at_is_one() -> None:
    async def look(input: object) -> None: ...

    actions = StreamActions()
    actions.post("/it", middleware=[look])(lambda_of())
    assert "{ input: unknown; " in declarations(actions)
    assert type_in_typescript(input=Validating()) == "unknown"


def definition_in(written: str, name: str) -> str:
    """Cut the declaration of *name* out of a module."""
    for declaration in written.split("\n\n"):
        if f"export interface {name} {{" in declaration or f"export type {name} =" in declaration:
            return declaration[declaration.index("export") :]
    raise AssertionError(f"{name} is not declared in {written}")


@pytest.mark.parametrize(
    ("declared", "name", "chunk", "input"),
    [
        (Point, "Point", "x: number;\n  y: number;", "x: number;\n  y?: number;"),
        (Options, "Options", "a: number;\n  b?: string;", None),
        (LateOptions, "LateOptions", "a: number;\n  b?: string;", None),
        (
            Tree[int],
            "TreeInt",
            "value: number;\n  children: TreeInt[];",
            "value: number;\n  children?: TreeIntInput[];",
        ),
        (
            Names,
            "Names",
            "value: string[];\n  children: TreeListStr[];\n  extra: number | null;",
            "value: string[];\n  children?: TreeListStrInput[];\n  extra?: number | null;",
        ),
        (
            Both[str],
            "BothStr",
            "tree: TreeStr;\n  other: TreeInt;",
            "tree: TreeStrInput;\n  other: TreeIntInput;",
        ),
        (Listed[str], "ListedStr", "key: string[];\n  one: string;", None),
        (
            Renamed,
            "Renamed",
            "plain: number;\n  else: number;\n  _private: number;",
            "plain: number;\n  else?: number;\n  _private?: number;",
        ),
        (
            User,
            "User",
            "/** Who it is. */\n  id: number;\n  fullName: string;\n  friends: User[];\n  initial: string;",
            "/** Who it is. */\n  id: number;\n  fullName?: string;\n  friends?: UserInput[];",
        ),
        (Checked, "Checked", "x: number;", "x?: number;"),
        (
            Message,
            "Message",
            'type: "message";\n  someText: string;\n  maybe?: number;\n  count: number;',
            'type: "message";\n  someText: string;\n  maybe?: number;\n  count?: number;',
        ),
        (Sparse, "Sparse", "x?: number;", None),
    ],
)
def test_fields_with_defaults_are_always_in_chunks_and_may_be_left_out_of_inputs(
    declared: Any, name: str, chunk: str, input: str | None
) -> None:
    written = declarations(action_of(input=declared, chunk=declared))

    assert definition_in(written, name) == f"export interface {name} {{\n  {chunk}\n}}"
    if input is None:  # the same: no second type is written
        assert f"{name}Input" not in written
    else:
        assert definition_in(written, f"{name}Input") == f"export interface {name}Input {{\n  {input}\n}}"
        alone = declarations(action_of(input=declared))
        assert definition_in(alone, name) == f"export interface {name} {{\n  {input}\n}}".replace("Input", "")


@pytest.mark.parametrize(
    ("declared", "name", "written"),
    [
        (Pair, "Pair", "[left: number, right: Color]"),
        (Row, "Row", "[number, string]"),
        (Size, "Size", "1 | 2"),
        (Odd, "Odd", '[1, 2] | "2020-01-01" | "named"'),
        (Json, "Json", "{ [key: string]: Json } | Json[] | string | number | boolean | null"),
    ],
)
def test_what_is_no_object_gets_a_name_all_the_same(declared: Any, name: str, written: str) -> None:
    assert definition_in(declarations(action_of(chunk=declared)), name) == f"export type {name} = {written};"


def test_a_type_that_cannot_be_found_is_unknown_and_the_rest_is_not() -> None:
    written = definition_in(declarations(action_of(chunk=Unresolvable)), "Unresolvable")

    assert "  known: number;\n  unknown: unknown;\n" in written


def test_a_chunk_type_that_is_written_as_text_is_found() -> None:
    actions = StreamActions()

    @actions.post("/it")
    async def it(stream: Stream[list["Token"]]) -> None: ...  # noqa: UP037 - the point

    assert "chunk: Token[] }" in declarations(actions)


def test_long_unions_have_a_line_for_each_choice() -> None:
    many = enum.Enum("many", {f"A{n}": f"value number {n}" for n in range(9)})  # type: ignore[misc]

    assert '\nexport type many =\n  | "value number 0"\n  | "value number 1"' in declarations(action_of(chunk=many))


# Names of types


def tuple_of(*types: Any) -> Any:
    return GenericAlias(tuple, types)


def module_with(name: str, **members: Any) -> Any:
    return type(name, (), {"__module__": members.pop("module"), "__annotations__": members})


def test_classes_of_one_name_are_told_apart_by_where_they_come_from() -> None:
    one = attrs.define(module_with("Token", module="shop.chat", text=str))
    other = attrs.define(module_with("Token", module="shop.search_index", hit=int))
    for order in ([one, other], [other, one]):
        written = declarations(action_of(chunk=tuple_of(*order)))
        assert "interface ChatToken {\n  text" in written
        assert "interface SearchIndexToken {\n  hit" in written
        assert "interface Token" not in written


def test_classes_that_nothing_tells_apart_are_numbered() -> None:
    def made(kind: type) -> type:
        return attrs.make_class("Made", {"x": attrs.field(type=kind)})

    written = declarations(action_of(chunk=tuple_of(made(int), made(str))))
    assert "chunk: [Made, Made2]" in written


def test_classes_in_functions_are_told_apart_by_the_functions() -> None:
    def one() -> Any:
        @attrs.define
        class Local:
            x: int

        return Local

    def two() -> Any:
        @attrs.define
        class Local:
            y: int

        return Local

    assert type_in_typescript(chunk=one() | two()) == "OneLocal | TwoLocal"


def test_a_model_of_pydantic_and_a_class_of_one_name_are_told_apart() -> None:
    mine = attrs.define(module_with("User", module="shop.people", x=int))
    written = declarations(action_of(chunk=tuple_of(mine, User, list[User])))

    assert "chunk: [PeopleUser, User, User[]]" in written


@pytest.mark.parametrize("name", ["string", "unknown", "class", "ActionError"])
def test_a_class_may_have_a_name_that_is_taken(name: str) -> None:
    mine = attrs.define(module_with(name, module="shop", x=int))

    assert type_in_typescript(chunk=mine) == ("ShopActionError" if name == "ActionError" else f"{name}_")


def test_a_class_may_have_the_name_that_the_input_of_another_would_get() -> None:
    mine = attrs.define(module_with("PromptInput", module=__name__, x=int))
    written = declarations(action_of(input=Prompt, chunk=Prompt | mine))

    assert definition_in(written, "PromptInput") == "export interface PromptInput {\n  x: number;\n}"
    assert "input: DescribedPromptInput;" in written


def test_every_definition_has_a_name_of_its_own() -> None:
    definitions = [Definition(tuple(origin), "chunk") for origin in ("ab", "b", "b", "cb", "dcb", "B2", "2")]
    name_all(definitions, set(definitions[1:2]), ["B"])

    assert len({definition.name for definition in definitions} | {"B"}) == len(definitions) + 1


# Variables of the path


@pytest.mark.parametrize(
    ("path", "declared", "written"),
    [
        ("/<int:id>", None, "{ id: number }"),
        ("/<float:id>", None, "{ id: number }"),
        ("/<uuid:id>/<path:rest>", None, "{ id: string; rest: string }"),
        ("/<any(a, 'b'):id>", None, '{ id: "a" | "b" }'),
        ("/<int:a>", Options, "Options"),
        ("/<b>", Options, "Options & { b: string }"),
        ("/<y>", Point, "Point & { y: number }"),
        ("/<int:z>", Token | Point, "(Token | Point) & { z: number }"),
        ("/<id>", dict[str, int], "{ [key: string]: number } & { id: string }"),
    ],
)
def test_the_variables_of_a_path_are_part_of_the_input(path: str, declared: Any, written: str) -> None:
    actions = StreamActions()
    actions.post(path)(define_stream_action(lambda_of(), input=declared))

    assert f"{{ input: {written}; chunk: number }}" in declarations(actions)


def test_the_variables_of_a_path_stand_beside_an_unknown_input() -> None:
    actions = StreamActions()

    @actions.post("/<int:id>")
    async def it(input: Any, stream: Stream[int]) -> None: ...

    assert "{ input: { id: number; [key: string]: unknown }; chunk: number }" in declarations(actions)
