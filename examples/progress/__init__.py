"""A progress bar for a job that takes some seconds."""
