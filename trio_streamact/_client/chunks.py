"""The bytes of a stream to its chunks, each of the declared type."""

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
"""Makes a chunk of JSON values."""


@lru_cache(maxsize=1024)  # pydantic takes milliseconds for a schema
def structure_of(declared: Any) -> Structure:
    """Find the function that makes chunks of type *declared*, once a type.

    Raises:
        TypeError: They cannot be made of JSON.
    """
    return input_schema(declared).structure


@final
@attrs.define(eq=False)
class ChunkReader(Generic[Chunk]):
    """Feed it the bytes of one stream, it gives the chunks that they complete.

    Attributes:
        ending: How the stream has ended, or None as long as it has not.
    """

    _structure: Callable[[Any], Chunk]
    _decoder: EventDecoder
    ending: Done | ActionError | None = attrs.field(default=None, init=False)

    def feed(self, part: bytes) -> Iterator[Chunk]:
        """Take the next bytes, and give the chunks that they complete, one by one, up to the ending."""
        structure, read = self._structure, read_json
        # The first event may have begun in an earlier part; those behind it lie within this one.
        read_next = read_json if may_hold_long_number(part) else read_json_of_short_numbers
        try:
            for type_, data in self._decoder.feed_raw(part):
                value = read(data)
                read = read_next
                # Most events are neither, and this is where the time of a client goes.
                if type_ or (value.__class__ is dict and (DONE_KEY in value or ERROR_KEY in value)):
                    self.ending = ending_of(type_, value)
                    if self.ending is not None:
                        return
                yield structure(value)
        except OversizedEventError as error:
            self.ending = _because_of(error, event_too_large())
        except Exception as error:  # also whatever the declared type's own code raises
            self.ending = _because_of(error, malformed_event())


def _because_of(cause: Exception, error: ActionError) -> ActionError:
    if isinstance(cause, InvalidInput):
        cause.add_note(str(cause.field_errors))  # which its text does not tell
    error.__cause__ = cause
    return error
