"""Which requests of browsers may start an action."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing
from werkzeug.datastructures import Headers

from tests.apps import PREFIX, make_app
from trio_streamact import ActionError, StreamActions
from trio_streamact._actions.csrf import allowed_origins, refuse_cross_site
from trio_streamact.testing import open_stream

ALLOWED = allowed_origins(["https://friend.example"])


def headers_of(origin: str | None, fetch_site: str | None, host: str) -> Headers:
    named = {"Origin": origin, "Sec-Fetch-Site": fetch_site, "Host": host}
    return Headers([(name, value) for name, value in named.items() if value is not None])


@pytest.mark.parametrize(
    ("method", "origin", "fetch_site", "host"),
    [
        ("POST", None, None, "app.example"),  # no browser
        ("GET", "https://evil.example", "cross-site", "app.example"),  # reads nothing without CORS
        ("POST", "https://app.example", None, "app.example"),
        ("POST", "http://app.example", None, "app.example:80"),
        ("POST", "https://app.example:443", None, "app.example"),
        ("POST", "http://127.0.0.1:8000", None, "127.0.0.1:8000"),
        ("POST", "https://app.example", "same-origin", "backend:8000"),  # a proxy that changes Host
        ("POST", None, "none", "app.example"),
        ("DELETE", "https://friend.example", "cross-site", "app.example"),
        ("POST", "HTTPS://Friend.Example", "cross-site", "app.example"),
    ],
)
def test_these_pass(method: str, origin: str | None, fetch_site: str | None, host: str) -> None:
    refuse_cross_site(method, headers_of(origin, fetch_site, host), ALLOWED)


@pytest.mark.parametrize(
    ("method", "origin", "fetch_site", "host"),
    [
        ("POST", "https://evil.example", None, "app.example"),
        ("POST", "https://evil.example", "cross-site", "app.example"),
        ("POST", "https://app.example", "cross-site", "app.example"),
        ("POST", None, "cross-site", "app.example"),
        ("POST", "https://sub.app.example", "same-site", "app.example"),
        ("POST", "null", None, "app.example"),
        ("POST", "http://app.example:81", None, "app.example"),
        ("POST", "http://app.example:port", None, "app.example"),
        ("PUT", "https://evil.example", None, "app.example"),
        ("PATCH", "https://evil.example", None, "app.example"),
        ("DELETE", "https://evil.example", None, "app.example"),
        ("POST", "https://friend.example.evil.example", "cross-site", "app.example"),
        ("POST", "", "", "app.example"),
        ("POST", "null", None, ""),
    ],
)
def test_these_do_not(method: str, origin: str | None, fetch_site: str | None, host: str) -> None:
    with pytest.raises(ActionError) as caught:
        refuse_cross_site(method, headers_of(origin, fetch_site, host), ALLOWED)
    assert (caught.value.code, caught.value.status_code) == ("CROSS_SITE_REQUEST", 403)


@pytest.mark.parametrize("origin", ["example.com", "https://", "https://example.com/", "https://example.com/path"])
def test_what_is_no_origin_is_refused_where_it_is_written(origin: str) -> None:
    with pytest.raises(ValueError, match=f"invalid origin {origin!r}: expected scheme:"):
        StreamActions(allow_origins=[origin])


EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
async def test_another_site_s_page_starts_no_action(autojump_clock: trio.testing.MockClock, content_type: str) -> None:
    app, journal = make_app()
    headers = {**EVIL, "Content-Type": content_type}
    async with open_stream(app, f"{PREFIX}/words", data=b'{"prompt":"a"}', headers=headers) as stream:
        with pytest.raises(ActionError, match="CROSS_SITE_REQUEST"):
            await stream.rest()
    assert journal.started == 0


@pytest.mark.parametrize("allow", ["*", ["https://evil.example"]])
async def test_one_word_allows_it(autojump_clock: trio.testing.MockClock, allow: Any) -> None:
    app, _ = make_app(allow_origins=allow)
    async with open_stream(app, f"{PREFIX}/words", json={"prompt": "a"}, headers=EVIL) as stream:
        assert await stream.rest() == [{"text": "a"}]


@pytest.mark.parametrize(
    "doubled",
    [
        [("Origin", "https://app.example"), ("Origin", "https://evil.example")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "https://friend.example"), ("Origin", "https://friend.example")],
    ],
)
def test_a_header_that_comes_twice_is_refused(doubled: list[tuple[str, str]]) -> None:
    with pytest.raises(ActionError, match="CROSS_SITE_REQUEST"):
        refuse_cross_site("POST", Headers([("Host", "app.example"), *doubled]), ALLOWED)
