"""Helpers for all other modules: logging, exception groups, and the tested releases of other packages."""
