"""Requests that are refused before an app sees them, and those that are not."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from trio_streamact._hypercorn.targets import NO_HOST, NO_PATH, NO_QUERY, fault_of


def scope(
    target: bytes, *, method: str = "GET", version: str = "1.1", kind: str = "http", **headers: bytes
) -> dict[str, Any]:
    """Make the scope that hypercorn makes."""
    path, _, query = target.partition(b"?")
    return {
        "type": kind,
        "method": method,
        "http_version": version,
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "headers": [(name.replace("_", "-").encode(), value) for name, value in headers.items()],
    }


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "3"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("target", [b"/", b"/a", b"//", b"//[", b"/?", b"/%ff", b"/a?b=%ff", b"/*", b"/http://["])
def test_a_path_is_for_the_app(target: bytes, kind: str, version: str) -> None:
    assert fault_of(scope(target, kind=kind, version=version)) is None


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "3"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "target",
    [
        *(b"", b"?", b"?a", b"*", b"a", b"a/b", b"#", b"[", b"\\", b"a:80", b"[::1]:80", b"%2fa", b"%5b", b"/a"[1:]),
        *(b"http:", b"http://", b"http:/a", b"http:a", b"http:///a", b"http://[", b"http://[/a", b"http://%5b/a"),
        *(b"http://[zz]/a", b"http://[%25]/a", b"http://[::1/a", b"http://a:port/", b"http://a:99999/"),
        *(b"ftp://a/b", b"javascript:alert(1)", b"http:%2f%2fa/", b"http%3a//a/", b"http://?a"),
    ],
)
def test_what_is_no_path_is_refused(target: bytes, kind: str, version: str) -> None:
    assert fault_of(scope(target, kind=kind, version=version)) == NO_PATH


@pytest.mark.parametrize("target", [b"http://a", b"http://a/", b"HTTP://a/b?c", b"https://[::1]:80/a", b"http://a@b/c"])
def test_a_proxy_may_write_the_whole_url_over_http1_alone(target: bytes) -> None:
    assert fault_of(scope(target)) is None
    assert fault_of(scope(target, version="2")) == NO_PATH


def test_an_asterisk_is_for_options_alone() -> None:
    assert fault_of(scope(b"*", method="OPTIONS")) is None
    assert fault_of(scope(b"*", method="GET")) == NO_PATH


@pytest.mark.parametrize(
    ("query", "fault"),
    [(b"", None), (b"a=%ff", None), ("ä=ö".encode(), None), (b"\xff", NO_QUERY), (b"a=\xc3", NO_QUERY)],
)
def test_a_query_is_text(query: bytes, fault: str | None) -> None:
    assert fault_of(scope(b"/?" + query)) == fault


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        *((host, None) for host in (b"", b"a", b"a.b:80", b"a.", b"[::1]:80", b"\xfc.de", b"xn--fuball-cta.de")),
        *((b"a" * 63 + b".de", None), (b".".join([b"a" * 60] * 3), None), (b"a" * 200, NO_HOST)),
        *((host, NO_HOST) for host in (b".", b"..", b".a", b"a..b", b"a" * 64 + b".de", b"\xfc" * 64)),
    ],
)
def test_a_host_is_a_name(host: bytes, fault: str | None) -> None:
    assert fault_of(scope(b"/", Host=host)) == fault


def test_a_server_need_not_give_the_path_as_it_was_sent() -> None:
    for value in (None, b""):
        assert fault_of({**scope(b"/a"), "raw_path": value}) is None
    assert fault_of({"type": "lifespan"}) is None
