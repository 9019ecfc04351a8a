"""A fast world with real actors, cryptography and proxies for each test (tests/twin/world.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.twin.world import World, running_world


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running
