"""A hospital's first page."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from panachain.errors import TransactionError
from panachain.model.actors import Role
from tests.portal.conftest import Portal, text_of
from tests.twin.chains import TwinSender
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import upload


@pytest.fixture
def world() -> Iterator[World]:
    """A world for each test: what waits is everybody's."""
    with running_world() as made:
        yield made


def test_the_first_page_tells_what_waits_and_how_much_there_is(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    assert client.get("/").url.path == "/hospital"
    assert "Nothing waits" in text_of(client.page("/hospital"))
    upload(portal.world, 3)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        upload(portal.world)
    told = text_of(client.page("/hospital"))
    assert "1 batch isn't known to be on the chain" in told
    assert "Records 4" in told


def test_nobody_else_has_it(portal: Portal) -> None:
    portal.client_of(Role.PATIENT).page("/hospital", status=403)
