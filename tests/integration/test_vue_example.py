"""The example in Vue in a real Chromium, on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from examples.chat.words import answer_to
from examples.vue.page import CDN, HERE, local_vue
from tests.browsers import DESK, PHONE, open_fitting_page, open_page
from tests.demos import Demo
from tests.nodejs import node

pytestmark = [pytest.mark.browser, pytest.mark.node]

STREAMING = "How does streaming work?"


# One size each: the example pages share their style, and the other file looks at the other size.
@pytest.fixture(params=[DESK], ids=["desk"])
def page(browser: Browser, demo: Demo, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, with Vue from npm; its server outlives it."""
    node()
    with open_fitting_page(browser, request.param) as page:
        page.goto(f"{demo.url}/vue")
        yield page


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def test_words_appear_one_by_one_until_the_answer_is_complete(page: Page, demo: Demo) -> None:
    answer = page.locator(".answer")
    page.get_by_label("Your prompt").press("Enter")
    expect(answer).to_have_attribute("aria-busy", "true")
    seen = [""]
    while answer.get_attribute("aria-busy") == "true":
        if (now := answer.text_content() or "") != seen[-1]:
            assert now.startswith(seen[-1])
            seen.append(now)
    assert len(seen) > 10
    expect(answer).to_have_text(answer_to(STREAMING))
    demo.wait_for(r"ai_chat: done after \d+ chunks")


def test_stop_ends_the_answer_and_the_next_one_begins_anew(page: Page, demo: Demo) -> None:
    chat = panel(page, "Chat")
    chat.get_by_role("button", name="Send").click()
    expect(chat.locator(".answer span").nth(4)).to_be_attached()
    chat.get_by_role("button", name="Stop").click()
    demo.wait_for(r"ai_chat: disconnected after \d+ chunks")
    assert answer_to(STREAMING).startswith(chat.locator(".answer").text_content() or "-")

    page.get_by_label("Your prompt").fill("Hi")
    chat.get_by_role("button", name="Send").click()
    expect(chat.locator(".answer")).to_have_text(answer_to("Hi"), timeout=20_000)


def test_errors_are_shown_at_what_they_are_about(page: Page, demo: Demo) -> None:
    prompt, chat = page.get_by_label("Your prompt"), panel(page, "Chat")
    prompt.fill("")
    prompt.press("Enter")
    expect(chat.get_by_role("alert")).to_have_text("Write something first VALIDATION_ERROR")
    expect(prompt).to_have_attribute("aria-invalid", "true")
    prompt.fill("Please fail")
    prompt.press("Enter")
    expect(chat.get_by_role("alert")).to_contain_text("GENERATOR_FAILED", timeout=20_000)
    expect(prompt).not_to_have_attribute("aria-invalid", "true")
    expect(chat.locator(".answer")).to_have_text(answer_to("Please fail"))


def test_the_progress_bar_moves_stops_and_fails(page: Page, demo: Demo) -> None:
    progress = panel(page, "Progress")
    bar, says = progress.get_by_role("progressbar"), progress.get_by_role("status")
    progress.get_by_role("button", name="Start").click()
    expect(bar).not_to_have_attribute("value", "0")
    progress.get_by_role("button", name="Stop").click()
    expect(says).to_have_text(re.compile(r"^Stopped: \d+ of 12 files are done$"))
    demo.wait_for(r"process_files: disconnected after \d+ chunks")

    progress.get_by_role("button", name="Start").click()
    expect(says).to_have_text("All 12 files are done", timeout=20_000)
    expect(bar).to_have_attribute("value", "100")

    progress.get_by_label("Put a broken file among them").check()
    progress.get_by_role("button", name="Start").click()
    expect(progress.get_by_role("alert")).to_contain_text("broken.pdf cannot be read", timeout=20_000)
    expect(says).to_have_text("Failed: 6 of 12 files are done")


def test_nothing_sticks_out_of_its_panel(page: Page) -> None:
    page.get_by_label("Your prompt").fill("W" * 200)
    page.get_by_label("Your prompt").press("Enter")
    expect(page.locator(".answer")).to_contain_text("W" * 200)
    sticking_out = """
        [...document.querySelectorAll(".panel *")].filter((each) => {
          const [inner, outer] = [each, each.closest(".panel")].map((one) => one.getBoundingClientRect());
          return inner.left < outer.left || inner.right > outer.right;
        }).map((each) => each.tagName)
    """
    assert page.evaluate(sticking_out) == []


@pytest.mark.parametrize("is_there", [True, False], ids=["online", "offline"])
def test_where_vue_is_not_installed_the_page_asks_the_network_for_it(
    browser: Browser, demo: Demo, is_there: bool
) -> None:
    node()
    with open_page(browser, PHONE, []) as page:
        page.route("**/vue", lambda route: route.fulfill(path=HERE / "index.html", content_type="text/html"))
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
        page.route(CDN, lambda route: route.fulfill(path=local_vue(), headers=headers) if is_there else route.abort())
        page.goto(f"{demo.url}/vue")
        if is_there:
            expect(panel(page, "Chat")).to_be_visible()
        else:
            expect(page.get_by_role("alert")).to_have_text("Vue could not be loaded")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
