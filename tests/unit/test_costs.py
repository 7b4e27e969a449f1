"""What an input may cost: names, levels and values are bounded before anything validates them, in linear time."""

from __future__ import annotations

import json
import time
import tracemalloc
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import msgspec
import pydantic
import pytest
import trio
import trio.testing
from attrs import define, field
from quart import request
from quart_trio import QuartTrio

from trio_streamact import ActionError, InvalidInput, Limits, Stream, StreamActions
from trio_streamact._inputs import Bounds, check_json, input_schema
from trio_streamact._inputs.costs import COMPARISONS_PER_BYTE, HASHED_ITEMS, check_value, hashes_numbers
from trio_streamact.testing import open_stream

PREFIX = "/api/_actions"
BOUNDS = Bounds(values=10_000, depth=64, name_chars=256)
REPORT_BYTES = 16 * 1024


@define
class Order:
    pairs: dict[str, list[int]] = field(factory=dict)
    ids: frozenset[uuid.UUID] = frozenset()


class Model(pydantic.BaseModel):
    pairs: dict[str, list[int]] = {}


class Nested(pydantic.BaseModel):
    inner: list[Model] = []
    prices: set[Decimal] = set()


class Struct(msgspec.Struct):
    pairs: dict[str, list[int]] = {}


class Named(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        if not self.name.isalnum():
            raise ValueError(f"{self.name!r} is no name")


@define
class Node:
    children: dict[str, Node] = field(factory=dict)
    value: int = 0


class Colour(Enum):
    RED = 1


# Before it is parsed


def message_of(check: Callable[[], object]) -> str | None:
    try:
        check()
    except InvalidInput as error:
        ((message,),) = error.field_errors.values()
        return message
    return None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" + b"1," * 9_998 + b"1]", None),
        (b"[" + b"1," * 10_000 + b"1]", "More than 10000 values"),
        (b"[" + b"[]," * 5_000 + b"1]", "More than 10000 values"),
        (b'{"a":' * 64 + b"1" + b"}" * 64, None),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "Nested deeper than 64 levels"),
        (b"[" * 2_000, None),  # no JSON, as the parser says
        (json.dumps("a, b, [c], {d}" * 100_000).encode(), None),
        (json.dumps({"text": '"[,' * 100_000}).encode(), None),
        (json.dumps({"text": "\\\\" * 9 + '"'}).encode() + b"," * 10_001, "More than 10000 values"),
        (b'"' + b"[" * 100 + b"," * 20_000, None),  # a string without an end
        (b"[" + b"[]," * 10_000 + b"[" * 2_000, "More than 10000 values"),  # which the parser makes before it gives up
        (b'"' + b"[" * 100 + b"," * 20_000 + b"\\", None),
    ],
)
def test_brackets_and_commas_are_counted_outside_of_strings(text: bytes, message: str | None) -> None:
    assert message_of(lambda: check_json(text, BOUNDS)) == message


# Before it is validated


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"k" * 256: 1}, None),
        ({"k" * 257: 1}, "A member name is longer than 256 characters"),
        ([{"a": [{"k" * 257: 1}]}], "A member name is longer than 256 characters"),
        ([0] * 9_999, None),
        ([0] * 10_000, "More than 10000 values"),
        ([[0] * 99] * 101, "More than 10000 values"),
        ([0] * (HASHED_ITEMS + 1), None),
    ],
)
def test_names_and_values_are_bounded(value: Any, message: str | None) -> None:
    assert message_of(lambda: check_value(value, 10**6, BOUNDS, hashes_numbers=False)) == message


def test_long_names_around_many_values_are_bounded_together() -> None:
    """Each error of a validation library has the whole path in it."""
    value: Any = [""] * 9_000
    for _ in range(30):
        value = {"k" * 200: value}
    size = len(json.dumps(value))
    assert message_of(lambda: check_value(value, size, BOUNDS, hashes_numbers=False)) == (
        "The member names are too long for this number of values"
    )


@pytest.mark.parametrize(
    ("declared", "hashes"),
    [
        (Order, True),
        (Model, False),
        (Nested, True),
        (Struct, False),
        (Node, False),
        (dict[int, str], True),
        (list[set[tuple[int, int]]], True),
        (set[str], False),
        (set[Colour], False),
        (frozenset[Literal[1, 2]], False),
        (dict[str, set[float] | None], True),
        (set, True),
        (pydantic.TypeAdapter(dict[uuid.UUID, int]), True),
        (Any, False),
    ],
)
def test_sets_and_mappings_whose_members_are_no_text_are_found(declared: Any, hashes: bool) -> None:
    assert hashes_numbers(declared) is hashes


def test_all_sets_of_an_input_together_are_bounded_by_its_size() -> None:
    ids = [str(uuid.UUID(int=1 + k * (2**61 - 1))) for k in range(HASHED_ITEMS)]
    schema = input_schema(dict[str, set[uuid.UUID]])
    few, many = ({str(n): ids for n in range(count)} for count in (2, 10))
    assert len(schema.bounded(few, 600_000 // COMPARISONS_PER_BYTE, BOUNDS)()) == 2
    assert message_of(lambda: schema.bounded(many, 40 * 10 * HASHED_ITEMS, BOUNDS)) == (
        "Too many items in all lists and objects together"
    )


def test_few_items_are_hashed_whose_hashes_a_client_can_choose() -> None:
    ids = [str(uuid.UUID(int=1 + k * (2**61 - 1))) for k in range(HASHED_ITEMS + 1)]
    schema = input_schema(Order)
    assert len(schema.bounded({"ids": ids[:-1]}, 40_000, BOUNDS)().ids) == HASHED_ITEMS
    assert (
        message_of(lambda: schema.bounded({"ids": ids}, 40_000, BOUNDS)) == "More than 500 items in one list or object"
    )


def test_all_json_in_the_texts_of_a_form_is_bounded_together() -> None:
    from trio_streamact._inputs import UntypedText

    text = UntypedText('{"a": [' + "1," * 3_000 + "1]}")
    schema = input_schema(dict[str, dict[str, list[int]]])
    assert len(schema.bounded(dict.fromkeys("abc", text), 20_000, BOUNDS)()) == 3
    assert message_of(lambda: schema.bounded(dict.fromkeys("abcd", text), 20_000, BOUNDS)) == "More than 10000 values"


def test_json_in_a_text_of_a_form_is_bounded_too() -> None:
    from trio_streamact._inputs import UntypedText

    text = UntypedText('{"a": [' + "1," * 10_000 + "1]}")
    assert message_of(lambda: input_schema(Order).bounded({"pairs": text}, len(text), BOUNDS)) == (
        "More than 10000 values"
    )


# In an app


def make_app(limits: Limits | None = None) -> QuartTrio:
    app = QuartTrio(__name__)
    actions = StreamActions(app, limits=limits or Limits())
    for declared in (Order, Model, Nested, Struct, Named, Node):

        async def handler(input: Any, stream: Stream[str]) -> None:
            await stream.send("ok")

        name = declared.__name__.lower()
        actions.post(f"/{name}", input=declared, name=name)(handler)

    @actions.post("/any")
    async def any_(input: Any, stream: Stream[str]) -> None:
        await stream.send("ok")

    return app


async def answer(app: QuartTrio, path: str, body: bytes, content_type: str = "application/json") -> bytes:
    headers = {"Content-Type": content_type}
    async with open_stream(app, f"{PREFIX}/{path}", data=body, headers=headers) as stream:
        while await stream.next_bytes():
            pass
        return stream.body


def long_keys(size: int) -> bytes:
    return json.dumps({"pairs": {"k" * 200: ["x"] * (size // 8)}}).encode()


def many_keys(size: int) -> bytes:
    return json.dumps({"pairs": {f"{n}{'k' * 240}": ["x"] for n in range(size // 256)}}).encode()


def wrong_values(size: int) -> bytes:
    return b'{"pairs":{"a":[' + b",".join([b'""'] * (size // 3)) + b"]}}"


def empty_objects(size: int) -> bytes:
    return b"[" + b",".join([b"{}"] * (size // 3)) + b"]"


def ones(size: int) -> bytes:
    return b"[" + b",".join([b"1"] * (size // 2)) + b"]"


def opened(size: int) -> bytes:
    return b"[" * size


def quotes(size: int) -> bytes:
    return b'{"name":"' + b" - at `$" * (size // 8) + b'"}'


def escapes(size: int) -> bytes:
    return b'"' + b'\\"' * (size // 2)


def controls(size: int) -> bytes:
    return json.dumps({"name": "\x01" * (size // 6)}).encode()


def colliding(size: int) -> bytes:
    return json.dumps({"ids": [str(uuid.UUID(int=1 + k * (2**61 - 1))) for k in range(size // 40)]}).encode()


def deep_names(size: int) -> bytes:
    value: Any = {"value": "x"}
    for _ in range(min(60, size // 250)):
        value = {"children": {"k" * 200: value}}
    return json.dumps(value).encode()


SHAPES = [
    long_keys, many_keys, wrong_values, empty_objects, ones, opened, quotes, escapes, controls, colliding, deep_names,
]  # fmt: skip
PATHS = ["order", "model", "nested", "struct", "named", "node", "any"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_said_of_an_input_has_a_bound_however_large_it_is(path: str, shape: Any) -> None:
    app = make_app()
    for size in (20_000, 900_000):
        body = await answer(app, path, shape(size))
        assert len(body) <= REPORT_BYTES
        assert body.count(b"__actions_") == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", PATHS)
async def test_what_an_input_costs_grows_with_its_size_and_no_faster(path: str, shape: Any) -> None:
    """Four times the size costs no more than about four times as much; a bound may make it less."""
    app = make_app()
    small, large = shape(200_000), shape(800_000)

    async def seconds(body: bytes) -> float:
        least = 1e9
        for _ in range(3):
            before = time.process_time()
            await answer(app, path, body)
            least = min(least, time.process_time() - before)
        return least

    await answer(app, path, small)
    assert await seconds(large) < 10 * (await seconds(small) + 0.002)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", PATHS)
async def test_an_input_takes_no_more_than_some_times_its_size(path: str, shape: Any) -> None:
    app, body = make_app(), shape(900_000)
    await answer(app, path, body[:1000])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await answer(app, path, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 20 * len(body)


URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
FORMS: dict[str, tuple[bytes, str]] = {
    "escapes": (b"a=" + b"%41" * 160_000, URLENCODED),
    "escapes and text": (b"a=" + b"%41xy" * 90_000, URLENCODED),
    "wrong escapes": (b"a=" + b"%" * 480_000, URLENCODED),
    "bytes that are no text": (b"a=" + b"%FF" * 160_000, URLENCODED),
    "a part": (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n--b--' % (b"x" * 480_000), MULTIPART),
    "parts": (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 900 + b"--b--", MULTIPART),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
async def test_a_form_takes_no_more_than_some_times_its_size(form: tuple[bytes, str]) -> None:
    app, (body, content_type) = make_app(), form
    await answer(app, "any", b"a=b", content_type)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await answer(app, "any", body, content_type)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 20 * len(body)


async def test_the_head_of_a_part_has_few_parameters() -> None:
    head = b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=utf-8''f%b\r\n\r\n%b\r\n--b--"
    app, many = make_app(), b';a=""' * 8
    error = await error_of(app, "any", data=head % (many, b"x"), headers={"Content-Type": MULTIPART})
    assert error.message == "Request body is too large"
    assert b"ok" in await answer(app, "any", head % (b"", many * 10), MULTIPART)


async def error_of(app: QuartTrio, path: str, **options: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        async with open_stream(app, f"{PREFIX}/{path}", **options) as stream:
            await stream.rest()
    return caught.value


async def test_each_bound_is_a_limit_of_the_app_and_of_the_action() -> None:
    own = Limits(input_bytes=100, input_values=5, input_depth=2, input_name_chars=3)
    app = make_app(own)
    for value, message in (
        ([1, 2, 3, 4, 5], "More than 5 values"),
        ([[[1]]], "Nested deeper than 2 levels"),
        ({"abcd": 1}, "A member name is longer than 3 characters"),
    ):
        error = await error_of(app, "any", json=value)
        assert error.field_errors == {"_root": [message]}
    too_large = await error_of(app, "any", json="x" * 100)
    assert (too_large.code, too_large.message) == ("PARSE_ERROR", "Request body is too large")

    @StreamActions(app, url_prefix="/large", limits=own).post("/it", limits=Limits(input_values=100_000))
    async def it(input: Any, stream: Stream[int]) -> None:
        await stream.send(len(input))

    async with open_stream(app, "/large/it", json=[1] * 50_000) as stream:
        assert await stream.rest() == [50_000]


@pytest.mark.parametrize("declared_length", [True, False])
async def test_a_body_beyond_its_bound_is_refused_with_and_without_its_length(declared_length: bool) -> None:
    app = make_app(Limits(input_bytes=1000))
    inner = app.asgi_app

    async def without_length(scope: Any, receive: Any, send: Any) -> None:
        headers: Any = [header for header in scope["headers"] if header[0].lower() != b"content-length"]
        bare: Any = {**scope, "headers": headers}
        await inner(bare, receive, send)

    if not declared_length:
        app.asgi_app = without_length  # type: ignore[method-assign]
    assert (await error_of(app, "any", json="x" * 1000)).message == "Request body is too large"
    assert (
        await answer(app, "any", json.dumps("x" * 900).encode()) == b'data: "ok"\n\ndata: {"__actions_done":true}\n\n'
    )


async def test_a_charset_that_is_not_known_is_refused_and_not_remembered() -> None:
    import encodings

    app = make_app()
    known = len(encodings._cache)  # of CPython
    for name in ("no-such-charset", "zlib", "idna", "x" * 10_000):
        error = await error_of(app, "any", data=b"{}", headers={"Content-Type": f"application/json; charset={name}"})
        assert error.message == "Unknown charset in Content-Type"
    assert len(encodings._cache) == known


async def test_nothing_of_a_body_is_left_when_the_handler_begins() -> None:
    app = QuartTrio(__name__)

    @StreamActions(app).route("/size", methods=["GET", "POST"])
    async def size(input: Any, stream: Stream[int]) -> None:
        await stream.send(len(await request.get_data()))

    for method in ("GET", "POST"):
        async with open_stream(app, f"{PREFIX}/size", method=method, data=b'"%b"' % (b"x" * 100_000)) as stream:
            assert await stream.rest() == [0]


async def test_fields_of_forms_obey_the_bounds_of_quart_s_own() -> None:
    app = make_app()
    app.config["MAX_FORM_MEMORY_SIZE"] = 1000
    urlencoded = "application/x-www-form-urlencoded"
    multipart = "multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n'
    head = b"--b\r\nContent-Disposition: form-data; name=x" + b';a=""' * 200_000 + b"\r\n\r\nv\r\n--b--\r\n"
    for body, content_type in (
        (b"a=" + b"%41" * 400, urlencoded),
        (part % (b"x" * 1001) + b"--b--\r\n", multipart),
        (part % (b"x" * 600) * 2 + b"--b--\r\n", multipart),
        (head, multipart),
    ):
        error = await error_of(app, "any", data=body, headers={"Content-Type": content_type})
        assert error.message == "Request body is too large"


async def test_an_upload_takes_a_place_before_it_is_there() -> None:
    app = make_app(Limits(streams_per_client=1))
    inner = app.asgi_app

    async def answered_without_a_body() -> None:
        async def never() -> Any:
            await trio.sleep_forever()

        async def note(message: Any) -> None: ...

        path = f"{PREFIX}/any"
        scope: Any = {
            "type": "http", "asgi": {}, "http_version": "1.1", "method": "POST", "scheme": "http", "root_path": "",
            "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [(b"content-length", b"9")],
            "client": ("<local>", 1), "server": None,
        }  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner, scope, never, note)
            await trio.testing.wait_all_tasks_blocked()
            assert (await error_of(app, "any", json=1)).code == "TOO_MANY_STREAMS"
            nursery.cancel_scope.cancel()
        assert b"ok" in await answer(app, "any", b"1")

    await answered_without_a_body()


async def test_files_of_a_form_without_a_length_are_bounded_too() -> None:
    app = make_app()
    app.config["MAX_CONTENT_LENGTH"] = 10_000
    inner = app.asgi_app

    async def without_length(scope: Any, receive: Any, send: Any) -> None:
        headers: Any = [header for header in scope["headers"] if header[0].lower() != b"content-length"]
        bare: Any = {**scope, "headers": headers}
        await inner(bare, receive, send)

    app.asgi_app = without_length  # type: ignore[method-assign]
    file = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n%b\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    error = await error_of(app, "any", data=file % (b"x" * 10_000), headers=headers)
    assert error.message == "Request body is too large"
    assert b"ok" in await answer(app, "any", file % (b"x" * 9_000), headers["Content-Type"])
