"""One devnet for each module of integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import World, running_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running
