"""An input to the request that carries it."""

from __future__ import annotations

import json
import re
from typing import Any, final
from urllib.parse import quote

import attrs

from .._protocol.json import encode_json
from .errors import invalid_input

_VARIABLE = re.compile(r"\{(\w+)\}")  # as OpenAPI writes it
_UNRESERVED = "!*'()"  # with what `quote` leaves anyway, what JavaScript's encodeURIComponent does
_QUERY_METHODS = frozenset({"GET", "HEAD"})


@final
@attrs.frozen
class Outgoing:
    """Where an input goes, and as what."""

    url: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


def outgoing(url: str, method: str, input: object) -> Outgoing:
    """Fill the variables of *url* from *input*, and make of the rest a query or a body of JSON, as *method* has it.

    None is an input that was left out.

    Raises:
        ActionError: ``INVALID_INPUT``: it cannot be encoded, or lacks what the path needs.
    """
    try:
        text = b"{}" if input is None else encode_json(input)
    except (TypeError, ValueError) as error:
        raise invalid_input() from error
    variables = _VARIABLE.findall(url)
    if not variables and method not in _QUERY_METHODS:
        return Outgoing(url, body=text)
    members = json.loads(text)
    if not isinstance(members, dict):
        raise invalid_input("An input that goes into the address must be an object")
    filled = _VARIABLE.sub(lambda found: _path_segment(found[1], members), url)
    rest = {name: value for name, value in members.items() if name not in variables}
    if method in _QUERY_METHODS:
        return Outgoing(filled, query=tuple((name, _as_text(value)) for name, value in rest.items()))
    return Outgoing(filled, body=encode_json(rest))


def _path_segment(name: str, members: dict[str, Any]) -> str:
    text = _as_text(members.get(name))
    if text in ("", ".", ".."):  # encoded or not, they lead to another path
        raise invalid_input(f"The input has no {name} that can stand in the address")
    return quote(text, safe=_UNRESERVED)


def _as_text(value: Any) -> str:
    """Say *value* in an address as the model's client does: text as it is, null as nothing, the rest as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode_json(value).decode()
    # Half of a pair of surrogates, which JSON can say and UTF-8 cannot, becomes U+FFFD.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
