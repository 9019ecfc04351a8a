"""A hospital's batches, what waits, and what patients asked to have moved."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from panachain.errors import TransactionError
from panachain.model.actors import Role
from tests.portal.conftest import Portal, text_of
from tests.twin.chains import TwinSender
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import grant, upload


@pytest.fixture
def world() -> Iterator[World]:
    """A world for each test: what waits is everybody's."""
    with running_world() as made:
        yield made


def test_lists_batches_and_finishes_what_was_interrupted(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    assert "Nothing was published yet" in text_of(client.page("/batches"))
    upload(portal.world, 3)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        upload(portal.world)
    assert "An upload was interrupted" in text_of(client.page("/batches"))
    asked = client.submit("/batches/settle")
    assert len(portal.world.hospital.overview.batches().pending) == 1
    assert "1 transaction was sent" in text_of(client.finish(client.agree(asked)))
    assert portal.world.hospital.overview.batches().pending == ()


def test_what_must_be_uploaded_again_is_named(portal: Portal) -> None:
    """It was sealed for lanes that have new keys since."""
    client = portal.client_of(Role.HOSPITAL)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        upload(portal.world)
    portal.world.patient.revoke(grant(portal.world).policy_id, rotate=True)
    told = text_of(client.finish(client.agree(client.submit("/batches/settle"))))
    assert "1 record of 1 file (laboratory/2025) of patient" in told
    assert list(portal.world.hospital.records()) == []


def test_where_nothing_is_missing_nothing_is_sent(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    done = client.finish(client.agree(client.submit("/batches/settle")))
    assert "nothing had to be sent" in text_of(done)


def test_moves_that_are_due_are_shown_and_done(portal: Portal) -> None:
    world, client = portal.world, portal.client_of(Role.HOSPITAL)
    upload(world, 2)
    assert "No patient asked" in text_of(client.page("/moves"))
    world.patient.revoke(grant(world).policy_id, rotate=True)
    assert "Move 2 records" in text_of(client.page("/moves"))
    asked = client.submit("/moves/do")
    assert world.hospital.overview.due().records == 2
    told = text_of(client.finish(client.agree(asked)))
    assert "It is done" in told
    assert "Records with a new place 2" in told
    assert "No patient asked" in text_of(client.page("/moves"))


def test_where_many_are_paired_somebody_asks_for_it(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    with patch("panachain.portal.pages.hospital_batches._AT_ONCE", 0):
        assert "takes a while" in text_of(client.page("/moves"))
    assert "No patient asked" in text_of(client.finish(client.submit("/moves/look")))


@pytest.mark.parametrize("path", ["/hospital", "/batches", "/moves", "/patients", "/withdrawals", "/upload"])
def test_nobody_but_a_hospital_has_them(portal: Portal, path: str) -> None:
    client = portal.client_of(Role.PRACTITIONER)
    client.page(path, 403)
    assert f'href="{path}"' not in client.page("/me")


@pytest.mark.parametrize(
    "path", ["/batches/settle", "/moves/do", "/moves/look", "/upload/discard", "/patients/withdraw"]
)
def test_nothing_is_done_without_the_sessions_token(portal: Portal, path: str) -> None:
    client = portal.client_of(Role.HOSPITAL)
    assert client.post(path, data={"upload": "x"}, headers={"origin": str(portal.site.origin)}).status_code == 403
    assert client.get(path).status_code in (400, 404, 405)
