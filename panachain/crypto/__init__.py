"""Cryptography: vetted primitives composed by published formats (docs/spec/crypto.md). No home-made arithmetic."""
