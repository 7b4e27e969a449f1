"""The short way from a stream to the kernel: a frame is written in the very step in which it is sent."""

from __future__ import annotations

from typing import Protocol, final

import attrs
import trio

from .._common.logs import log
from .._hypercorn import Exchange
from .._protocol.encoding import HEARTBEAT
from .buffer import GATHER_S, FrameChannel, Gathering

FIRST_TURNS = 2
"""How many turns of all others the head of a response waits for the first frame."""

MOST_IN_A_ROW = 16
"""How many frames are written for a sender before others run, should it never wait for anything else."""


class Sender(Protocol):
    """Who hears how an outlet gets on."""

    def frames_taken(self, frames: list[bytes]) -> None:
        """*frames* are about to be written."""

    def all_written(self) -> None:
        """The kernel has taken all that was begun, and the last frame may have been in it."""

    def write_failed(self) -> None:
        """A write has failed as none should."""


@final
@attrs.define(eq=False)
class Outlet:
    """Writes the frames of one stream, with no task of its own.

    A frame that comes alone is written at once, before its sender goes on. Those that follow within ``GATHER_S`` leave
    together, when all that is ready has had its turn; so does what waited for the kernel.

    Args:
        channel: The frames.
        exchange: Where they are written to.
        sender: Who hears of it.
    """

    _channel: FrameChannel
    _exchange: Exchange
    _sender: Sender
    ends_response: bool = attrs.field(default=False, init=False)
    """Whether the end of the response leaves with the last frame, although the handler is not over."""
    _first_turns: int = attrs.field(default=FIRST_TURNS, init=False)
    _is_begun: bool = attrs.field(default=False, init=False)
    _wrote_at: float = attrs.field(default=0.0, init=False)
    _in_a_row: int = attrs.field(default=0, init=False)
    _has_turn: bool = attrs.field(default=False, init=False)
    _flushed: trio.Event | None = attrs.field(default=None, init=False)
    _gathering: Gathering | None = attrs.field(default=None, init=False)

    def open(self) -> None:
        """Begin with the head, which leaves even if no frame comes."""
        self._channel.on_readable = self._on_readable
        self._ask_for_turn()

    def close(self) -> None:
        """Begin no more writes."""
        self._channel.on_readable = None
        if self._gathering is not None:
            self._channel.put_back(self._gathering.frames)
            self._gathering = None

    @trio.lowlevel.enable_ki_protection
    async def finish(self) -> None:
        """Write all that is left, and the end of the response with it."""
        self.close()
        if self._flushed is not None:
            await self._flushed.wait()
        channel = self._channel
        try:
            while channel.has_frames:
                frames = channel.take(channel.limits.write_bytes)
                self._sender.frames_taken(frames)
                body, ends = b"".join(frames), channel.ends_with(frames)
                if not self._exchange.write_nowait(body, trio.current_time(), ends):
                    await self._exchange.flush()
                channel.written()
        except Exception:
            self._give_up()
        else:
            self._sender.all_written()

    def beat(self) -> None:
        """Show the client that the stream lives."""
        self._write(HEARTBEAT, trio.current_time())

    @trio.lowlevel.enable_ki_protection  # in the midst of this a Ctrl-C would lose a frame, or write it twice
    def _on_readable(self) -> None:
        if self._has_turn or self._flushed is not None:
            return
        channel, now = self._channel, trio.current_time()
        if channel.is_open and now - self._wrote_at >= GATHER_S:
            self._in_a_row += 1
            if self._in_a_row == MOST_IN_A_ROW:
                self._in_a_row, channel.owes_turn = 0, True
            self._write_frames(channel.take(channel.limits.write_bytes), now)
        else:
            self._ask_for_turn()

    def _ask_for_turn(self) -> None:
        self._has_turn = True
        self._exchange.next_turn(self._take_turn)

    def _take_turn(self) -> None:
        self._has_turn = False
        channel = self._channel
        if channel.on_readable is None:
            return
        if self._gathering is None and channel.has_frames:
            self._gathering = Gathering(channel, channel.limits.write_bytes)
        if self._gathering is not None:
            if self._gathering.goes_on():
                self._ask_for_turn()
            else:
                frames, self._gathering = self._gathering.frames, None
                self._write_frames(frames, trio.current_time())
        elif self._first_turns:
            self._first_turns -= 1
            self._ask_for_turn()
        elif not self._is_begun:
            self._write(b"", trio.current_time())  # the head: the handler takes its time

    def _write_frames(self, frames: list[bytes], now: float) -> None:
        self._sender.frames_taken(frames)
        self._write(b"".join(frames), now, self.ends_response and self._channel.ends_with(frames))

    def _write(self, body: bytes, now: float, ends: bool = False) -> None:
        self._is_begun = True
        self._wrote_at = now
        try:
            is_written = self._exchange.write_nowait(body, now, ends)
        except Exception:
            self._give_up()  # and raise nothing: in a sender's step the handler would get it, and might catch it
            return
        if is_written:
            self._on_flushed()
        else:
            self._flushed = trio.Event()
            self._exchange.beside(self._flush)

    async def _flush(self) -> None:
        try:
            await self._exchange.flush()
        except Exception:
            self._give_up()
        else:
            self._on_flushed()

    def _on_flushed(self) -> None:
        if self._flushed is not None:
            self._flushed.set()
            self._flushed = None
        self._channel.written()
        if not self._channel.is_open:
            self._sender.all_written()
        if self._channel.has_frames:
            self._ask_for_turn()

    def _give_up(self) -> None:
        """Write no more: frames may be lost, and what the client has had must not look whole."""
        log.exception("Writing a stream failed")
        self._channel.drop()
        self._exchange.abort()
        if self._flushed is not None:
            self._flushed.set()
        self._sender.write_failed()
