"""The path and the methods at which an action is registered, and the form of the path for clients."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, final
from urllib.parse import quote

import attrs

from .._protocol.encoding import Dialect
from ..limits import Limits
from .action import AppSettings, StreamAction

_ORDER = ("POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS")
_VARIABLE = re.compile(r"<(?:(?P<kind>\w+)(?:\((?P<arguments>.*?)\))?:)?(?P<name>\w+)>")
_IN_A_PATH = "/:@!$&'()*+,;=~"
"""The characters that are not escaped in a path. Braces are escaped, because they mark variables."""

_KINDS: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "uuid": {"type": "string", "format": "uuid"},
}


def _in_order(methods: Iterable[str]) -> tuple[str, ...]:
    places = {method: place for place, method in enumerate(_ORDER)}
    return tuple(sorted(set(methods), key=lambda method: (places.get(method, places["GET"]), method)))


@final
@attrs.frozen
class Route:
    """One registration of an action.

    Args:
        path: The path in Quart's notation, with the prefix: ``/items/<int:id>``.
        methods: The HTTP methods. References use the first: POST if it is among them. GET comes after the methods
            with a body, because a body can express more than a query.
        action: The action.
        settings: The settings for this action where it has none of its own.
        namespace: Distinguishes actions of the same name: the prefix of the ``StreamActions``, or the name of the
            blueprint.
    """

    path: str
    methods: tuple[str, ...] = attrs.field(converter=_in_order)
    action: StreamAction
    settings: AppSettings
    namespace: str = ""

    @property
    def limits(self) -> Limits:
        """The limits of the action, or else those of the app."""
        return self.action.limits or self.settings.limiter.limits

    @property
    def dialect(self) -> Dialect:
        """The dialect of the action, or else that of the app."""
        return self.action.dialect or self.settings.dialect

    @property
    def template(self) -> str:
        """The path in the notation of clients, with variables in braces: ``/items/{id}``."""
        parts, at = [], 0
        for found in _VARIABLE.finditer(self.path):
            parts += [quote(self.path[at : found.start()], _IN_A_PATH), f"{{{found['name']}}}"]
            at = found.end()
        return "".join([*parts, quote(self.path[at:], _IN_A_PATH)])

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        """The variables of the path, with the JSON Schema of each."""
        return {found["name"]: _schema_of(found) for found in _VARIABLE.finditer(self.path)}


def _schema_of(variable: re.Match[str]) -> dict[str, Any]:
    if variable["kind"] == "any":
        return {"enum": [item.strip().strip("\"'") for item in (variable["arguments"] or "").split(",")]}
    return dict(_KINDS.get(variable["kind"], {"type": "string"}))
