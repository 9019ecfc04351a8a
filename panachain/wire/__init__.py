"""The way out of this machine: one bounded HTTP client for nodes, relays, proxies and stores, and where it may connect.

No other folder opens a connection (tests/unit/wire/test_one_place.py). Whatever the other side answers, the time, the
bytes and the depth that it takes are bounded here, and a failure is typed. Follows ADR 12 and ADR 16.
"""
