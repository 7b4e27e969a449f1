"""Programs of users, for the type checkers: nothing of it needs to run."""
