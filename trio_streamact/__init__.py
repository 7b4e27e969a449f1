"""Streaming server actions for quart-trio apps on hypercorn."""

from ._common.versions import known_versions

with known_versions():
    from ._actions.action import StreamAction
    from ._actions.definition import StreamActionView, define_stream_action
    from ._actions.rate_limits import rate_limit
    from ._stream.signals import Outcome, StreamReport, stream_ended, stream_opened
    from ._stream.stream import Stream
    from .errors import ActionError, InvalidInput, OversizedChunkError
    from .extension import StreamActions
    from .limits import Limits

__all__ = [
    "ActionError",
    "InvalidInput",
    "Limits",
    "Outcome",
    "OversizedChunkError",
    "Stream",
    "StreamAction",
    "StreamActionView",
    "StreamActions",
    "StreamReport",
    "define_stream_action",
    "rate_limit",
    "stream_ended",
    "stream_opened",
]
