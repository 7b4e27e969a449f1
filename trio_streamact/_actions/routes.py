"""Where an action is registered, and how a client writes that down."""

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
"""What needs no escape in a path; braces do, since here they mean a variable."""

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
    """Where an action is registered.

    Args:
        path: Its path as Quart writes it, with the prefix: ``/items/<int:id>``.
        methods: Its HTTP methods, the one that references name in front: POST if it is among them, and GET behind
            those that have a body, which can hold what a query cannot.
        action: The action.
        settings: What holds there for what the action leaves open.
        namespace: What tells the action from another one of the same name: the prefix of its ``StreamActions``, or the
            name of its blueprint.
    """

    path: str
    methods: tuple[str, ...] = attrs.field(converter=_in_order)
    action: StreamAction
    settings: AppSettings
    namespace: str = ""

    @property
    def limits(self) -> Limits:
        """The limits that hold there."""
        return self.action.limits or self.settings.room.limits

    @property
    def dialect(self) -> Dialect:
        """How its streams end."""
        return self.action.dialect or self.settings.dialect

    @property
    def template(self) -> str:
        """The path as a client writes it, with variables in braces: ``/items/{id}``."""
        parts, at = [], 0
        for found in _VARIABLE.finditer(self.path):
            parts += [quote(self.path[at : found.start()], _IN_A_PATH), f"{{{found['name']}}}"]
            at = found.end()
        return "".join([*parts, quote(self.path[at:], _IN_A_PATH)])

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        """The variables of the path, each with the JSON Schema of what it can be."""
        return {found["name"]: _schema_of(found) for found in _VARIABLE.finditer(self.path)}


def _schema_of(variable: re.Match[str]) -> dict[str, Any]:
    if variable["kind"] == "any":
        return {"enum": [item.strip().strip("\"'") for item in (variable["arguments"] or "").split(",")]}
    return dict(_KINDS.get(variable["kind"], {"type": "string"}))
