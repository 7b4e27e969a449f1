"""A relay: the words of another service, passed on one by one."""
