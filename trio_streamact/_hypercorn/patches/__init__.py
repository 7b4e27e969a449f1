"""Repairs of hypercorn and quart-trio, one file a fault."""
