"""The clients for browsers, in a real Chromium against a real server: the core, Vue and React."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browsers import DESK, open_page
from tests.pages import Site, begin, execute, go_to_client, look, mount, open_site, reload, run, site_process
from trio_streamact import Limits

pytestmark = [pytest.mark.browser, pytest.mark.node]

HELLO = [{"text": "hello world"}] * 3
"""What `/burst` says, three times."""

CLIENTS = ["core", "vue", "react&strict"]
ALL_CLIENTS = [*CLIENTS, "react", "vue&vue=vue-3.3", "react&strict&react=react-18"]


@pytest.fixture(params=CLIENTS)
def page(browser: Browser, site: Site, complaints: list[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of a client; nothing may complain on it."""
    with open_page(browser, DESK, complaints) as page:
        go_to_client(page, site.url, request.param)
        yield page
        assert complaints == []


def words(text: str) -> list[dict[str, str]]:
    return [{"text": word} for word in text.split()]


@pytest.mark.parametrize("page", ALL_CLIENTS, indirect=True)
def test_each_chunk_appears_before_the_next_is_sent(page: Page) -> None:
    mount(page, "told")
    begin(page)
    expected: list[dict[str, Any]] = [
        {"status": "idle", "chunks": [], "data": None, "error": None},
        {"status": "streaming", "chunks": [], "data": None, "error": None},
    ]
    for count, chunk in enumerate(words("a b c"), 1):
        run(page, f"await say('{chunk['text']}'); await until(() => look().chunks.length == {count})")
        expected.append({"status": "streaming", "chunks": words("a b c")[:count], "data": chunk, "error": None})
    run(page, "await say('end'); await until(() => look().status == 'done')")
    expected.append({**expected[-1], "status": "done"})
    assert page.evaluate("seen") == expected
    assert page.evaluate("called") == [*(["chunk", chunk] for chunk in words("a b c")), ["done", 3]]


def test_the_members_say_what_stands_on_the_page(page: Page) -> None:
    mount(page, "ticks")
    begin(page)
    page.wait_for_function("look().chunks.length >= 2")
    members, page_says = page.evaluate("[client.state(), look()]")
    assert members == page_says
    assert members["status"] == "streaming"
    page.evaluate("client.stop()")
    members, page_says = page.evaluate("[client.state(), look()]")
    assert members == page_says
    assert members["status"] == "done"


def test_execute_resolves_when_the_run_is_over(page: Page) -> None:
    mount(page, "paced")
    after = run(page, "await client.execute({ prompt: 'a b' }); return called.at(-1)")
    assert after == ["done", 2]


@pytest.mark.parametrize("page", ALL_CLIENTS, indirect=True)
def test_stop_ends_the_run_and_cancels_the_handler(page: Page, site: Site) -> None:
    mount(page, "ticks")
    for count in range(1, 6):
        begin(page)
        page.wait_for_function("look().chunks.length >= 2")
        page.evaluate("client.stop()")
        site.wait(site.journal.wait_for, finished=count, reports=count)  # no heartbeat would find it, nor a stall

    assert site.journal.cancelled == 5
    assert {report.outcome for report in site.journal.reports} == {"disconnected"}
    assert look(page)["status"] == "done"
    assert {name for name, _ in page.evaluate("called")} == {"chunk"}


def test_nothing_that_came_in_the_same_read_is_delivered_behind_a_stop(page: Page, site: Site) -> None:
    mount(page, "burst", "{ onChunk() { if (called.length == 3) client.stop() } }")
    execute(page, "{ count: 1000 }")
    assert look(page) == {"status": "done", "chunks": HELLO, "data": HELLO[0], "error": None}
    assert page.evaluate("called.length") == 3


def test_stop_with_nothing_to_stop_is_nothing(page: Page) -> None:
    mount(page, "paced")
    page.evaluate("client.stop()")
    assert look(page)["status"] == "idle"
    execute(page, "{ prompt: '' }")
    page.evaluate("client.stop()")
    assert look(page)["status"] == "error"


@pytest.mark.parametrize("page", ALL_CLIENTS, indirect=True)
def test_an_error_is_shown_with_all_that_it_says(page: Page) -> None:
    mount(page, "words")
    execute(page, "{ prompt: '' }")
    assert look(page) == {
        "status": "error",
        "chunks": [],
        "data": None,
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "Input validation failed",
            "statusCode": 422,
            "fieldErrors": {"prompt": ["Length of 'prompt' must be >= 1: 0"]},
        },
    }
    assert page.evaluate("called") == [["error", "VALIDATION_ERROR"]]


def test_an_error_leaves_what_came_before_it_and_the_next_run_begins_anew(page: Page) -> None:
    mount(page, "refused")
    execute(page)
    error = {"code": "NOT_FOUND", "message": "No such thing", "statusCode": 404}
    assert look(page) == {"status": "error", "chunks": [1], "data": 1, "error": error}
    run(page, "seen.length = 0; await client.execute()")
    assert page.evaluate("seen[0]") == {"status": "streaming", "chunks": [], "data": None, "error": None}


def test_a_run_that_takes_the_place_of_another_never_mixes_with_it(page: Page, site: Site) -> None:
    mount(page, "paced")
    begin(page, "{ prompt: 'a a a a a a a a a a a a' }")
    page.wait_for_function("look().chunks.length >= 2")
    run(page, "seen.length = called.length = 0; await client.execute({ prompt: 'b b b' })")

    assert page.evaluate("called") == [*(["chunk", chunk] for chunk in words("b b b")), ["done", 3]]
    assert all(state["chunks"] == words("b b b")[: len(state["chunks"])] for state in page.evaluate("seen"))
    assert look(page)["chunks"] == words("b b b")
    site.wait(site.journal.wait_for, finished=2)
    assert site.journal.cancelled == 1


def test_of_two_runs_begun_at_once_the_second_counts(page: Page) -> None:
    mount(page, "burst")
    run(page, "await Promise.all([client.execute({ count: 9 }), client.execute({ count: 2 })])")
    assert (look(page)["status"], look(page)["chunks"]) == ("done", HELLO[:2])
    assert page.evaluate("called") == [*(["chunk", chunk] for chunk in HELLO[:2]), ["done", 2]]


def test_a_run_begun_by_the_callback_of_another_is_the_one_that_counts(page: Page) -> None:
    again = "{ onChunk(chunk) { if (chunk.text == 'a') void client.execute({ prompt: 'b b' }) } }"
    mount(page, "words", again)
    execute(page, "{ prompt: 'a a a' }")
    page.wait_for_function("look().status == 'done'")
    assert look(page)["chunks"] == words("b b")
    assert page.evaluate("called.map(([name]) => name)") == ["chunk", "chunk", "chunk", "done"]


@pytest.mark.parametrize("page", ALL_CLIENTS, indirect=True)
def test_who_goes_away_stops_the_stream(page: Page, site: Site) -> None:
    mount(page, "ticks")
    begin(page)
    page.wait_for_function("look().chunks.length >= 2")
    page.evaluate("client.unmount()")
    called = page.evaluate("called.length")

    site.wait(site.journal.wait_for, finished=1, reports=1)
    assert site.journal.reports[0].outcome == "disconnected"
    page.wait_for_timeout(100)
    assert page.evaluate("called.length") == called
    assert page.locator("#app > *").count() == 0


def test_who_leaves_the_page_stops_the_stream(page: Page, site: Site) -> None:
    mount(page, "ticks")
    begin(page)
    page.wait_for_function("look().chunks.length >= 2")
    page.goto("about:blank")
    site.wait(site.journal.wait_for, finished=1)
    assert site.journal.cancelled == 1


def test_a_fault_of_a_callback_is_reported_and_disturbs_nothing(page: Page, complaints: list[str]) -> None:
    mount(page, "words", "{ onChunk() { throw new Error('mine') }, onDone() { throw new Error('mine too') } }")
    execute(page, "{ prompt: 'a b' }")
    assert (look(page)["status"], look(page)["chunks"]) == ("done", words("a b"))
    page.wait_for_timeout(100)
    assert [complaint.removeprefix("Error: ") for complaint in complaints] == ["mine", "mine", "mine too"]
    complaints.clear()


FAILURES = [
    ("/none", "{}", "{}", {"code": "HTTP_ERROR", "message": "HTTP 404", "statusCode": 404}),
    ("/odd/teapot", "{}", "{}", {"code": "HTTP_ERROR", "statusCode": 418}),
    ("/plain", "{ method: 'GET' }", "{}", {"code": "NOT_A_STREAM", "statusCode": 502}),
    ("/odd/cut-off", "{}", "{}", {"code": "STREAM_INCOMPLETE", "statusCode": 502}),
    ("/odd/malformed", "{}", "{}", {"code": "MALFORMED_EVENT", "statusCode": 502}),
    ("/odd/named-error", "{}", "{}", {"code": "NO", "message": "No", "statusCode": 418, "retryAfter": 2}),
    (
        "words",
        "{ maxEventBytes: 20 }",
        "{ prompt: 'too-long-a-word' }",
        {"code": "EVENT_TOO_LARGE", "statusCode": 502},
    ),
    ("words", "{}", "{ prompt: 1n }", {"code": "INVALID_INPUT", "statusCode": 400}),
    ("items/{number}", "{}", "{}", {"code": "INVALID_INPUT", "statusCode": 400}),
    ("http://127.0.0.1:1/", "{}", "{}", {"code": "NETWORK_ERROR", "statusCode": 503}),
    ("/silent", "{ timeout: 100 }", "{}", {"code": "TIMEOUT_ERROR", "statusCode": 408}),
    ("idle", "{ watchdogS: 0.1 }", "{}", {"code": "STREAM_SILENT", "statusCode": 504}),
]
"""An action and options, the input, and the error that comes of it."""


def test_whatever_goes_wrong_is_told_by_its_code(page: Page, complaints: list[str]) -> None:
    for action, options, given, error in FAILURES:
        reload(page)
        mount(page, action, options)
        execute(page, given)
        state = look(page)
        assert state["status"] == "error", error
        assert state["error"] == {"message": state["error"]["message"], **error}
        assert page.evaluate("called.at(-1)") == ["error", error["code"]]
    # The browser itself speaks of these, before anybody else can.
    assert all(complaint.startswith("Failed to load resource") for complaint in complaints)
    complaints.clear()


def test_both_dialects_are_understood(page: Page) -> None:
    mount(page, "/odd/named")
    execute(page)
    assert look(page) == {"status": "done", "chunks": [1], "data": 1, "error": None}


@pytest.mark.parametrize("page", ["core"], indirect=True)
def test_the_timeout_is_for_the_first_byte_alone(page: Page) -> None:
    mount(page, "ticks", "{ timeout: 1000 }")
    begin(page)
    page.wait_for_timeout(1300)
    assert look(page)["status"] == "streaming"


def test_signs_of_life_keep_the_watchdog_quiet(browser: Browser) -> None:
    with open_site(Limits(heartbeat_s=0.05)) as site, open_page(browser, DESK, []) as page:
        go_to_client(page, site.url, "core")
        mount(page, "idle", "{ watchdogS: 1 }")
        begin(page)
        page.wait_for_timeout(1500)
        assert look(page)["status"] == "streaming"


def test_the_input_of_a_get_is_its_query(page: Page) -> None:
    mount(page, "echo", "{ method: 'GET' }")
    execute(page, "{ page: 2, filter: { a: [1, 2] }, none: null, text: 'ä &' }")
    assert look(page)["data"] == {"input": {"page": "2", "filter": '{"a":[1,2]}', "none": "", "text": "ä &"}}


def test_the_variables_of_a_path_are_filled_from_the_input(page: Page) -> None:
    mount(page, "items/{number}")
    execute(page, "{ number: 7, size: 1 }")
    assert look(page)["data"] == {"number": 7, "size": 1}


def test_a_reference_says_where_and_how(page: Page) -> None:
    page.evaluate("client.mount({ name: 'echo', path: '/api/_actions/echo', method: 'GET' }, { method: 'POST' })")
    execute(page, "{ a: 1 }")
    assert look(page)["data"] == {"input": {"a": "1"}}


@pytest.mark.parametrize("headers", ["%s", "() => (%s)", "async () => (%s)"])
def test_headers_are_sent(page: Page, headers: str) -> None:
    mount(page, "who", "{ headers: " + headers % "{ 'X-Who': 'me' }" + " }")
    execute(page)
    assert look(page)["data"] == "me"


@contextmanager
def other_origin() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Serve a stream that pages of any origin may ask for; give its URL, and the method and key of each request."""
    seen: list[tuple[str, str | None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.command, self.headers["X-Api-Key"]))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, _, target = self.path.removeprefix("/").partition("/")
            self.send_response(int(status))
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "content-type, x-api-key")
            self.end_headers()
            self.wfile.write(b'data: {"__actions_done":true}\n\n')

        do_GET = do_POST  # noqa: N815 - the name is the standard library's

        def do_OPTIONS(self) -> None:
            self.path = "/200"
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            serving.join()


KEY = "headers: { 'X-Api-Key': 'secret' }"


def test_a_redirect_is_an_error_and_its_target_is_sent_nothing(page: Page, site: Site) -> None:
    with other_origin() as (origin, seen):
        for status in (301, 302, 303, 307, 308):
            for target in (f"{origin}/200", "/odd/named"):
                reload(page)
                mount(page, f"/moved?status={status}&to={target}", f"{{ {KEY} }}")
                execute(page, "{ a: 1 }")
                error = look(page)["error"]
                assert (error["code"], error["statusCode"]) == ("REDIRECTED", 502)
                assert error["message"] == "The response is a redirect, which is not followed"
        assert seen == []

    with other_origin() as (origin, asked), other_origin() as (elsewhere, seen):
        reload(page)
        mount(page, f"{origin}/307/{elsewhere}/200", f"{{ {KEY} }}")
        execute(page)
        assert look(page)["error"]["code"] == "REDIRECTED"
        assert [method for method, _ in asked] == ["OPTIONS", "POST"]
        assert seen == []


def test_a_redirect_is_followed_where_the_author_allows_it(page: Page) -> None:
    with other_origin() as (origin, seen):
        for target in (f"{origin}/200", "/odd/named"):
            reload(page)
            mount(page, f"/moved?status=307&to={target}", f"{{ {KEY}, followRedirects: true }}")
            execute(page, "{ a: 1 }")
            assert look(page)["status"] == "done"
        assert seen == [("OPTIONS", None), ("POST", "secret")]


@pytest.mark.parametrize("client", ALL_CLIENTS)
def test_a_server_that_is_killed_is_an_error_and_never_an_end(browser: Browser, client: str) -> None:
    with site_process() as (url, process), open_page(browser, DESK, []) as page:
        go_to_client(page, url, client)
        mount(page, "ticks")
        begin(page)
        page.wait_for_function("look().chunks.length >= 2")
        process.kill()
        page.wait_for_function("look().status == 'error'")
        assert look(page)["error"]["code"] == "STREAM_INCOMPLETE"

        execute(page)
        assert look(page)["error"]["code"] == "NETWORK_ERROR"
        assert {state["status"] for state in page.evaluate("seen")} == {"idle", "streaming", "error"}
