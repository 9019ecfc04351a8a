"""A fast world with real actors, cryptography and proxies for each test (tests/twin/world.py)."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.twin.world import World, running_world


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture
def ordinary_depth() -> Iterator[None]:
    """Let Python recurse as deep as in a program of one's own: tools for tests raise the limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)
