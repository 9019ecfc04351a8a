"""What makes a pairing cheap for tests that only need one: it holds a key for each category of each year."""

from __future__ import annotations

import pytest

from panachain.records import pairing


@pytest.fixture
def few_years(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lanes begin with 2015: those of 130 years would take most of the time; test_pairing.py has them all."""
    monkeypatch.setattr(pairing, "FIRST_YEAR", 2015)
