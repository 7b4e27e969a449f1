"""One running stream."""
