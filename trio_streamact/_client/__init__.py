"""The client for Trio.

One idea per file. Each file imports only files before it in this list: ``errors`` (the errors of the client itself),
``response_cleanup`` and ``http2`` (workarounds for faults of httpx2 and httpcore2), ``sending`` (convert an input to a
request), ``connection`` (one response), ``chunks`` (decode bytes to chunks), ``options``, ``stream``, ``runner``.
"""
