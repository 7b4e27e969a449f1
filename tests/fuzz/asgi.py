"""Asking an app in this process, as ASGI has it; and what any answer must be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import trio
from attrs import field, frozen
from quart_trio import QuartTrio

EXAMPLE_S = 10.0
"""How long one request may take. Far more than it should: the machine may be busy."""

REFUSALS = ("PARSE_ERROR", "VALIDATION_ERROR", "CROSS_SITE_REQUEST")
"""How a client may be told that the request, and nothing else, is wrong."""


@frozen
class Request:
    """A request, its body in the parts in which it comes."""

    method: str
    path: str
    query: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: Sequence[bytes] = field(default=(), repr=False)


@frozen
class Reply:
    """What a client was answered."""

    status: int
    content_type: str
    body: bytes


async def answer(app: QuartTrio, request: Request) -> Reply:
    """Have the app answer, as a server of any kind would."""
    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": quote(request.path).encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": list(request.headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
        "extensions": {},
        "_quart._preserve_context": False,  # so Quart's test client marks its own: there is no server
    }
    parts = [*request.body, b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not parts:
            await trio.sleep_forever()
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    with trio.fail_after(EXAMPLE_S):
        await app(scope, receive, send)  # type: ignore[arg-type]  # hypercorn's unions of messages
    assert [message["type"] for message in sent[:1]] == ["http.response.start"]
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    headers = {name.lower(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers.get(b"content-type", ""), b"".join(m.get("body", b"") for m in sent[1:]))


def endings(body: bytes) -> list[Any]:
    """Take a body of a stream apart, and give its frames that are endings: it has one, and that is its last."""
    assert body.endswith(b"\n\n"), body
    frames = body[:-2].split(b"\n\n")
    assert all(frame.startswith(b"data: ") and b"\n" not in frame for frame in frames), body
    values = [json.loads(frame[6:]) for frame in frames]
    found = [value for value in values if isinstance(value, dict) and {"__actions_done", "__actions_error"} & {*value}]
    assert found == values[-1:], body
    return found


def check(reply: Reply) -> None:
    """The stream that answers any request: it says that it is done, or what is wrong with the request."""
    assert reply.status == 200, reply
    assert reply.content_type.startswith("text/event-stream"), reply
    [ending] = endings(reply.body)
    if "__actions_error" in ending:
        assert ending["__actions_error"]["code"] in REFUSALS, ending
        assert ending["__actions_error"]["message"]
        for messages in ending["__actions_error"].get("fieldErrors", {"": ["-"]}).values():
            assert messages
            assert all(messages), ending
