"""The portal over the twins' world, for the tests of its modules and pages."""

from __future__ import annotations

from tests.portal.conftest import portal, world

__all__ = ["portal", "world"]
