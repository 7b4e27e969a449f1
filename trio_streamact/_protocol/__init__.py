"""What the server and its clients agree on: events, chunks, endings, and JSON. It does no I/O."""
