"""The portal over the twins' world, for the tests of its modules and pages."""

from __future__ import annotations

from tests.portal.conftest import one_loop, portal, world

__all__ = ["one_loop", "portal", "world"]
