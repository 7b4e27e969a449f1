"""One running stream.

Theory of operation
===================

A stream is one response. Its handler calls ``stream.send``. Each chunk becomes one *frame*: the bytes of one SSE event.
Three objects own what happens to a stream. None of them calls an object above it, except through a parameter that its
signature shows.

**The writer owns the write** (``writer``). It holds the ``buffer``, decides when frames are written, and counts what it
passes to the server. There are two writers. The body chooses one when the response begins:

- `PullWriter`: the server asks the body for one part after the other. A part contains all frames that wait. This works
  everywhere: over HTTP/2 and TLS, inside middleware that needs to see each part, in ``testing``. The handler runs in a
  nursery of the body, so not in the task that sends the response.
- `PushWriter`: if the app is Quart's own, on an HTTP/1.1 connection without TLS, nothing needs to see the parts. Then a
  frame is written to the socket *in the task of its sender*, before ``send`` returns. The handler runs while the server
  asks for the first part, and there is no part. This saves two passes through Trio's scheduler. When many streams are
  busy, these passes are most of the delay of a chunk.

**The lifecycle owns the ending** (``lifecycle``). It is a table of moves without I/O::

    RUNNING -> DRAINING -> ENDED -> DELIVERED
                  any of them  -> LOST

Everything that ends a stream is an event: the handler returns, raises or is overdue, or the server shuts down. The
first event that leads to ENDED decides the outcome and the last frame. Later events have no row in the table, and
change nothing. A stream is DELIVERED when the server has taken the last frame while the client was still connected.
Otherwise it is LOST.

**The watchdog of the exchange owns time** (``_hypercorn``): it decides when a heartbeat is due, and when a client has
stalled. The body only passes it the writer's ``beat``.

Which code runs in which task
-----------------------------

- With a `PushWriter`, ``send`` may write to the socket. So the code of the writer runs in the task of the handler, or
  in any task that the handler starts. Therefore a write never raises there: the handler would receive an exception that
  does not concern it, and might catch it. Instead, a failed write drops the buffer, closes the connection and cancels
  the scope of the handler.
- Bytes that cannot be written at once are written by a task of the scheduler. All streams of a worker share one
  scheduler.
- A `KeyboardInterrupt` may be raised in any of these tasks. In the middle of a write, it would lose a frame or write it
  twice. So writing is protected from it (``enable_ki_protection``). Handlers are not.
- ``send`` is not a checkpoint while the buffer has room. This departs from Trio's rule, for speed. But each ``send``
  checks for cancellation. It yields if frames wait that cannot be written while the sender keeps running.
- The body's ``__aexit__`` runs in the task that sends the response. It returns when the handler has finished, so no
  handler outlives its request. A cancelled handler may take longer than ``LATE_S`` (a thread, a shielded cleanup). Then
  its stream ends without it, so its client does not wait. The request continues until the handler has finished.

Backpressure
------------

The buffer is bounded in frames and in bytes. When it is full, ``send`` waits, in the order of the calls. The writer
adds the frames of waiting senders when it takes others. The last frame always has room, so an ending never waits for a
client.
"""
