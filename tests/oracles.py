"""Outside implementations that tests hold ours against, where this Python has them.

Never a stand-in: a test that wants one is skipped where it isn't, and runs on the Pythons that have it
(tests/skips.py).
"""

from __future__ import annotations

from types import ModuleType

import pytest

WITHOUT = "nucypher-core has no wheel for this Python"
WITHOUT_COINCURVE = "coincurve has no wheel for this Python"


def nucypher() -> tuple[ModuleType, ModuleType]:
    """Return nucypher-core and its Umbral, or skip: its wheels end with 3.12, and Linux on arm64 has none."""
    package = pytest.importorskip("nucypher_core", reason=WITHOUT)
    from nucypher_core import umbral

    return package, umbral


def coincurve() -> ModuleType:
    """Return coincurve, or skip: its wheels end with 3.13, and another package brings the library from then on."""
    package: ModuleType = pytest.importorskip("coincurve", reason=WITHOUT_COINCURVE)
    return package
