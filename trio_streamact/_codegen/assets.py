"""Serve the files of the browser client: its modules, and the generated references to the actions of the app.

All files are small, so they are created once and kept in memory. A browser revalidates its copy on every load.
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
"""The route of the files, below the prefix of the actions. ``file`` is one path segment, without subfolders."""

# text/plain for declarations: browsers display it, and tsc and Deno then use the file extension.
_TYPES = {".js": "text/javascript; charset=utf-8", ".d.ts": "text/plain; charset=utf-8"}


@cache
def own_modules() -> Mapping[str, str]:
    """Return the modules of the browser client and their declarations, by file name."""
    folder = files(__package__.partition(".")[0]) / "browser"
    found = [file for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))]
    return MappingProxyType({file.name: file.read_text("utf-8") for file in sorted(found, key=lambda file: file.name)})


def client_view(routes: Callable[[], Iterable[Route]]) -> Callable[[str], Awaitable[Response]]:
    """Return the view that serves the files. It calls *routes* for each request, so it sees later registrations."""

    async def client_file(file: str) -> Response:
        if file not in own_modules() and file not in _GENERATED:
            abort(404)
        content, content_type, etag = _served(file, tuple(routes()), request.root_path)
        headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"', "X-Content-Type-Options": "nosniff"}
        make = current_app.response_class
        if request.if_none_match.contains_weak(etag):  # a proxy that compresses the file makes the ETag weak
            return make(status=304, headers=headers, content_type=content_type)  # caches update the type from a 304
        return make(content, headers=headers, content_type=content_type)

    return client_file


@lru_cache(maxsize=64)
def _served(file: str, routes: tuple[Route, ...], root: str) -> tuple[bytes, str, str]:
    """Return the content of *file*, its content type and its ETag."""
    content = (_GENERATED[file](routes, root) if file in _GENERATED else own_modules()[file]).encode()
    content_type = next(_TYPES[ending] for ending in _TYPES if file.endswith(ending))
    return content, content_type, hashlib.sha256(content).hexdigest()[:32]


_GENERATED: dict[str, Callable[[tuple[Route, ...], str], str]] = {
    "actions.js": javascript,
    # Without docstrings: they are written for colleagues, but every client can load this file.
    "actions.d.ts": lambda routes, _: typescript(describe(routes), with_docs=False),
}
