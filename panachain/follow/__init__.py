"""One checked local copy of a chain's events, which everything above reads (design section 6, ADR 13)."""
