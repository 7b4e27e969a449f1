"""The client for Trio.

One idea a file, each of which knows only those before it: ``errors`` (those that a client finds by itself),
``response_cleanup`` and ``http2`` (what the HTTP client does wrong), ``sending`` (an input to a request),
``connection`` (one response), ``chunks`` (bytes to chunks), ``options``, ``stream``, ``runner``.
"""
