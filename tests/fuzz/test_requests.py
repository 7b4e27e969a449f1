"""Whatever a client sends as a request, it is answered, and never with a fault of ours."""

from __future__ import annotations

import encodings.aliases
import json
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

import h11
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from quart_trio import QuartTrio

from tests.fuzz.asgi import EXAMPLE_S, Reply, Request, answer, check
from tests.fuzz.inputs import INPUTS, Order
from tests.logs import nothing_logged
from tests.servers import RawClient, serving
from tests.strategies import cuts, json_values
from trio_streamact import Stream, StreamActions

PREFIX = "/api/_actions"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

REFUSED = "rejected a request from a page at"
"""What is logged of another site's page, by intent."""


# The app: actions that take input of every kind


NAMES = [
    "id",
    "tags",
    "mode",
    "color",
    "when",
    "price",
    "data",
    "ids",
    "pairs",
    "by_number",
    "point",
    "either",
    "inner",
]
NAMES += ["name", "weight", "term", "page", "email", "born", "x", "names", "1"]


def make_app() -> QuartTrio:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    async def echo(input: Any, stream: Stream[Any]) -> None:
        await stream.send({"input": input})

    for path, declared in INPUTS.items():
        actions.route(path, methods=METHODS, input=declared)(echo)

    @actions.route("/deep", methods=METHODS, input=Any)
    async def deep(stream: Stream[Any]) -> None:
        await stream.send("read")

    @actions.route("/deep-attrs", methods=METHODS, input=Order)
    async def deep_attrs(stream: Stream[Any]) -> None:
        await stream.send("read")

    @actions.route("/route/<name>/<path:rest>", methods=METHODS)
    async def route(input: dict[str, Any], stream: Stream[Any]) -> None:
        await stream.send({"input": input})

    return app


# Requests

VISIBLE = bytes(range(0x21, 0x7F))
CHARSETS = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "utf-8-sig", "idna", "punycode"})
CHARSETS += ["zlib", "no-such", "utf-8\0", "", "é", '"utf-8', "UTF-8 ", "undefined", "utf 8", "x" * 300, "../utf_8"]
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def visible(max_size: int = 20) -> st.SearchStrategy[bytes]:
    """Any value of a header that HTTP/1.1 lets through (RFC 9110, 5.5): no controls but tabs, bytes beyond ASCII."""
    inner = st.lists(st.sampled_from([9, *range(0x20, 0x7F), *range(0x80, 0x100)]), max_size=max_size)
    return inner.map(bytes).map(lambda value: value.strip(b" \t"))


def charsets() -> st.SearchStrategy[bytes]:
    return (st.sampled_from(CHARSETS).map(lambda name: name.encode("latin-1")) | visible(8)).map(b"; charset=".__add__)


def boundaries() -> st.SearchStrategy[bytes]:
    """Boundaries, good ones most of the time: what a regular expression would read otherwise, and what is too long."""
    odd = [b"", b" ", b"(", b"a.*", b"a+b", b"\xe9", b"b" * 71, b"b" * 5000, b'"quo ted"', b'"', b"--", b"-"]
    return st.just(b"bnd") | st.text("ab'()+_,-./:=?", min_size=1, max_size=70).map(str.encode) | st.sampled_from(odd)


def content_types(boundary: bytes) -> st.SearchStrategy[bytes]:
    types = [b"application/json", b"application/problem+json", FORM.encode(), b"text/plain", b""]
    types += [MULTIPART.encode() + b"; boundary=" + boundary, b"multipart/mixed; boundary=" + boundary]
    parameters = st.just(b"") | charsets()
    return st.tuples(st.sampled_from(types), parameters).map(b"".join) | visible()


def json_texts() -> st.SearchStrategy[str]:
    """JSON, nearly what was declared, and what is nearly JSON."""
    members = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), json_values() | likely_values(), max_size=8)
    values = members | json_values()
    spoilt = st.tuples(values.map(json.dumps), st.integers(0, 60), st.text(max_size=3))
    odd = ["NaN", "[1e999]", "-0", '{"id":1,"id":2}', '"\\ud800"', "\ufeff{}", "1" * 5000, '{"id":%s}' % ("9" * 5000)]
    return (
        values.map(json.dumps)
        | values.map(lambda value: json.dumps(value, ensure_ascii=False))
        | spoilt.map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :])
        | st.sampled_from(odd)
    )


LIKELY: list[Any] = [0, 7, -1, 2**63, 2**64, 1.5, True, "", "a", "red", 9, None, [], [1], [[1]], {}, {"name": "n"}]
LIKELY += ["2024-02-30", "2024-01-01", "2024-01-01T00:00:00Z", "1e9999", "NaN", "-0", "AAA=", "é", "\0", "\ud800", "on"]
LIKELY += [[1, 2.0], {"1": 2}, {"x": 1}, ["5f3c7c1e-0f0b-4b52-8b39-3b1b5c6f4f6e"], {"a": [1]}, {"id": 1, "tags": []}]
LIKELY += [[{"name": "n"}], "[1, 2.0]", '{"a":1}', '[{"name":"n"}]', "9" * 999, "9" * 5000, "1e400", "+1", "1_0", "१"]


def likely_values() -> st.SearchStrategy[Any]:
    return st.sampled_from(LIKELY)


def pairs() -> st.SearchStrategy[bytes]:
    """The query of a URL, or a form that is encoded like one."""
    texts = likely_values().map(str) | st.text(max_size=5)
    names = st.sampled_from(NAMES) | st.text(max_size=3)
    encoded = st.lists(st.tuples(names, texts), max_size=8).map(
        lambda found: urlencode(found, errors="surrogatepass").encode()
    )
    marks = st.sampled_from([b"%", b"%f", b"%ff", b"%00", b"&", b"=", b";", b"+", b"id=", b"tags=[1]", b"?", b"#"])
    return encoded | st.lists(marks | st.binary(max_size=2), max_size=10).map(b"".join) | st.just(b"&a=b" * 1200)


def queries() -> st.SearchStrategy[bytes]:
    """Any query that reaches an app over HTTP/1.1: h11 lets nothing but visible ASCII through."""
    return (pairs() | st.binary(max_size=40)).map(lambda query: quote(query, safe=VISIBLE).encode())


def multipart(boundary: bytes) -> st.SearchStrategy[bytes]:
    """A multipart form, often cut short or put together wrongly."""
    name = st.sampled_from(NAMES).map(str.encode) | visible(6)
    header = st.sampled_from(
        [
            b'Content-Disposition: form-data; name="%b"',
            b"Content-Disposition: form-data; name=%b",
            b"Content-Disposition: form-data; name*=utf-8''%%ff%b",
            b"Content-Disposition: form-data; name*=x''%b",
            b"Content-Disposition: form-data",
            b'content-disposition: form-data; name="%b"; filename="f"',
            b'Content-Disposition: form-data; filename="%b"',
            b"Content-Type: text/plain; charset=%b",
            b"Content-Length: %b",
            b"%b: x",
            b"no colon",
            b" folded",
            b"",
        ]
    )
    headers = st.lists(
        st.tuples(header, name).map(lambda both: both[0] % both[1] if b"%b" in both[0] else both[0]), max_size=3
    ).map(b"\r\n".join)
    opening = st.sampled_from([b"--" + boundary + b"\r\n", b"--" + boundary + b"\n", b"--" + boundary, b"\r\n"])
    closing = st.sampled_from([b"--" + boundary + b"--\r\n", b"--" + boundary + b"--", b"", b"--"])
    value = pairs() | json_texts().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=8)
    part = st.tuples(opening, headers, st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\n"]), value, st.just(b"\r\n"))
    whole = st.tuples(st.lists(part.map(b"".join), max_size=4).map(b"".join), closing).map(b"".join)
    return whole | st.tuples(whole, st.integers(0, 200)).map(lambda both: both[0][: both[1]])


@st.composite
def bodies(draw: st.DrawFn, boundary: bytes) -> bytes:
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-32-le", "latin-1", "cp037"]))
    texts = json_texts().map(lambda text: text.encode(encoding, "replace"))
    return draw(texts | pairs() | multipart(boundary) | st.binary(max_size=40) | st.just(b""))


def other_headers() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Headers that somebody may look at: the server is left out, which sees to lengths and to the connection."""
    known = [
        b"accept",
        b"accept-charset",
        b"authorization",
        b"content-encoding",
        b"cookie",
        b"date",
        b"expect",
        b"from",
    ]
    known += [b"host", b"if-modified-since", b"if-none-match", b"last-event-id", b"origin", b"range", b"referer", b"te"]
    known += [b"sec-fetch-site", b"origin"]
    known += [b"user-agent", b"x-forwarded-for", b"x-forwarded-host", b"x-http-method-override", b"content-language"]
    names = st.sampled_from(known) | st.text("abc-_.!#$%&'*+^`|~019", min_size=1, max_size=8).map(str.encode)
    values = [b"0", b"bytes=9-1", b"Basic !", b"Basic AAAA", b"Bearer", b"Digest a=", b"session=.eJw; ;=", b"a" * 3000]
    values += [b"100-continue", b"gzip", b"[::1", b"a b", b"Thu, 99 Foo 2024", b'W/"', b"DELETE", b"text/*;q=x", b","]
    return st.tuples(names, st.sampled_from(values) | visible())


@st.composite
def requests(draw: st.DrawFn) -> Request:
    boundary = draw(boundaries())
    path = draw(st.sampled_from(list(INPUTS)))
    body = draw(bodies(boundary))
    headers = [(b"host", b"test"), (b"content-length", b"%d" % len(body))]
    headers += [(b"content-type", value) for value in draw(st.lists(content_types(boundary), max_size=2))]
    headers += draw(st.lists(other_headers(), max_size=3))
    method = draw(st.sampled_from([*METHODS, "POST", "POST"]))
    return Request(method, PREFIX + path, draw(queries()), headers, draw(cuts(body)))


# In memory


APP = make_app()


def is_answered(request: Request) -> None:
    with nothing_logged(but=REFUSED):
        check(trio.run(answer, APP, request))


@given(request=requests())
def test_any_request_is_answered_by_a_stream_with_one_ending(request: Request) -> None:
    is_answered(request)


@given(path=st.sampled_from(list(INPUTS)), text=json_texts(), data=st.data())
def test_any_json_is_answered(path: str, text: str, data: st.DataObject) -> None:
    body = data.draw(cuts(text.encode("utf-8", "surrogatepass")))
    is_answered(Request("POST", PREFIX + path, b"", [(b"content-type", b"application/json")], body))


@pytest.mark.parametrize("kind", ["application/json", FORM, f"{MULTIPART}; boundary=bnd"])
def test_a_body_that_is_announced_and_does_not_come_is_answered(kind: str) -> None:
    """As h2 lets it through, where the request ends with its headers."""
    headers = [(b"content-type", kind.encode()), (b"content-length", b"5")]
    is_answered(Request("POST", f"{PREFIX}/list", b"", headers, []))


@given(path=st.sampled_from(list(INPUTS)), query=queries())
def test_any_query_is_answered(path: str, query: bytes) -> None:
    is_answered(Request("GET", PREFIX + path, query, [], []))


@given(path=st.sampled_from(list(INPUTS)), data=st.data(), charset=st.just(b"") | charsets())
def test_any_multipart_form_is_answered(path: str, data: st.DataObject, charset: bytes) -> None:
    boundary = data.draw(boundaries())
    headers = [(b"content-type", MULTIPART.encode() + b"; boundary=" + boundary + charset)]
    is_answered(Request("POST", PREFIX + path, b"", headers, [data.draw(multipart(boundary))]))


@pytest.mark.parametrize("kind", ["application/json", FORM, f"{MULTIPART}; boundary=bnd"])
@pytest.mark.parametrize(
    "body", [b"{}", b"a=%ff&b", b'--bnd\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--bnd--']
)
def test_every_charset_that_python_knows_is_answered(kind: str, body: bytes) -> None:
    async def answer_all() -> None:
        for charset in CHARSETS:
            headers = [(b"content-type", f"{kind}; charset={charset}".encode("latin-1"))]
            check(await answer(APP, Request("POST", f"{PREFIX}/any", b"", headers, [body])))

    with nothing_logged(but=REFUSED):
        trio.run(answer_all)


@given(name=st.text(min_size=1, max_size=8).filter(lambda name: "/" not in name), rest=st.text(min_size=1, max_size=8))
def test_any_path_of_a_route_is_answered(name: str, rest: str) -> None:
    path = f"{PREFIX}/route/{name}/{rest}"
    with nothing_logged(but=REFUSED):
        reply = trio.run(answer, APP, Request("POST", path, b"", [], [b"{}"]))
    if reply.status == 200:
        check(reply)
    else:
        assert reply.status in (308, 404), reply  # werkzeug's: a path with `//` or `..` in it


@given(
    path=st.sampled_from(["/deep", "/deep-attrs", "/union", "/typed-dict", "/pydantic", "/msgspec", "/validate"]),
    levels=st.integers(1, 1100) | st.integers(1, 20_000),
    opening=st.sampled_from(["[", '{"id":', '{"id":1,"tags":[],"inner":', '[{"name":', '{"tags":[']),
    closed=st.booleans(),
)
def test_any_depth_is_answered(path: str, levels: int, opening: str, closed: bool) -> None:
    closing = re.sub(r"[^\[{]", "", opening)[::-1].replace("[", "]").replace("{", "}") if closed else ""
    text = opening * levels + "1" * closed + closing * levels
    is_answered(Request("POST", PREFIX + path, b"", [], [text.encode()]))
    is_answered(Request("GET", PREFIX + path, urlencode({"inner": text, "id": text, "tags": text}).encode(), [], []))


# Over a socket


async def send_all(requests: list[Request]) -> list[Reply]:
    """Send requests to a real hypercorn, one behind the other on one connection."""
    replies: list[Reply] = []
    async with serving(APP) as server:
        for request in requests:
            with trio.fail_after(EXAMPLE_S):
                async with await server.connect() as client:
                    replies.append(await send(client, request))
    return replies


async def send(client: RawClient, request: Request) -> Reply:
    target = request.path.encode() + b"?" + request.query
    lines = [request.method.encode() + b" " + target + b" HTTP/1.1", b"connection: close"]
    lines += [name + b": " + value for name, value in request.headers]
    await client.stream.send_all(b"\r\n".join([*lines, b"", b""]))
    with suppress(trio.BrokenResourceError):  # refused for its head, before its body
        for part in request.body:
            await client.stream.send_all(part)
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=request.method, target=target, headers=[("host", "test")]))
    reader.send(h11.EndOfMessage())
    status, content_type, body = 0, "", b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            reader.receive_data(await client.stream.receive_some())
        elif isinstance(event, h11.Response):
            status, content_type = event.status_code, dict(event.headers).get(b"content-type", b"").decode()
        elif isinstance(event, h11.Data):
            body += event.data
    return Reply(status, content_type, body)


@given(requests=st.lists(requests(), min_size=1, max_size=5))
def test_any_request_over_a_socket_is_answered_by_a_stream_with_one_ending(requests: list[Request]) -> None:
    with nothing_logged(but=REFUSED):
        replies = trio.run(send_all, requests)
    for reply in replies:
        if reply.status == 400:
            continue
        check(reply)
