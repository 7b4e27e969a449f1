"""Decode the bytes of a stream to chunks of the declared type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Generic, TypeVar, final

import attrs

from .._inputs import input_schema
from .._protocol.decoding import EventDecoder, OversizedEventError
from .._protocol.encoding import DONE_KEY, ERROR_KEY
from .._protocol.json import may_hold_long_number, read_json, read_json_of_short_numbers
from .._protocol.messages import Done, ending_of
from ..errors import ActionError, InvalidInput
from .errors import event_too_large, malformed_event

Chunk = TypeVar("Chunk")

Structure = Callable[[Any], Any]
"""Converts JSON values to a chunk of the declared type."""


@lru_cache(maxsize=1024)  # pydantic takes milliseconds to create a schema
def structure_of(declared: Any) -> Structure:
    """Return the function that converts JSON values to chunks of the type *declared*.

    Raises:
        TypeError: *declared* cannot be structured from JSON.
    """
    return input_schema(declared).structure


@final
@attrs.define(eq=False)
class ChunkReader(Generic[Chunk]):
    """Decodes the chunks of one stream: feed it bytes, and it yields the chunks that they complete.

    Attributes:
        ending: The ending of the stream, or None before it has ended.
    """

    _structure: Callable[[Any], Chunk]
    _decoder: EventDecoder
    ending: Done | ActionError | None = attrs.field(default=None, init=False)

    def feed(self, part: bytes) -> Iterator[Chunk]:
        """Yield the chunks that *part*, the next bytes, completes. After the ending, yield nothing more.

        An event that is malformed or too large is an ending too.
        """
        structure, read = self._structure, read_json
        # The first event may have begun in an earlier part. The events after it lie within this part.
        read_next = read_json if may_hold_long_number(part) else read_json_of_short_numbers
        try:
            for type_, data in self._decoder.feed_raw(part):
                value = read(data)
                read = read_next
                # Most events are chunks, and this is the hot path of a client: check quickly for an ending.
                if type_ or (value.__class__ is dict and (DONE_KEY in value or ERROR_KEY in value)):
                    self.ending = ending_of(type_, value)
                    if self.ending is not None:
                        return
                yield structure(value)
        except OversizedEventError as error:
            self.ending = _caused_by(error, event_too_large())
        except Exception as error:  # code of the declared type, such as a validator, may raise anything
            self.ending = _caused_by(error, malformed_event())


def _caused_by(cause: Exception, error: ActionError) -> ActionError:
    if isinstance(cause, InvalidInput):
        cause.add_note(str(cause.field_errors))  # its str() does not contain them
    error.__cause__ = cause
    return error
