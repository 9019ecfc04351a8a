"""Services: the running proxy."""
