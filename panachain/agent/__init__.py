"""The agent: a small process that keeps a profile unlocked for a while, and how others ask it.

It holds a key store's data key, which opens nothing without the file, and never the seed. Linux only.
Follows docs/spec/agent.md and ADR 51.
"""
