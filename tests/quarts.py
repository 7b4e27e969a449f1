"""What differs between the releases of Quart that the tests run on."""

from __future__ import annotations

from typing import Any

import quart.ctx
import quart.globals

HOLDS_CONTEXTS = not hasattr(quart.ctx, "RequestContext")
"""Whether there is one context for app and request, with a count (Quart 0.23): it is held, and torn down once."""

TEARDOWNS = 1 if HOLDS_CONTEXTS else 2
"""How often teardown functions run: after the handler, and where the context is copied, after the view too."""

RequestContext: Any = getattr(quart.ctx, "RequestContext", quart.ctx.AppContext)


def current_request_context() -> Any:
    """Return the context of the current request itself, of which Quart gives a proxy."""
    proxy: Any = getattr(quart.globals, "request_ctx", quart.globals.app_ctx)
    return proxy._get_current_object()
