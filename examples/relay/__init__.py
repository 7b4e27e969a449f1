"""A relay: it forwards the words of another service one by one."""
