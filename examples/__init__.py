"""Two small apps in one server: run them with ``make demo``."""
