"""A progress bar for work that takes a while."""
