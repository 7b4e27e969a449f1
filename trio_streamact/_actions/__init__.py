"""From a function to an action, and from a request to a running stream."""
