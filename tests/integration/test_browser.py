"""The examples in a real Chromium, on a real server: what a person sees, and what the server learns of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from examples.chat.words import answer_to
from tests.browsers import DESK, PHONE, open_fitting_page, open_page
from tests.demos import Demo

pytestmark = pytest.mark.browser

STREAMING = "How does streaming work?"


# One size each: the example pages share their style, and the other file looks at the other size.
@pytest.fixture(params=[PHONE], ids=["phone"])
def page(browser: Browser, demo: Demo, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page; its server outlives it."""
    with open_fitting_page(browser, request.param) as page:
        yield page


def answer_seen(page: Page) -> str:
    return page.locator(".answer").last.text_content() or ""


def wait_for_words(page: Page, count: int) -> None:
    expect(page.locator(".answer").last.locator("span").nth(count - 1)).to_be_attached()


def test_words_appear_one_by_one_until_the_answer_is_complete(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    page.get_by_label("Your prompt").fill(STREAMING)
    page.get_by_label("Your prompt").press("Enter")

    seen = [""]
    busy = page.locator(".answer[aria-busy]")
    expect(busy).to_be_visible()
    while busy.count():
        if (now := answer_seen(page)) != seen[-1]:
            assert now.startswith(seen[-1])
            seen.append(now)
    assert len(seen) > 10
    assert answer_seen(page) == answer_to(STREAMING)
    expect(page.get_by_text(re.compile(r"^\d+ words in [\d.]+ s$"))).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    demo.wait_for(r"ai_chat: done after \d+ chunks")


def test_stop_ends_the_answer_and_its_handler(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    page.get_by_role("button", name=STREAMING).click()
    wait_for_words(page, 5)
    page.get_by_role("button", name="Stop").click()

    demo.wait_for(r"ai_chat: disconnected after \d+ chunks")
    expect(page.get_by_text(re.compile(r"^Stopped after \d+ words"))).to_be_visible()
    stopped = answer_seen(page)
    assert answer_to(STREAMING).startswith(stopped)
    page.wait_for_timeout(300)
    assert answer_seen(page) == stopped


def test_after_a_stop_the_next_prompt_is_answered(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    page.get_by_role("button", name=STREAMING).click()
    wait_for_words(page, 3)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.get_by_label("Your prompt").fill("Hi")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".answer").last).to_have_text(answer_to("Hi"))


def test_an_empty_prompt_is_refused_at_the_prompt(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    prompt = page.get_by_label("Your prompt")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_have_text("Write something first")
    expect(prompt).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".said")).to_have_count(0)

    prompt.fill("Hi")
    prompt.press("Enter")
    wait_for_words(page, 1)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_error_is_shown_under_the_words_that_came_before_it(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    page.get_by_role("button", name="Please fail").click()
    expect(page.get_by_role("alert")).to_contain_text("The word generator failed, because you asked it to")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    assert answer_seen(page) == answer_to("Please fail")
    demo.wait_for(r"ai_chat: error \(GENERATOR_FAILED\)")


def test_what_a_prompt_says_is_text_and_never_markup(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    markup = '<img src="/none" onerror="document.title=1"> &amp;'
    page.get_by_label("Your prompt").fill(markup)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".you")).to_have_text(markup)
    expect(page.locator(".answer")).to_contain_text(f"You wrote “{markup}”")
    assert page.title() == "Chat"


def test_a_server_that_dies_in_the_middle_is_an_error(browser: Browser, demo: Demo) -> None:
    with open_page(browser, DESK, []) as page:
        page.goto(f"{demo.url}/chat")
        page.get_by_role("button", name=STREAMING).click()
        wait_for_words(page, 3)
        demo.process.kill()
        expect(page.get_by_role("alert")).to_contain_text("STREAM_INCOMPLETE")
        expect(page.get_by_role("button", name="Send")).to_be_visible()

        page.get_by_label("Your prompt").fill("Is anybody there?")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("alert")).to_have_count(2)
        expect(page.get_by_role("alert").last).to_contain_text("NETWORK_ERROR")


def test_a_server_that_is_stopped_in_the_middle_says_so(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/chat")
    page.get_by_role("button", name=STREAMING).click()
    wait_for_words(page, 3)
    assert demo.stop() == 0
    expect(page.get_by_role("alert")).to_contain_text("The server is shutting down")


def test_the_progress_bar_reaches_the_end(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/progress")
    bar = page.get_by_role("progressbar", name="Files processed")
    page.get_by_role("button", name="Start").click()
    seen = {bar.get_attribute("value")}
    while page.get_by_role("button", name="Stop").count():
        seen.add(bar.get_attribute("value"))
    assert len(seen) > 10
    expect(bar).to_have_attribute("value", "100")
    expect(page.get_by_text("100 %")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("All 12 files are done")
    expect(page.locator("#files li.done")).to_have_count(12)
    demo.wait_for(r"process_files: done after \d+ chunks")


def test_stop_ends_the_job(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/progress")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#files li.done")).not_to_have_count(0)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^Stopped: \d+ of 12 files are done$"))
    expect(page.locator("#files li.current")).to_have_count(0)
    demo.wait_for(r"process_files: disconnected after \d+ chunks")


def test_a_broken_file_is_marked_and_told(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/progress")
    page.get_by_label("Put a broken file among them").check()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("broken.pdf cannot be read")
    expect(page.locator("#files li.failed")).to_have_text("broken.pdf")
    expect(page.get_by_role("status")).to_have_text("Failed: 6 of 12 files are done")


def test_a_job_can_be_done_again(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/progress")
    bar = page.get_by_role("progressbar", name="Files processed")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#files li.done")).not_to_have_count(0)
    page.get_by_role("button", name="Stop").click()
    page.get_by_label("Put a broken file among them").check()
    expect(page.get_by_role("status")).to_have_text("Ready")
    expect(bar).to_have_attribute("value", "0")
    page.get_by_label("Put a broken file among them").uncheck()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("status")).to_have_text("All 12 files are done", timeout=20_000)


def test_the_index_leads_to_all(page: Page, demo: Demo) -> None:
    page.goto(demo.url)
    page.get_by_role("link", name="Chat").click()
    expect(page).to_have_title("Chat")
    page.get_by_role("link", name="Progress").click()
    expect(page).to_have_title("Progress")
    # Not clicked: where Vue is not installed, that page would ask the network for it.
    expect(page.get_by_role("link", name="Vue")).to_have_attribute("href", "/vue")
