"""One running stream.

Theory of operation
===================

A stream is one response. Its handler calls ``stream.send``, and each chunk becomes one *frame*, the bytes of one SSE
event. Three objects own what happens to it, and none of them calls another one upwards but through a parameter that its
signature shows.

**The write belongs to the writer** (``writer``). It holds the ``buffer`` below it, decides when frames leave, and
counts what it hands to the server. There are two, and the body chooses one when the response begins:

- `PullWriter`: the server asks the body for one part after the other, and a part is all the frames that wait. It works
  everywhere: over HTTP/2 and TLS, under middleware that wants to see each part, in ``testing``. The handler runs in a
  nursery of the body, so in another task than the one that sends.
- `PushWriter`: where the app is Quart's own, on an HTTP/1.1 connection without TLS, nothing has to see the parts. Then
  a frame is written to the socket *in the task of its sender, within ``send``*, before ``send`` returns. The handler
  runs within the request for the first part, and there is no part. This saves two passes through Trio's scheduler,
  which are what makes a chunk late when many streams are busy.

**The ending belongs to the lifecycle** (``lifecycle``), a table of moves without I/O::

    RUNNING -> DRAINING -> ENDED -> DELIVERED
                  any of them  -> LOST

Whatever ends a stream (the handler returns, raises, is overdue, the server shuts down) is an event. The first event
that leads to ENDED decides the outcome and the last frame; later ones have no row in the table and change nothing. A
stream is DELIVERED once the server has taken the last frame while the client was still there, else it is LOST.

**Time belongs to the exchange's watch** (``_hypercorn``): when a heartbeat is due, and when a client that takes nothing
has stalled. The body only gives it the writer's ``beat``.

Which code runs in whose task
-----------------------------

- The handler's ``send`` may write to the socket (`PushWriter`), so the writer's code runs in the handler's task, or in
  that of any task the handler starts. Therefore a write never raises there: the handler would get an exception that is
  none of its business, and might catch it. A failed write drops the buffer, closes the connection and cancels the
  handler's scope.
- What could not be written at once is written by a task of the scheduler, of which there is one for all streams of a
  worker.
- A `KeyboardInterrupt` may hit any of these. In the middle of a write it would lose a frame or write it twice, so
  writing is protected from it (``enable_ki_protection``), and handlers are not.
- ``send`` is no checkpoint while there is room; that is a departure from Trio's rule, for speed. It does look for
  cancellation each time, and it yields when frames wait that the sender's own work keeps from being written.
- The body's ``__aexit__`` runs in the task that sends the response, and returns when the handler has finished: no
  handler outlives its request. A handler that is cancelled and does not end within ``LATE_S`` (a thread, a shielded
  cleanup) no longer holds up its client: the stream ends without it, and the request goes on until it is over.

Backpressure
------------

The buffer is bounded in frames and in bytes. When it is full, ``send`` waits, in the order in which senders came; the
writer adds their frames as it takes others. The last frame always has room, so an ending never waits for a client.
"""
