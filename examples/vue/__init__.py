"""Both examples again, in Vue."""
