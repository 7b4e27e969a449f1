"""Read multipart forms as their bytes arrive: fields into bounded memory, files onto the disk.

Quart's parser is not used: it reads a form that is cut short, or not valid, as an empty form. The form and the files
are stored where Quart stores them, so that ``await request.files`` returns the files.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, final

import attrs
import trio
from quart import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

PIECE_BYTES = 64 * 1024
"""The most bytes that are parsed between two checkpoints."""

HEAD_BYTES = 16 * 1024
"""The largest head of one part. The limit is needed because parsing a head may take more than linear time."""

HEAD_PARAMETERS = 8
"""The most parameters in the head of one part: parsing one of five bytes costs as much as hundreds of other bytes."""

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class InvalidForm(ValueError):  # noqa: N818 - caught by the caller of this module
    """The body is not a valid multipart form, or is cut short."""


@final
@attrs.define(eq=False)
class MultipartReader:
    """Reads one form.

    Attributes:
        fields: (name, text) pairs of its fields, in order.
        files: (name, file) pairs, in order.
        size_bytes: The total size of the fields.
    """

    _request: Request
    _encoding: str
    _fields_bytes: int
    fields: list[tuple[str, str]] = attrs.field(factory=list, init=False)
    files: list[tuple[str, Any]] = attrs.field(factory=list, init=False)
    size_bytes: int = attrs.field(default=0, init=False)
    _part: Field | File | None = attrs.field(default=None, init=False)
    _value: bytearray = attrs.field(factory=bytearray, init=False)
    _stream: Any = attrs.field(default=None, init=False)

    async def read(self, body: AsyncIterator[bytes]) -> None:
        """Read the form from the parts of *body*, and store it in the request.

        Raises:
            InvalidForm: The body is not a valid form.
            RequestEntityTooLarge: The form exceeds a limit of Quart or ``Limits.input_bytes``.
        """
        try:
            boundary = self._request.mimetype_params["boundary"].encode("ascii")
            decoder = MultipartDecoder(boundary, max_parts=self._request.max_form_parts)
            async for data in body:
                for at in range(0, len(data), PIECE_BYTES):
                    decoder.receive_data(data[at : at + PIECE_BYTES])
                    self._take(decoder)
                    await trio.lowlevel.checkpoint()
            decoder.receive_data(None)
            if not self._take(decoder):
                raise InvalidForm
        except (KeyError, ValueError) as error:  # a missing parameter, or an error of the decoder or of a charset
            self._close()
            raise InvalidForm from error
        except BaseException:
            self._close()
            raise
        self._request._form = MultiDict(self.fields)
        self._request._files = MultiDict(self.files)

    def _take(self, decoder: MultipartDecoder) -> bool:
        """Process the events of *decoder*; return True if the form is complete."""
        while True:
            if self._part is None and not decoder.complete:
                _check_head(decoder.buffer)
            event = _next_event(decoder)
            if isinstance(event, Epilogue | NeedData):
                return isinstance(event, Epilogue)
            if isinstance(event, Field | File):
                self._begin(event)
            elif isinstance(event, Data):
                self._continue(event)

    def _begin(self, part: Field | File) -> None:
        self._part, self._value = part, bytearray()
        if isinstance(part, File):
            parser = self._request.make_form_data_parser()
            kind = part.headers.get("content-type")
            self._stream = parser.stream_factory(None, kind, part.filename, None)
            storage = parser.file_storage_class(self._stream, part.filename, part.name, headers=part.headers)
            self.files.append((part.name, storage))

    def _continue(self, data: Data) -> None:
        if isinstance(self._part, File):
            self._stream.write(data.data)
            if not data.more_data:
                self._stream.seek(0)
        elif self._part is not None:
            self._value += data.data
            self.size_bytes += len(data.data)
            most = self._request.max_form_memory_size
            if self.size_bytes > self._fields_bytes or (most is not None and self.size_bytes > most):
                raise RequestEntityTooLarge
            if not data.more_data and self._part.name is not None:  # a field without a name is ignored
                self.fields.append((self._part.name, self._value.decode(self._encoding)))
        if not data.more_data:
            self._part = None

    def _close(self) -> None:
        for _, file in self.files:
            file.close()


def _check_head(buffer: bytearray) -> None:
    """Raise ``RequestEntityTooLarge`` if *buffer* begins with a head that exceeds a limit."""
    blank_line = _BLANK_LINE.search(buffer, 0, HEAD_BYTES)
    end = len(buffer) if blank_line is None else blank_line.start()
    if end > HEAD_BYTES or buffer.count(b";", 0, end) > HEAD_PARAMETERS:
        raise RequestEntityTooLarge


def _next_event(decoder: MultipartDecoder) -> Event:
    try:
        return decoder.next_event()
    except RequestEntityTooLarge:  # too many parts
        raise InvalidForm from None
