"""Actions as OpenAPI describes them, against what really is taken and sent."""

from __future__ import annotations

import json
from typing import Any, Literal

import attrs
import pydantic
import pytest
import trio.testing
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV32SpecValidator
from quart_trio import QuartTrio

from tests.described import (
    CHUNKS,
    Both,
    Checked,
    Color,
    Json,
    LateOptions,
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
    Token,
    Tree,
    User,
    UserId,
    Wrapped,
    action_of,
    validator,
)
from tests.ids import shown
from trio_streamact import ActionError, InvalidInput, Stream, StreamActions
from trio_streamact._inputs import input_schema
from trio_streamact._protocol.decoding import EventDecoder
from trio_streamact._protocol.encoding import Dialect, encode_chunk
from trio_streamact.testing import open_stream

# JSON Schema against what really is on the wire


@pytest.mark.parametrize(("declared", "chunk", "wrong"), CHUNKS, ids=shown)
def test_an_encoded_chunk_is_what_its_schema_says(declared: Any, chunk: Any, wrong: Any) -> None:
    schema = validator(chunk=declared)

    schema.validate(json.loads(encode_chunk(chunk).removeprefix(b"data: ")))
    assert not schema.is_valid(wrong)


RAW: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        1.5,
        "",
        "1",
        "true",
        "red",
        "named",
        "2020-01-01",
        "a",
        [],
        [1],
        [1, "a"],
        [1, "red"],
        [1, "red", 2],
        [1, 2],
        ["x"],
        {},
    ),
    *({"a": 1}, {"a": "1"}, {"a": 1, "b": 1}, {"x": 1}, {"x": 1, "y": 2}, {"x": "1"}, {"red": 1}, {"1": 1}),
    *({"plain": 1}, {"plain": 1, "else": "x"}, {"plain": 1, "_private": "x"}, {"plain": 1, "hidden": "x"}),
    *({"value": 1}, {"value": 1, "children": [{"value": 2}]}, {"value": 1, "children": [{}]}, {"value": ["a"]}),
    *(
        {"id": 1},
        {"id": 1, "fullName": 1},
        {"id": 1, "name": 1},
        {"items": [1]},
        {"items": ["1"]},
        {"it": {"text": ""}},
    ),
    *(
        {"type": "message", "someText": ""},
        {"type": "no", "someText": ""},
        {"type": "message", "someText": "", "count": ""},
    ),
]


@pytest.mark.parametrize(
    "declared",
    [
        *(
            str,
            int,
            float,
            bool,
            list[int],
            dict[str, int],
            dict[int, int],
            dict[Color, int],
            set[int],
            tuple[int, str],
        ),
        *(tuple[int, ...], Color, Size, Literal["a", 1, True], int | None, int | str | list[int]),
        *(Prompt, Point, Options, LateOptions, Pair, Tree[int], Tree[str], Names, Renamed, User, Page[int], Checked),
        *(Wrapped[Token], Odd, Sparse, pydantic.TypeAdapter(list[int]), UserId, Token | None, list[Token]),
    ],
    ids=shown,
)
def test_the_schema_of_an_input_takes_what_the_action_takes(declared: Any) -> None:
    described, taken = validator(input=declared), input_schema(declared)
    for raw in RAW:
        try:
            taken(raw)
            accepted = True
        except InvalidInput:
            accepted = False
        assert described.is_valid(raw) == accepted, raw


# The document


def operation_of(actions: StreamActions, path: str, method: str = "post") -> dict[str, Any]:
    document = actions.openapi()
    OpenAPIV32SpecValidator(document).validate()
    assert json.loads(json.dumps(document)) == document
    operation: dict[str, Any] = document["paths"][f"/api/_actions{path}"][method]
    return operation


def test_an_action_is_described_by_its_input_its_chunks_and_its_docstring() -> None:
    actions = StreamActions()

    @actions.post("/ai-chat")
    async def ai_chat(input: Prompt, stream: Stream[Token]) -> None:
        """Chat with the model.

        As long as you like.
        """

    operation = operation_of(actions, "/ai-chat")
    assert operation["operationId"] == "aiChat"
    assert operation["summary"] == "Chat with the model."
    assert operation["description"] == "As long as you like."
    assert operation["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Prompt"}}},
    }
    assert actions.openapi()["components"]["schemas"]["Prompt"] == {
        "description": "What the model is asked.",
        "type": "object",
        "properties": {"prompt": {"type": "string"}, "temperature": {"type": "number"}},
        "required": ["prompt"],
    }
    events = operation["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]["anyOf"]
    assert events[0]["properties"]["data"] == {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/Token"},
    }


def test_a_document_of_everything_is_valid() -> None:
    actions = StreamActions()

    @actions.route("/everything", methods=["GET", "POST", "PURGE"])
    async def everything(
        input: Both[Point], stream: Stream[User | Message | Both[Pair] | Page[Json] | dict[Color, Row]]
    ) -> None: ...

    @actions.put("/everything")
    async def nothing(stream: Any) -> None: ...

    operation_of(actions, "/everything")
    path = actions.openapi()["paths"]["/api/_actions/everything"]
    assert set(path) == {"get", "post", "put", "additionalOperations"}
    assert path["post"]["operationId"] == "everything"
    assert path["get"]["operationId"] == "everythingGet"
    assert path["additionalOperations"]["PURGE"]["operationId"] == "everythingPurge"
    assert "requestBody" not in path["put"]


def test_names_of_components_are_ascii() -> None:
    document = action_of(chunk=attrs.make_class("Größe", ["x"])).openapi()

    assert set(document["components"]["schemas"]) == {"ActionError", "Gruf6udfe"}


def test_what_the_path_says_is_not_asked_for_in_the_body() -> None:
    actions = StreamActions()

    @actions.post("/points/<float:x>")
    async def point(input: Point, stream: Stream[int]) -> None: ...

    @actions.post("/tokens/<text>")
    async def token(input: Token, stream: Stream[int]) -> None: ...

    operation = operation_of(actions, "/points/{x}")
    assert operation["parameters"] == [{"name": "x", "in": "path", "required": True, "schema": {"type": "number"}}]
    body = operation["requestBody"]
    assert body["required"] is False
    assert body["content"]["application/json"]["schema"] == {
        "type": "object",
        "properties": {"y": {"type": "number"}},
        "required": [],
    }
    assert "requestBody" not in operation_of(actions, "/tokens/{text}")


def test_the_input_of_a_get_is_its_query() -> None:
    actions = StreamActions()

    @actions.get("/tree")
    async def tree(input: Both[int], stream: Stream[int]) -> None: ...

    @actions.get("/prompt")
    async def prompt(input: Prompt, stream: Stream[int]) -> None: ...

    @actions.get("/any")
    async def any_(input: Any, stream: Stream[int]) -> None: ...

    operation = operation_of(actions, "/prompt", "get")
    assert "requestBody" not in operation
    assert operation["parameters"] == [
        {"name": "prompt", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "temperature", "in": "query", "required": False, "schema": {"type": "number"}},
    ]
    # As JSON text, which is how our clients write an object in a query.
    (first, _) = operation_of(actions, "/tree", "get")["parameters"]
    assert first["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/TreeInt"}}}
    (whole,) = operation_of(actions, "/any", "get")["parameters"]
    assert whole["in"] == "querystring"


@pytest.mark.parametrize("dialect", ["marked", "named"])
async def test_every_event_of_a_real_stream_is_described(
    autojump_clock: trio.testing.MockClock, dialect: Dialect
) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, dialect=dialect)

    @actions.post("/it")
    async def it(input: dict[str, bool], stream: Stream[Token]) -> None:
        await stream.send(Token("a"))
        if input["fail"]:
            raise ActionError("NO", "No", 418, {"x": ["y"]}, retry_after_s=1)

    document = actions.openapi()
    kinds = operation_of(actions, "/it")["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]["anyOf"]
    found = []
    for fail in (True, False):
        async with open_stream(app, "/api/_actions/it", json={"fail": fail}) as stream:
            while await stream.next_bytes():
                pass
        for event in EventDecoder().feed(stream.body):
            fields = {"data": event.data} | ({"event": event.type} if event.type != "message" else {})
            found.append([number for number, kind in enumerate(kinds) if describes(kind, fields, document)])
    chunk, done, error = [0], [1], [2]
    assert found == [chunk, error, chunk, done]


def describes(kind: dict[str, Any], fields: dict[str, str], document: dict[str, Any]) -> bool:
    """Whether *kind* is the schema of an event with *fields*, what its data holds included."""
    components = {"components": document["components"]}
    content = kind["properties"]["data"].get("contentSchema")
    return Draft202012Validator({**kind, **components}).is_valid(fields) and (
        content is None or Draft202012Validator({**content, **components}).is_valid(json.loads(fields["data"]))
    )
