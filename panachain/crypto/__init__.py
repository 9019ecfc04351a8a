"""Cryptography: vetted primitives composed by published formats (docs/spec/formats.md). No home-made arithmetic."""
