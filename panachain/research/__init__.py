"""Research: the index of what is public on chain, and its queries."""
