"""Clients of HTTP/2, good and bad, for the `World` of `tests.chaos`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import attrs
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import trio
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, WindowUpdateFrame

from tests.chaos import Client, GoneError, Order, Visit, drain
from tests.chaos_app import LIMITS, PREFIX

DEFAULT_WINDOW_BYTES = 65_535
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@attrs.define(eq=False)
class Reply:
    """What has come of one response."""

    order: Order
    body: bytearray = attrs.field(factory=bytearray)
    status: str = ""
    is_complete: bool = False
    was_reset: bool = False


@attrs.define(eq=False)
class Connection:
    """A connection of HTTP/2 that opens its windows by so much as it has received, times *generosity*."""

    visit: Visit
    stream: trio.SocketStream
    generosity: float = 1.0
    replies: dict[int, Reply] = attrs.field(factory=dict)
    is_over: bool = False
    is_odd: bool = False
    _h2: h2.connection.H2Connection = attrs.field(
        factory=lambda: h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    )
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _sending: trio.Lock = attrs.field(factory=trio.Lock)

    async def start(self, window_bytes: int = DEFAULT_WINDOW_BYTES) -> None:
        self._h2.initiate_connection()
        if window_bytes != DEFAULT_WINDOW_BYTES:
            self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        await self._flush()

    async def ask(self, order: Order) -> Reply:
        """Send a request."""
        if self.is_over and self.visit.is_stopping():
            raise GoneError
        stream_id = self._h2.get_next_available_stream_id()
        reply = self.replies[stream_id] = Reply(order)
        headers = [
            (":method", "POST"),
            (":path", PREFIX + order.path),
            (":scheme", "http"),
            (":authority", "test"),
            ("content-length", str(len(order.body))),
        ]
        try:
            self._h2.send_headers(stream_id, headers, end_stream=not order.body)
        except h2.exceptions.ProtocolError as error:
            if self.visit.is_stopping():  # it has sent a GOAWAY
                raise GoneError from error
            raise
        if order.body:
            self._h2.send_data(stream_id, order.body, end_stream=True)
        await self._flush()
        return reply

    async def reset(self, reply: Reply) -> None:
        """Tell the server that nobody waits for *reply* any more."""
        stream_id = self._id_of(reply)
        if not reply.is_complete and not self.is_over:
            await self.send(RstStreamFrame(stream_id, error_code=8).serialize())

    async def open_window(self, reply: Reply, size: int) -> None:
        """Take *size* bytes more of *reply*."""
        if not reply.is_complete and not self.is_over:
            updates = [WindowUpdateFrame(stream_id, window_increment=size) for stream_id in (0, self._id_of(reply))]
            self._expect(size)
            with suppress(h2.exceptions.StreamClosedError):
                self._h2.increment_flow_control_window(size, self._id_of(reply))
            self._h2.clear_outbound_data_buffer()
            await self.send(b"".join(update.serialize() for update in updates))

    async def open_connection_window(self, size: int) -> None:
        """Take *size* bytes more, of any stream whose own window allows it."""
        self._expect(size)
        await self.send(WindowUpdateFrame(0, window_increment=size).serialize())

    def _expect(self, size: int) -> None:
        self._h2.increment_flow_control_window(size)
        self._h2.clear_outbound_data_buffer()

    async def send(self, data: bytes) -> None:
        """Send bytes of which our side of the protocol knows nothing."""
        try:
            async with self._sending:
                await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.is_over = True

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def check_all(self, replies: Iterable[Reply]) -> None:
        """Check each of *replies*, also behind one to whose request the server was gone already."""
        gone = False
        for reply in replies:
            try:
                await self.check(reply)
            except GoneError:
                gone = True
        if gone:
            raise GoneError

    async def check(self, reply: Reply) -> None:
        """Wait for *reply* to end, and check it."""
        await self.until(lambda: reply.is_complete or reply.was_reset or self.is_over)
        if self.visit.is_stopping() and not reply.status:
            raise GoneError
        assert reply.is_complete, f"{reply.order.path}: reset={reply.was_reset}, {bytes(reply.body[-200:])!r}"
        assert reply.status == "200"
        self.visit.check(reply.order, bytes(reply.body))

    async def read(self) -> None:
        """Read until the server closes the connection, or we do."""
        try:
            async for data in self.stream:
                for event in self._h2.receive_data(data):
                    self._take(event)
                await self._flush()
                self._tell()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except h2.exceptions.FlowControlError:
            if not self.is_odd:  # else it has opened windows behind its own back
                raise
        self.is_over = True
        self._tell()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated) or not hasattr(event, "stream_id"):
            return
        reply = self.replies.get(event.stream_id or 0)
        if reply is None:
            return
        match event:
            case h2.events.ResponseReceived():
                reply.status = dict(event.headers)[":status"]  # type: ignore[index, assignment]  # decoded to text
            case h2.events.DataReceived():
                reply.body += event.data
                if self.generosity:
                    self._h2.acknowledge_received_data(
                        int(event.flow_controlled_length * self.generosity), event.stream_id
                    )
            case h2.events.StreamEnded():
                reply.is_complete = True
            case h2.events.StreamReset():
                reply.was_reset = True

    def _id_of(self, reply: Reply) -> int:
        return next(stream_id for stream_id, known in self.replies.items() if known is reply)

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            await self.send(data)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def connected(
    visit: Visit, generosity: float = 1.0, window_bytes: int = DEFAULT_WINDOW_BYTES
) -> AsyncIterator[Connection]:
    """Connect, and read in the background; in the end, leave."""
    connection = Connection(visit, await visit.connect(), generosity)
    async with trio.open_nursery() as nursery:
        await connection.start(window_bytes)
        nursery.start_soon(connection.read)
        try:
            yield connection
        finally:
            await visit.leave(connection.stream)  # first: cancelled, it would hide an error in flight
            nursery.cancel_scope.cancel()


# Good clients


async def multiplexes(visit: Visit) -> None:
    async with connected(visit) as connection:
        replies = []
        for _ in range(visit.dice.randint(1, 8)):
            replies.append(await connection.ask(visit.order()))
            await visit.a_moment(0.02)
        await connection.check_all(replies)


async def resets_some(visit: Visit) -> None:
    async with connected(visit) as connection:
        replies = [await connection.ask(visit.order()) for _ in range(visit.dice.randint(2, 8))]
        lost = [await connection.ask(visit.endless_order()) for _ in range(visit.dice.randint(1, 4))]
        for reply in lost:
            await visit.a_moment(0.2)
            await connection.reset(reply)
        await connection.check_all(replies)


async def opens_its_window_slowly(visit: Visit) -> None:
    count = visit.dice.randint(50, 300)
    order = Order("/count", b'{"count":%d,"size":900}' % count, {"done"}, count)
    async with connected(visit, generosity=0, window_bytes=1000) as connection:
        reply = await connection.ask(order)
        while not reply.is_complete and not reply.was_reset and not connection.is_over:
            await connection.open_window(reply, visit.dice.randint(1, 20_000))
            await trio.sleep(0.02)
        await connection.check(reply)


async def has_a_sibling_that_takes_nothing(visit: Visit) -> None:
    async with connected(visit, generosity=0) as connection:
        stuck = await connection.ask(Order("/flood", b"", set()))
        await connection.until(lambda: len(stuck.body) > 30_000 or connection.is_over)
        await connection.open_connection_window(10**6)
        for _ in range(3):
            order = visit.order()
            if order.count * 950 < DEFAULT_WINDOW_BYTES:
                await connection.check(await connection.ask(order))
        if not visit.is_stopping():
            await connection.until(lambda: stuck.was_reset)


async def watches_several(visit: Visit) -> None:
    """Read streams without an end, until the server says that it stops."""
    async with connected(visit) as connection:
        await connection.check_all([await connection.ask(visit.lasting_order()) for _ in range(5)])


# Bad clients


async def leaves_in_the_middle(visit: Visit) -> None:
    async with connected(visit, visit.dice.choice([0, 1.0])) as connection:
        for _ in range(visit.dice.randint(1, 8)):
            await connection.ask(visit.dice.choice([visit.order, visit.endless_order])())
        await visit.a_moment()


async def goes_away(visit: Visit) -> None:
    async with connected(visit) as connection:
        for _ in range(visit.dice.randint(1, 5)):
            await connection.ask(visit.dice.choice([visit.order, visit.endless_order])())
        await visit.a_moment()
        await connection.send(GoAwayFrame(0, last_stream_id=0, error_code=0).serialize())
        await connection.until(lambda: connection.is_over)


async def takes_no_bytes(visit: Visit) -> None:
    async with await visit.connect(receive_bytes=4096) as stream:
        connection = Connection(visit, stream)
        await connection.start(window_bytes=2**31 - 1)
        await connection.send(WindowUpdateFrame(0, window_increment=2**31 - 1 - DEFAULT_WINDOW_BYTES).serialize())
        for _ in range(visit.dice.randint(1, 3)):
            await connection.ask(Order("/flood", b"", set()))
        await trio.sleep(LIMITS.stall_s * 2.5)
        await drain(stream)


async def sends_odd_frames(visit: Visit) -> None:
    """Frames that HTTP/2 allows but for their moment, or that nobody knows; between those of a request."""
    dice = visit.dice
    async with connected(visit) as connection:
        connection.is_odd = True
        await connection.ask(visit.endless_order())
        for _ in range(dice.randint(1, 20)):
            frame = dice.choice(
                [
                    PingFrame(0, dice.randbytes(8)).serialize(),
                    PriorityFrame(dice.randrange(1, 99), depends_on=0, stream_weight=dice.randrange(256)).serialize(),
                    RstStreamFrame(dice.randrange(1, 9, 2), error_code=dice.randrange(14)).serialize(),
                    WindowUpdateFrame(dice.randrange(9), window_increment=dice.randrange(1, 2**31)).serialize(),
                    HeadersFrame(dice.randrange(1, 99), dice.randbytes(20), flags=["END_HEADERS"]).serialize(),
                    (8).to_bytes(3, "big") + bytes([dice.randrange(256), dice.randrange(256), 0, 0, 0, 1]) + b"x" * 8,
                    dice.randbytes(dice.randrange(1, 40)),
                ]
            )
            await connection.send(frame)
            await visit.a_moment(0.02)


async def begins_with_garbage(visit: Visit) -> None:
    stream = await visit.connect()
    try:
        await stream.send_all(PREFACE + visit.dice.randbytes(visit.dice.randrange(200)))
        with trio.move_on_after(visit.dice.random() * 0.5):
            await drain(stream)
    except trio.BrokenResourceError:
        pass
    finally:
        await visit.leave(stream)


GOOD: Sequence[Client] = (multiplexes, resets_some, opens_its_window_slowly, has_a_sibling_that_takes_nothing)
BAD: Sequence[Client] = (
    leaves_in_the_middle,
    goes_away,
    takes_no_bytes,
    sends_odd_frames,
    begins_with_garbage,
)
