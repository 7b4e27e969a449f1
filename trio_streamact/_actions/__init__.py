"""Turn a handler into an action, and a request for an action into a running stream."""
