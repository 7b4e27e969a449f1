"""Call streaming server actions from Trio, with httpx2: ``pip install trio-streamact[client]``.

A program iterates a stream:

    ai_chat = StreamActionReference("http://127.0.0.1:8000/api/_actions/ai-chat", input=Prompt, chunk=Token)

    async with open_stream_action(ai_chat, Prompt("hi")) as words:
        async for word in words:
            print(word.text)

A user interface shows the state of a run:

    chat = use_stream_action(ai_chat, on_chunk=show)
    await chat.execute(Prompt("hi"))
    print(chat.status, chat.chunks, chat.error)
"""

from ._client.connection import Headers, HeadersSource
from ._client.options import AddressOptions, CallOptions
from ._client.runner import Status, StreamActionRunner, use_stream_action
from ._client.stream import ChunkStream, open_stream_action
from ._codegen import StreamActionReference
from .errors import ActionError

__all__ = [
    "ActionError",
    "AddressOptions",
    "CallOptions",
    "ChunkStream",
    "Headers",
    "HeadersSource",
    "Status",
    "StreamActionReference",
    "StreamActionRunner",
    "open_stream_action",
    "use_stream_action",
]
