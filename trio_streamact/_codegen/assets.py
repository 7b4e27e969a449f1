"""The files of the browser client, as an app serves them: our own modules, and the references to the app's actions.

All are small, so they are made once and kept in memory; a browser asks each time whether its copy still holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType

from quart import Response, abort, current_app, request

from .._actions.routes import Route
from .description import describe
from .javascript import javascript
from .typescript import typescript

PATH = "/_client/<file>"
"""Where they are served behind the prefix of the actions. One level: there is nowhere else to go from here."""

# As text/plain, since browsers show that, and tsc and Deno go by the end of the name then.
_TYPES = {".js": "text/javascript; charset=utf-8", ".d.ts": "text/plain; charset=utf-8"}


@cache
def own_modules() -> Mapping[str, str]:
    """Read the modules of the browser client and their declarations, by the names of their files."""
    folder = files(__package__.partition(".")[0]) / "browser"
    found = [file for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))]
    return MappingProxyType({file.name: file.read_text("utf-8") for file in sorted(found, key=lambda file: file.name)})


def client_view(routes: Callable[[], Iterable[Route]]) -> Callable[[str], Awaitable[Response]]:
    """Make the view that serves the files for the actions at *routes*, which are those there are when it is asked."""

    async def client_file(file: str) -> Response:
        if file not in own_modules() and file not in _MADE:
            abort(404)
        content, content_type, etag = _served(file, tuple(routes()), request.root_path)
        headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"', "X-Content-Type-Options": "nosniff"}
        make = current_app.response_class
        if request.if_none_match.contains_weak(etag):  # weak is what a proxy that compresses makes of it
            return make(status=304, headers=headers, content_type=content_type)  # a cache takes the type from it, too
        return make(content, headers=headers, content_type=content_type)

    return client_file


@lru_cache(maxsize=64)
def _served(file: str, routes: tuple[Route, ...], root: str) -> tuple[bytes, str, str]:
    """The content of *file*, its type and its ETag."""
    content = (_MADE[file](routes, root) if file in _MADE else own_modules()[file]).encode()
    content_type = next(_TYPES[ending] for ending in _TYPES if file.endswith(ending))
    return content, content_type, hashlib.sha256(content).hexdigest()[:32]


_MADE: dict[str, Callable[[tuple[Route, ...], str], str]] = {
    "actions.js": javascript,
    # Without docs: the author wrote those for colleagues, and this is for whoever asks.
    "actions.d.ts": lambda routes, _: typescript(describe(routes), with_docs=False),
}
