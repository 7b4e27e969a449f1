"""Registered actions as a module of JavaScript: what a page must know to call them, and nothing more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from .._actions.routes import Route
from .names import exports

MADE_BY = "Made by trio-streamact from the stream actions of the app: do not edit, make it anew."
_UNSAFE = re.compile("[\ud800-\udfff\u2028\u2029]")


def javascript(routes: Iterable[Route], root: str = "") -> str:
    """Write ``actions.js``.

    Args:
        routes: Where the actions are registered.
        root: Where the app is mounted, if not at the root of its host.
    """
    lines = [f"// {MADE_BY}", ""]
    for export, route in exports(routes).items():
        members = {"name": route.action.name, "path": root + route.template, "method": route.methods[0]}
        written = ", ".join(f"{name}: {text(value)}" for name, value in members.items())
        lines.append(f"export const {export} = Object.freeze({{ {written} }});")
    return "\n".join([*lines, *([] if lines[2:] else ["export {};"]), ""])


def text(value: str) -> str:
    """Write *value* as a string of JavaScript."""
    # Half a character is all that UTF-8 cannot hold; the separators end lines in old readers of the language.
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
