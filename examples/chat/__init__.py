"""A chat: the words of an answer, one by one."""
