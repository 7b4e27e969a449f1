"""A word generator. It answers like a language model, but needs no model and no network."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import trio

from trio_streamact import ActionError

ABOUT_STOP = (
    "Press Stop and read the terminal. The page closes its request, hypercorn notices that, and Trio cancels the "
    "handler at the line where it waits. Its cleanup runs. One line in the terminal reports how many chunks were sent. "
    "After that, the server does no more work for this request."
)
ABOUT_STREAMS = (
    "The server sends these words one by one. An async function sends each word, and the page reads them from a single "
    "response while the server still writes it. So you see the first word at once. The last event of the response "
    "reports how the answer ended: done, or an error."
)
ABOUT_SLOW_CLIENTS = (
    "Only a few words wait in the memory of the server. If your browser reads more slowly than I write, the line "
    "that sends a word waits. So a slow client costs the server time, but hardly any memory."
)
ABOUT_ERRORS = (
    "An error is the last event of the stream, and contains a code and a message. The words that came before it stay "
    "on the page. Write the word fail, and I will fail. Or send an empty prompt, and the server will refuse it."
)
ABOUT_TRIO = (
    "The handler runs in a Trio nursery that belongs to the response. When the response has ended, the handler has "
    "ended, too. There is no background task, no callback, and nothing to poll."
)
ABOUT_ME = (
    "I am not a language model. I am a generator with a few paragraphs, which I send word by word. Ask me how "
    "streaming works, what Stop does, how Trio is used, or what happens with a slow client."
)

TOPICS = (
    ({"stop", "stops", "stopped", "cancel", "cancels", "cancelled", "leave", "disconnect", "close"}, ABOUT_STOP),
    ({"slow", "slowly", "fast", "backpressure", "memory", "buffer", "wait"}, ABOUT_SLOW_CLIENTS),
    ({"error", "errors", "wrong", "exception", "fails"}, ABOUT_ERRORS),
    ({"trio", "nursery", "async", "await", "task", "tasks"}, ABOUT_TRIO),
    ({"stream", "streams", "streaming", "work", "works", "word", "words", "happening", "sse"}, ABOUT_STREAMS),
)
PARAGRAPHS = 2
QUOTED_WORDS = 8


async def answer_in_words(prompt: str, send: Callable[[str], Awaitable[None]]) -> None:
    """Send an answer to *prompt*, word by word. The same prompt has the same answer.

    Raises:
        ActionError: The prompt contains the word "fail".
    """
    for word in re.findall(r"\S+\s*", answer_to(prompt)):
        await send(word)
        await trio.sleep(0.03 + min(len(word), 10) * 0.003)
    if asks_to_fail(prompt):
        raise ActionError("GENERATOR_FAILED", "The word generator failed, because you asked it to", 503)


def answer_to(prompt: str) -> str:
    """Return the whole answer to *prompt*."""
    quoted = prompt.split()
    quote = " ".join(quoted[:QUOTED_WORDS]) + (" …" if len(quoted) > QUOTED_WORDS else "")
    if asks_to_fail(prompt):
        return f"You wrote “{quote}”. So after a few words of this answer, I"
    keys = _words_of(prompt)
    found = [paragraph for topic, paragraph in TOPICS if keys & topic][:PARAGRAPHS]
    return "\n\n".join([f"You wrote “{quote}”.", *(found or [ABOUT_ME])])


def asks_to_fail(prompt: str) -> bool:
    """Return True if *prompt* asks for an error."""
    return "fail" in _words_of(prompt)


def _words_of(prompt: str) -> set[str]:
    return set(re.findall(r"\w+", prompt.lower()))
