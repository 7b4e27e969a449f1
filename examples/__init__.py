"""Small pages and actions on one server. Run them with ``make demo``."""
