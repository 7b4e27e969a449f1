"""A real Chromium, and pages in it that must not complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

DEADLINE_S = 20.0

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1200, "height": 760}}

# The machine's own Chromium, which often runs as root in a container, and shall call nobody.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Give the path of Chromium; a test that needs it is left out where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail("Chromium is missing, and nothing is left out in CI")
    pytest.skip("Chromium is missing: install chromium")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Give a Chromium, for as long as the block lasts."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, device: dict[str, Any], complaints: list[str]) -> Iterator[Page]:
    """Give an empty page as on *device*; what its console or its scripts complain of goes into *complaints*."""
    with browser.new_context(**device) as context:
        context.set_default_timeout(DEADLINE_S * 1000)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page


@contextmanager
def open_fitting_page(browser: Browser, device: dict[str, Any]) -> Iterator[Page]:
    """Give an empty page as on *device*; at the end it must fit there, and have no complaints."""
    complaints: list[str] = []
    with open_page(browser, device, complaints) as page:
        yield page
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert complaints == []
