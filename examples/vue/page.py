"""The page in Vue. It loads Vue from this server if it is installed, else from a content delivery network."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
CDN = "https://unpkg.com/vue@3/dist/vue.esm-browser.prod.js"
LOCAL = "/vue/vue.js"

_IN_MODULES = Path("node_modules", "vue", "dist", "vue.esm-browser.prod.js")
INSTALLED = (HERE / _IN_MODULES, HERE.parents[1] / "tests" / "node" / _IN_MODULES)
"""The places where npm may have installed Vue: next to this file, or for the tests."""


def local_vue() -> Path | None:
    """Return the path of Vue, as a module for browsers, if it is installed."""
    return next((path for path in INSTALLED if path.is_file()), None)


def page() -> str:
    """Return the page. If Vue is installed, the page needs no other server."""
    html = (HERE / "index.html").read_text("utf-8")
    return html.replace(CDN, LOCAL) if local_vue() else html
