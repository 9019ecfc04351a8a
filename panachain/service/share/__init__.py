"""The server of SMART Health Links: gives out sealed files that it can't open."""
