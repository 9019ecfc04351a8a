"""Consent: grants, terms, rules and receipts. No I/O."""
