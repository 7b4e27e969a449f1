"""What every room uses: logging, groups of exceptions, and the releases that were tested."""
