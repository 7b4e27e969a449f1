"""What a request says, in whichever of its parts and encodings, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
import trio
from attrs import define, field
from quart import request
from quart_trio import QuartTrio

from tests.servers import serving
from trio_streamact import ActionError, Stream, StreamActions
from trio_streamact._actions.request_input import MAX_PAIRS
from trio_streamact._inputs import UntypedText
from trio_streamact.testing import open_stream

PREFIX = "/api/_actions"
SOME_ID = "12345678-1234-5678-1234-567812345678"
BOUNDARY = "a-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@define
class Item:
    id: int
    slug: str = ""
    tags: list[int] = field(factory=list)


@define
class Thing:
    id: UUID


def make_app() -> QuartTrio:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    @actions.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def echo(input: Any, stream: Stream[Any]) -> None:
        await stream.send(input)

    @actions.route("/items/<int:id>/<slug>", methods=["GET", "POST"])
    async def item(input: Item, stream: Stream[Item]) -> None:
        await stream.send(input)

    @actions.route("/numbers/<id>", methods=["GET", "POST"])
    async def number(input: Item, stream: Stream[Item]) -> None:
        await stream.send(input)

    @actions.post("/things/<uuid:id>")
    async def thing(input: Thing, stream: Stream[Thing]) -> None:
        await stream.send(input)

    @actions.post("/raw/<int:id>/<slug>/<uuid:other>")
    async def raw(input: Any, stream: Stream[Any]) -> None:
        await stream.send({name: type(value).__name__ for name, value in input.items()})

    return app


APP = make_app()


async def echoed(path: str = "/echo", **request: Any) -> Any:
    """What the action at *path* made of a request."""
    with trio.fail_after(5):
        async with open_stream(APP, PREFIX + path, **request) as stream:
            assert stream.status == 200
            [chunk] = await stream.rest()
    return chunk


async def refusal(path: str = "/echo", **request: Any) -> ActionError:
    """How the action at *path* refused a request."""
    with trio.fail_after(5):
        async with open_stream(APP, PREFIX + path, **request) as stream:
            assert stream.status == 200
            with pytest.raises(ActionError) as raised:
                await stream.rest()
    return raised.value


async def assert_unreadable(message: str, **request: Any) -> None:
    error = await refusal(**request)

    assert (error.code, error.status_code, error.message) == ("PARSE_ERROR", 400, message)
    assert error.field_errors == {}


def form_of(*parts: tuple[str, bytes], end: bytes = b"--\r\n") -> bytes:
    """A multipart form; each part is what stands behind ``form-data;`` and its content."""
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), content)
        for head, content in parts
    )
    return body + b"--" + BOUNDARY.encode() + end


# The query


@pytest.mark.parametrize(
    ("query", "raw"),
    [
        ("", {}),
        ("?", {}),
        ("?a=1&b=x", {"a": "1", "b": "x"}),
        ("?a=1&b=2&a=3&a=4", {"a": ["1", "3", "4"], "b": "2"}),
        ("?a=&b", {"a": "", "b": ""}),
        ("?a=x+y%20z%2B", {"a": "x y z+"}),
        ("?a=%E2%82%AC&%C3%A9=1", {"a": "\u20ac", "\u00e9": "1"}),
        ("?a=100%&b=%zz", {"a": "100%", "b": "%zz"}),
        ("?a=1;b=2", {"a": "1;b=2"}),
        ("?a=b=c", {"a": "b=c"}),
        ("?__proto__=1&self=2", {"__proto__": "1", "self": "2"}),
    ],
)
async def test_a_get_is_read_from_its_query(query: str, raw: dict[str, Any]) -> None:
    assert await echoed(f"/echo{query}", method="GET") == raw


async def test_the_body_of_a_get_is_not_read() -> None:
    assert await echoed("/echo?a=1", method="GET", json={"a": 2}) == {"a": "1"}


@pytest.mark.parametrize("query", ["a=%FF", "%FF=1", "a=%E2%82", "a=%ED%A0%80"])
async def test_a_query_that_is_no_utf8_cannot_be_read(query: str) -> None:
    await assert_unreadable("Invalid query string", path=f"/echo?{query}", method="GET")


async def test_a_query_has_a_bounded_number_of_names() -> None:
    pairs = [("a", "1")] * MAX_PAIRS

    assert await echoed(f"/echo?{urlencode(pairs)}", method="GET") == {"a": ["1"] * MAX_PAIRS}
    await assert_unreadable("Invalid query string", path=f"/echo?{urlencode([*pairs, ('b', '')])}", method="GET")


async def test_a_query_behind_any_other_method_is_not_read() -> None:
    assert await echoed("/echo?a=1", json={"b": 2}) == {"b": 2}


# The body as JSON


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_body_is_read_as_json(method: str) -> None:
    raw: dict[str, Any] = {"a": [1, 1.5, True, None, "\u20ac", {"b": {}}]}

    assert await echoed(method=method, json=raw) == raw


@pytest.mark.parametrize("raw", [[1, 2], "text", 0, False, 1.5, []])
async def test_a_body_need_not_be_an_object(raw: Any) -> None:
    assert await echoed(data=json.dumps(raw).encode(), headers=JSON) == raw


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"null", b" null ", b"{}", "\ufeff".encode()])
async def test_a_body_that_says_nothing_is_an_empty_object(body: bytes) -> None:
    assert await echoed(data=body, headers=JSON) == {}


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/vnd.api+json", "nonsense", ""])
async def test_a_body_is_json_whatever_its_type_unless_it_is_a_form(content_type: str) -> None:
    assert await echoed(data=b'{"a":1}', headers={"Content-Type": content_type}) == {"a": 1}


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ('"utf-8"', "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("iso-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16le", "utf-16le"),
        ("utf-32", "utf-32"),
    ],
)
async def test_a_body_may_be_in_another_charset_and_begin_with_a_byte_order_mark(charset: str, encoding: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}

    assert await echoed(data='{"a":"\u00e9"}'.encode(encoding), headers=headers) == {"a": "\u00e9"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b"NaN",
        b"[1e999]",
        b"undefined",
        b'"\\ud800"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"[" * 100_000,
        b"\x00",
        "\ufeff\ufeff{}".encode(),
        "{}".encode("utf-16"),
    ],
)
async def test_a_body_that_is_no_json_cannot_be_read(body: bytes) -> None:
    await assert_unreadable("Invalid JSON in request body", data=body, headers=JSON)


@pytest.mark.parametrize(
    "charset",
    [
        "klingon",
        "zlib",
        "zip",
        "bz2",
        "hex",
        "rot13",
        "base64",
        "idna",
        "punycode",
        "undefined",
        "utf-7",
        "unicode_escape",
        "raw_unicode_escape",
        "unicode-escape",
        "UTF_7",
        "mbcs",
        "oem",
        '""',
        "a\\b",
        "x" * 5000,
    ],
)
async def test_a_charset_that_is_none_cannot_be_read(charset: str) -> None:
    for content_type in (
        "application/json",
        "application/x-www-form-urlencoded",
        f"multipart/form-data; boundary={BOUNDARY}",
    ):
        headers = {"Content-Type": f"{content_type}; charset={charset}"}
        await assert_unreadable("Unknown charset in Content-Type", data=b"{}", headers=headers)


async def test_a_body_that_is_not_in_its_charset_cannot_be_read() -> None:
    headers = {"Content-Type": "application/json; charset=utf-16"}

    await assert_unreadable("Invalid JSON in request body", data=b"{}x", headers=headers)


async def test_a_body_beyond_the_limit_of_the_app_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APP.config, "MAX_CONTENT_LENGTH", 20)

    assert await echoed(json={"a": "x" * 10}) == {"a": "x" * 10}
    await assert_unreadable("Request body is too large", json={"a": "x" * 20})
    await assert_unreadable("Request body is too large", data=b"a=" + b"x" * 20, headers=URLENCODED)
    await assert_unreadable("Request body is too large", data=form_of(('name="a"', b"x")), headers=MULTIPART)


# The body as a form


@pytest.mark.parametrize(
    ("body", "raw"),
    [
        (b"", {}),
        (b"a=1&b=x+y", {"a": "1", "b": "x y"}),
        (b"a=1&a=2&a=3", {"a": ["1", "2", "3"]}),
        (b"a=&b", {"a": "", "b": ""}),
        (b"a=%E2%82%AC", {"a": "\u20ac"}),
        ("a=\u20ac".encode(), {"a": "\u20ac"}),
    ],
)
async def test_an_urlencoded_form_is_read(body: bytes, raw: dict[str, Any]) -> None:
    assert await echoed(data=body, headers=URLENCODED) == raw


async def test_an_urlencoded_form_may_be_in_another_charset() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=latin-1"}

    assert await echoed(data=b"a=%E9", headers=headers) == {"a": "\u00e9"}


@pytest.mark.parametrize("body", [b"a=%FF", b"a=\xff", b"&".join([b"a=1"] * (MAX_PAIRS + 1))])
async def test_an_urlencoded_form_that_is_none_cannot_be_read(body: bytes) -> None:
    await assert_unreadable("Invalid form in request body", data=body, headers=URLENCODED)


@pytest.mark.parametrize(
    ("body", "raw"),
    [
        (form_of(), {}),
        (form_of(('name="a"', b"1"), ('name="b"', b"x y")), {"a": "1", "b": "x y"}),
        (form_of(('name="a"', b"1"), ('name="b"', b"2"), ('name="a"', b"3")), {"a": ["1", "3"], "b": "2"}),
        (form_of(('name="a"', b"")), {"a": ""}),
        (form_of(('name="a"', "\u20ac\r\n\r\n--x".encode())), {"a": "\u20ac\r\n\r\n--x"}),
        (form_of(('name="a"', b"x" * 200_000)), {"a": "x" * 200_000}),
        (form_of(('name="f"; filename="f.bin"', b"\xff\x00" * 1000), ('name="a"', b"1")), {"a": "1"}),
        (form_of(("", b"1"), ('name="a"', b"1")), {"a": "1"}),
        (b"preamble\r\n" + form_of(('name="a"', b"1")) + b"epilogue", {"a": "1"}),
    ],
)
async def test_the_fields_of_a_multipart_form_are_read_and_its_files_are_not(body: bytes, raw: dict[str, Any]) -> None:
    assert await echoed(data=body, headers=MULTIPART) == raw


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", MULTIPART),
        (b"a=1", MULTIPART),
        (form_of(('name="a"', b"1"), end=b""), MULTIPART),
        (form_of(('name="a"', b"1"))[:-30], MULTIPART),
        (form_of(('name="a"', b"\xff")), MULTIPART),
        (form_of(('name="a"', b"1")), {"Content-Type": "multipart/form-data"}),
        (form_of(('name="a"', b"1")), {"Content-Type": "multipart/form-data; boundary="}),
        (form_of(('name="a"', b"1")), {"Content-Type": "multipart/form-data; boundary=another"}),
        (form_of(*[('name="a"', b"1")] * (MAX_PAIRS + 1)), MULTIPART),
    ],
)
async def test_a_multipart_form_that_is_none_or_was_cut_cannot_be_read(body: bytes, headers: dict[str, str]) -> None:
    await assert_unreadable("Invalid form in request body", data=body, headers=headers)


async def test_a_multipart_form_may_have_as_many_parts_as_a_query_has_names() -> None:
    body = form_of(*[('name="a"', b"1")] * MAX_PAIRS)

    assert await echoed(data=body, headers=MULTIPART) == {"a": ["1"] * MAX_PAIRS}


async def test_the_fields_of_a_multipart_form_are_bounded_as_those_of_quart_are() -> None:
    body = form_of(('name="a"', b"x" * (APP.config["MAX_FORM_MEMORY_SIZE"] + 1)))

    await assert_unreadable("Request body is too large", data=body, headers=MULTIPART)


# Route variables


async def test_the_variables_of_the_route_are_merged_in_and_win() -> None:
    made = {"id": 7, "slug": "x", "tags": [1, 2]}

    assert await echoed("/items/7/x", json={"id": 9, "slug": "y", "tags": [1, 2]}) == made
    assert await echoed("/items/7/x?id=9&tags=1&tags=2", method="GET") == made


async def test_the_variables_of_the_route_are_input_enough() -> None:
    assert await echoed("/items/7/x", data=b"") == {"id": 7, "slug": "x", "tags": []}
    assert await echoed("/items/7/x", method="GET") == {"id": 7, "slug": "x", "tags": []}


async def test_a_route_variable_that_is_text_is_converted_to_the_declared_type() -> None:
    assert (await echoed("/numbers/7", json={}))["id"] == 7
    assert (await refusal("/numbers/seven", json={})).field_errors == {"id": ["Expected a whole number"]}


async def test_a_route_variable_that_is_a_uuid_is_one_for_the_input_too() -> None:
    assert await echoed(f"/things/{SOME_ID}", json={}) == {"id": SOME_ID}


async def test_route_variables_are_json_values_where_no_type_is_declared() -> None:
    types = {"id": "int", "slug": "str", "other": "str"}

    assert await echoed(f"/raw/7/x/{SOME_ID}", json={}) == types


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"1", b"true"])
async def test_a_body_that_cannot_hold_the_variables_of_the_route_is_invalid(body: bytes) -> None:
    error = await refusal("/items/7/x", data=body, headers=JSON)

    assert (error.code, error.status_code) == ("VALIDATION_ERROR", 422)
    assert error.field_errors == {"_root": ["Expected an object"]}


async def test_invalid_input_is_told_by_field() -> None:
    error = await refusal("/numbers/1", json={"slug": 1, "tags": ["a", 2]})

    assert (error.code, error.status_code) == ("VALIDATION_ERROR", 422)
    assert error.field_errors == {"slug": ["Expected a string"], "tags.0": ["Expected a whole number"]}


async def test_the_text_of_a_form_is_converted_and_that_of_json_is_not() -> None:
    assert await echoed("/numbers/1", data=b"tags=1&tags=2", headers=URLENCODED) == {
        "id": 1,
        "slug": "",
        "tags": [1, 2],
    }
    assert await echoed("/numbers/1", data=form_of(('name="tags"', b"[1,2]")), headers=MULTIPART) == {
        "id": 1,
        "slug": "",
        "tags": [1, 2],
    }
    assert (await refusal("/numbers/1", json={"tags": "1"})).field_errors == {"tags": ["Expected a list"]}


# A body that does not come


async def receive_of(*messages: dict[str, Any]) -> Callable[[], Any]:
    send, receive = trio.open_memory_channel[dict[str, Any]](len(messages))
    for message in messages:
        send.send_nowait(message)
    return receive.receive


async def test_a_body_that_does_not_arrive_in_time_cannot_be_read(autojump_clock: trio.testing.MockClock) -> None:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "asgi": {"spec_version": "2.3", "version": "3.0"},
        "method": "POST",
        "scheme": "http",
        "path": f"{PREFIX}/echo",
        "raw_path": f"{PREFIX}/echo".encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test"), (b"content-length", b"10")],
        "client": None,
        "server": None,
        "extensions": {},
        "state": {},
    }
    receive = await receive_of({"type": "http.request", "body": b'{"a"', "more_body": True})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    start_s = trio.current_time()
    await APP(scope, receive, send)  # type: ignore[arg-type]  # hypercorn's unions of messages

    assert trio.current_time() - start_s == pytest.approx(APP.config["BODY_TIMEOUT"])
    assert sent[0]["status"] == 200
    body = b"".join(message.get("body", b"") for message in sent)
    assert b'"PARSE_ERROR","message":"Request body did not arrive in time","statusCode":400' in body


def test_text_is_plain_text_to_everyone_else() -> None:
    assert UntypedText("a") == "a"
    assert json.dumps({"a": UntypedText("b")}) == '{"a": "b"}'


# What functions before the action do to a body, and bodies that no action reads


@pytest.mark.parametrize("part", ["form", "files", "values", "data", "bytes"])
@pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
async def test_a_form_that_was_read_before_is_the_same_input(part: str, kind: str) -> None:
    app = make_app()
    seen = []

    @app.before_request
    async def csrf() -> None:
        seen.append(await (request.get_data() if part == "bytes" else getattr(request, part)))

    if kind == "multipart":
        fields = [('name="a"', b"1"), ('name="token"', b"t"), ('name="a"', b"2"), ('name="umlaut"', "ä".encode())]
        body, headers = form_of(*fields), MULTIPART
    else:
        body, headers = urlencode([("a", "1"), ("token", "t"), ("a", "2"), ("umlaut", "ä")]).encode(), URLENCODED
    async with open_stream(app, f"{PREFIX}/echo", data=body, headers=headers) as stream:
        assert await stream.rest() == [{"a": ["1", "2"], "token": "t", "umlaut": "ä"}]
    assert len(seen) == 1


async def test_files_of_a_form_that_was_read_before_are_with_the_request() -> None:
    app = make_app()

    @app.before_request
    async def csrf() -> None:
        await request.form

    @StreamActions(app, url_prefix="/files").post("/upload")
    async def upload(input: dict[str, Any], stream: Stream[Any]) -> None:
        files = await request.files
        await stream.send([input, files["f"].filename, files["f"].read().decode()])

    body = form_of(('name="title"', b"x"), ('name="f"; filename="a.txt"', b"hello"))
    async with open_stream(app, "/files/upload", data=body, headers=MULTIPART) as stream:
        assert await stream.rest() == [[{"title": "x"}, "a.txt", "hello"]]


async def test_json_that_was_read_before_is_the_same_input() -> None:
    app = make_app()

    @app.before_request
    async def read() -> None:
        await request.get_json()

    async with open_stream(app, f"{PREFIX}/echo", json={"a": 1}) as stream:
        assert await stream.rest() == [{"a": 1}]


@pytest.mark.parametrize("way", ["dropped", "iterated"])
@pytest.mark.parametrize("kind", ["json", "multipart", "without a length"])
async def test_a_body_that_is_gone_is_a_fault_of_the_program_and_no_empty_input(
    kind: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()

    @app.before_request
    async def read() -> None:
        if way == "dropped":
            await request.get_data(cache=False)
        else:
            async for _ in request.body:
                pass

    if kind == "without a length":
        async with serving(app) as server, await server.connect() as client:
            head = b"POST %s/echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            await client.stream.send_all(head % PREFIX.encode() + b'7\r\n{"a":1}\r\n0\r\n\r\n')
            assert b'"INTERNAL_ERROR"' in await client.read_all()
    else:
        body, headers = (b'{"a": 1}', JSON) if kind == "json" else (form_of(('name="a"', b"1")), MULTIPART)
        async with open_stream(app, f"{PREFIX}/echo", data=body, headers=headers) as stream:
            with pytest.raises(ActionError) as caught:
                await stream.rest()
        assert caught.value.code == "INTERNAL_ERROR"
    assert "read before the action could read it" in caplog.text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("audio/wav", b"RIFF\x00\xff"),
        ("text/csv", b"a,b\n"),
        ("application/x-ndjson", b"{}\n{}"),
        ("", b"{"),
        ("application/json", b"{"),
    ],
)
async def test_a_handler_without_input_gets_the_request_unread(content_type: str, body: bytes) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app).post("/raw")
    async def raw(request: Any, stream: Stream[Any]) -> None:
        parts = [part async for part in request.body]
        await stream.send([request.mimetype, b"".join(parts).hex()])

    async with open_stream(app, f"{PREFIX}/raw", data=body, headers={"Content-Type": content_type}) as stream:
        assert await stream.rest() == [[content_type, body.hex()]]


async def test_a_handler_whose_middleware_takes_the_input_has_it_read() -> None:
    app = QuartTrio(__name__)

    async def checked(input: Any) -> dict[str, Any]:
        return {"input": input}

    @StreamActions(app).post("/raw", middleware=[checked])
    async def raw(ctx: Any, stream: Stream[Any]) -> None:
        await stream.send(ctx)

    async with open_stream(app, f"{PREFIX}/raw", json=[1]) as stream:
        assert await stream.rest() == [{"input": [1]}]


@pytest.mark.parametrize("content_type", ["audio/wav", "text/csv", "application/x-ndjson", "application/xml"])
async def test_a_type_that_cannot_be_read_is_named(content_type: str) -> None:
    await assert_unreadable(
        f"Expected JSON or a form in request body, not {content_type}",
        data=b"a,b\n",
        headers={"Content-Type": content_type},
    )


async def test_a_large_body_that_a_handler_asks_for_comes_whole_over_a_connection() -> None:
    """Until then it waits with the client."""
    app = QuartTrio(__name__)
    begun = trio.Event()

    @StreamActions(app).post("/raw")
    async def raw(stream: Stream[Any]) -> None:
        begun.set()
        await trio.sleep(0.1)
        await stream.send(len(await request.get_data()))

    body = b"x" * 3_000_000
    async with serving(app) as server, await server.connect() as client, trio.open_nursery() as nursery:
        nursery.start_soon(partial(client.request, f"{PREFIX}/raw", body=body, headers={"Connection": "close"}))
        await begun.wait()
        assert b"data: 3000000\n" in await client.read_all()
