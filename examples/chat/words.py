"""A word generator: no model and no network, but it answers in the same way."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import trio

from trio_streamact import ActionError

ABOUT_STOP = (
    "Press Stop and look at the terminal. The page closes its request, hypercorn notices, and Trio cancels the handler "
    "at the very line where it waits. Its cleanup runs, one line in the terminal says how far it got, and nothing "
    "goes on working for a reader who has left."
)
ABOUT_STREAMS = (
    "These words leave the server one by one. An async function sends each of them, and the page reads them from a "
    "single response while it is still being written. So you see the first word at once, and however the answer ends, "
    "the last thing to come over the wire says how."
)
ABOUT_SLOW_CLIENTS = (
    "Only a few words ever wait in memory. When you read more slowly than I write, the line that sends a word simply "
    "takes longer, and I wait with it. So a slow reader costs the server patience, not memory."
)
ABOUT_ERRORS = (
    "An error is told in plain words, as the last event of the stream, and the words that came before it stay on the "
    "page. Write the word fail to make me do it, or send nothing at all to hear what the server says to that."
)
ABOUT_TRIO = (
    "The handler runs in a Trio nursery that belongs to the response. When the response is over, so is the handler: "
    "there is no background task to forget, no callback, and nothing to poll."
)
ABOUT_ME = (
    "I am no language model, only a generator with a few paragraphs to say, and those it says word by word. Ask me how "
    "streaming works, what Stop does, what Trio has to do with it, or what becomes of a slow reader."
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


async def answer_in_words(prompt: str, say: Callable[[str], Awaitable[None]]) -> None:
    """Say something sensible about *prompt*, word by word: to the same prompt, the same words.

    Raises:
        ActionError: The prompt says "fail".
    """
    for word in re.findall(r"\S+\s*", answer_to(prompt)):
        await say(word)
        await trio.sleep(0.03 + min(len(word), 10) * 0.003)
    if asks_to_fail(prompt):
        raise ActionError("GENERATOR_FAILED", "The word generator failed, because you asked it to", 503)


def answer_to(prompt: str) -> str:
    """Give the whole answer to *prompt*."""
    quoted = prompt.split()
    quote = " ".join(quoted[:QUOTED_WORDS]) + (" …" if len(quoted) > QUOTED_WORDS else "")
    if asks_to_fail(prompt):
        return f"You wrote “{quote}”, so a few words into this answer I am going to"
    keys = _words_of(prompt)
    found = [paragraph for topic, paragraph in TOPICS if keys & topic][:PARAGRAPHS]
    return "\n\n".join([f"You wrote “{quote}”.", *(found or [ABOUT_ME])])


def asks_to_fail(prompt: str) -> bool:
    """Whether *prompt* wants to see an error."""
    return "fail" in _words_of(prompt)


def _words_of(prompt: str) -> set[str]:
    return set(re.findall(r"\w+", prompt.lower()))
