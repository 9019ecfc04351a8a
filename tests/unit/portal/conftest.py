"""The portal over the twins' world, as tests/portal has it."""

from tests.portal.conftest import portal as portal
from tests.portal.conftest import world as world
