"""The servers that are measured, each as its own documentation would have it written.

All serve the same paths, with the same events and the same ending:

- ``/burst?events=&start=``: *events* tokens, all at once, not before *start*;
- ``/ticks?events=&start=&every=``: tick *n* is due at *start* + *n* x *every*, and says when that was, and when it
  was sent;
- ``/hold?id=``: one token, and then nothing until the client leaves, which is noted;
- ``/cancelled``: what was noted, as JSON: pairs of the stream's id and the time at which it was cancelled.

Times are nanoseconds of the monotonic clock, which all processes of the machine share.
"""
