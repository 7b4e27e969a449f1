"""Convert an input to the URL and the body of the request."""

from __future__ import annotations

import json
import re
from typing import Any, final
from urllib.parse import quote

import attrs

from .._protocol.json import encode_json
from .errors import invalid_input

_VARIABLE = re.compile(r"\{(\w+)\}")  # in the notation of OpenAPI
_UNRESERVED = "!*'()"  # with the characters that `quote` keeps, all that JavaScript's encodeURIComponent keeps
_QUERY_METHODS = frozenset({"GET", "HEAD"})


@final
@attrs.frozen
class RequestData:
    """The parts of a request that depend on the input."""

    url: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


def request_data(url: str, method: str, input: object) -> RequestData:
    """Fill the variables of *url* from *input*. Put the rest into the query for GET and HEAD, else into a JSON body.

    None means no input.

    Raises:
        ActionError: ``INVALID_INPUT``: the input is not JSON serializable, or has no value for a variable of *url*.
    """
    try:
        text = b"{}" if input is None else encode_json(input)
    except (TypeError, ValueError) as error:
        raise invalid_input() from error
    variables = _VARIABLE.findall(url)
    if not variables and method not in _QUERY_METHODS:
        return RequestData(url, body=text)
    members = json.loads(text)
    if not isinstance(members, dict):
        raise invalid_input("The input must be an object, because the URL contains its members")
    filled = _VARIABLE.sub(lambda found: _path_segment(found[1], members), url)
    rest = {name: value for name, value in members.items() if name not in variables}
    if method in _QUERY_METHODS:
        return RequestData(filled, query=tuple((name, _as_text(value)) for name, value in rest.items()))
    return RequestData(filled, body=encode_json(rest))


def _path_segment(name: str, members: dict[str, Any]) -> str:
    text = _as_text(members.get(name))
    if text in ("", ".", ".."):  # such a segment changes the path, also if it is escaped
        raise invalid_input(f"The input has no valid value for the URL variable {name}")
    return quote(text, safe=_UNRESERVED)


def _as_text(value: Any) -> str:
    """Return *value* as text for a URL, as nuxt-actions' client does: a string unchanged, null as "", else as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode_json(value).decode()
    # A lone surrogate, which JSON can express and UTF-8 cannot, becomes U+FFFD.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
