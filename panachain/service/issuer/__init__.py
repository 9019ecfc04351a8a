"""The running issuer: gives registered patients tokens for relays, and can't know them again."""
