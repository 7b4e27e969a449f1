"""The same two examples in Vue."""
