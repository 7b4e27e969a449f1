"""Streaming server actions for quart-trio apps on hypercorn."""

from .versions import known_versions

with known_versions():
    from .action import StreamAction
    from .definition import define_stream_action
    from .errors import ActionError, InvalidInput
    from .extension import StreamActions
    from .limits import Limits
    from .rate_limits import rate_limit
    from .reports import StreamReport, stream_ended, stream_opened
    from .stream import Stream
    from .wire import OversizedChunkError

__all__ = [
    "ActionError",
    "InvalidInput",
    "Limits",
    "OversizedChunkError",
    "Stream",
    "StreamAction",
    "StreamActions",
    "StreamReport",
    "define_stream_action",
    "rate_limit",
    "stream_ended",
    "stream_opened",
]
