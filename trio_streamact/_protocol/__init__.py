"""The wire format that the server and its clients share: events, chunks, endings, JSON. Nothing here does I/O."""
