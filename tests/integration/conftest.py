"""A real Chromium, and what there is to see in it: the examples, and a site for the clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browsers import open_browser
from tests.demos import Demo, running_demo
from tests.pages import Site, open_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def demo(browser: Browser) -> Iterator[Demo]:
    """The examples in a process of their own; they must stop as they should."""
    with running_demo() as demo:
        yield demo
        if demo.process.poll() is None:
            assert demo.stop() == 0
        assert "Traceback" not in demo.log


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as site:
        yield site


@pytest.fixture
def complaints() -> list[str]:
    return []
