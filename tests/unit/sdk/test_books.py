"""Books: a restored patient has their names again, and nobody else learns one of them."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import labels, padding, stream
from panachain.errors import BlockNotFoundError, IntegrityError, TooLargeError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID
from panachain.model.actors import Role
from panachain.sdk import books as module
from panachain.sdk.books import Books
from panachain.sdk.contacts import add_contact, list_contacts
from panachain.sdk.named_blocks import _pairings
from panachain.sdk.restoring import look_around
from panachain.storage.blocks import keep
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, upload


@pytest.fixture
def named(world: World) -> World:
    """A patient who calls two people by names, and blocks a third."""
    add_contact(world.home, "cardiologist", world.clinician.address, Role.PRACTITIONER)
    add_contact(world.home, "a-study", world.researcher.address)
    world.patient.blocked.add(world.nurse.address)
    return world


@pytest.fixture
def elsewhere(world: World, tmp_path: Path) -> Callable[[], Any]:
    """The same patient on a machine without any state."""

    def session() -> Any:
        network = copy(world.network)
        for name in ("resolver", "key_blocks"):
            vars(network).pop(name, None)
        network.home = tmp_path / "new"
        profile = copy(world.patient.profile)
        object.__setattr__(profile, "folder", network.home / "profiles" / "patient")
        profile.folder.mkdir(parents=True, exist_ok=True)
        return type(world.patient)(network, profile, "")

    return session


def pretend(world: World, plain: bytes) -> None:
    """Let the sidechain name a block of the patient's own with this plaintext."""
    own = world.patient.books
    sealed = stream.seal(padding.pad(plain, module._LEAST), own._key, labels.BOOKS)
    cid = keep(world.network.store, sealed)
    identities = world.network.sidechain.identities
    identities.pair(world.network.person(world.patient._seed.account_key()), world.patient.address, cid.digest)


def test_a_restored_patient_has_the_names_and_whom_they_block(named: World, elsewhere: Callable[[], Any]) -> None:
    kept = named.patient.books.keep()
    assert (kept.contacts, kept.blocked) == (2, 1)
    patient = elsewhere()
    found = look_around(patient)
    assert (found.contacts, found.omissions) == (2, ())
    assert list_contacts(patient.network.home) == list_contacts(named.home)
    assert patient.blocked.accounts() == {named.nurse.address}


def test_nothing_of_them_is_readable_and_short_ones_look_alike(world: World) -> None:
    empty = world.network.store.get_block(CID.parse(world.patient.books.keep().cid))
    add_contact(world.home, "cardiologist", world.clinician.address)
    named = world.network.store.get_block(CID.parse(world.patient.books.keep().cid))
    assert len(empty) == len(named)
    assert b"cardiologist" not in named
    assert bytes.fromhex(world.clinician.address[2:]) not in named
    # Nobody else's key opens them.
    other = Books(world.network, world.home, world.patient.address, world.clinician._seed, world.clinician.blocked)
    with pytest.raises(IntegrityError):
        other.restore()


def test_the_same_books_are_sent_once_and_changed_ones_again(named: World) -> None:
    first, again = named.patient.books.keep(), named.patient.books.keep()
    assert (first.tx != "", again.tx, again.cid) == (True, "", first.cid)
    add_contact(named.home, "nurse-of-ward-3", named.nurse.address)
    changed = named.patient.books.keep()
    assert changed.tx
    assert changed.cid != first.cid


def test_books_that_the_store_lost_are_kept_anew(named: World) -> None:
    first = named.patient.books.keep()
    named.network.store.delete_block(CID.parse(first.cid))
    with pytest.raises(BlockNotFoundError):
        named.patient.books.restore()
    again = named.patient.books.keep()
    assert again.tx
    assert named.patient.books.restore().contacts == 2


def test_they_are_no_hospital_and_change_nothing_of_pairings_and_rotations(named: World) -> None:
    upload(named)
    policy = grant(named)
    before = [one.hospital for one in named.patient.hospitals.all()]
    named.patient.books.keep()
    assert [one.hospital for one in named.patient.hospitals.all()] == before
    assert named.patient.hospitals.all().left_out == ()
    assert named.patient.revoke(policy, rotate=True).final
    named.hospital.rewrap()
    # The newest event of the patient's is the books': it says nothing of lanes, and keeps nobody from anything.
    named.patient.books.keep()
    upload(named)
    assert len(list(named.patient.records())) == 2
    assert named.patient.choices.now().closed == ()
    assert len(list(named.clinician.open(grant(named)))) == 2


def test_a_store_keeps_them_as_what_the_sidechain_names(named: World) -> None:
    kept = named.patient.books.keep()
    blocks = list(_pairings(named.network))
    assert [(one.what, one.by) for one in blocks if str(one.cid) == kept.cid] == [
        ("books", f"patient {named.patient.address}")
    ]


def test_what_is_here_already_stays(named: World, elsewhere: Callable[[], Any]) -> None:
    named.patient.books.keep()
    patient = elsewhere()
    add_contact(patient.network.home, "cardiologist", named.nurse.address)
    add_contact(patient.network.home, "the-study", named.researcher.address)
    report = patient.books.restore()
    assert (report.contacts, report.passed_over) == (0, 2)
    assert {one.name: one.address for one in list_contacts(patient.network.home)} == {
        "cardiologist": named.nurse.address,
        "the-study": named.researcher.address,
    }


def test_without_books_nothing_is_entered(world: World, elsewhere: Callable[[], Any]) -> None:
    report = elsewhere().books.restore()
    assert (report.contacts, report.cid) == (0, "")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"v": 2, "contacts": [], "blocked": []},
        {"v": 1, "contacts": [["x"]], "blocked": []},
        {"v": 1, "contacts": [["0xname", bytes(20), ""]], "blocked": []},
        {"v": 1, "contacts": [["\x1b[2J", bytes(20), ""]], "blocked": []},
        {"v": 1, "contacts": [["name", bytes(19), ""]], "blocked": []},
        {"v": 1, "contacts": [["name", bytes(20), "king"]], "blocked": []},
        {"v": 1, "contacts": 5, "blocked": []},
        {"v": 1, "contacts": [], "blocked": [b"x"]},
        [],
        None,
    ],
    ids=range(11),
)
def test_damaged_ones_are_named_and_take_nothing_with_them(
    world: World, elsewhere: Callable[[], Any], content: Any
) -> None:
    upload(world)
    pretend(world, dagcbor.encode(content))
    patient = elsewhere()
    found = look_around(patient)
    assert [omission.what for omission in found.omissions] == ["books"]
    assert isinstance(found.omissions[0].error, IntegrityError)
    assert (found.records, list_contacts(patient.network.home)) == (1, [])


def test_too_many_names_are_refused_and_the_earlier_books_stay(named: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = named.patient.books.keep()
    add_contact(named.home, "another", named.nurse.address)
    monkeypatch.setattr(module, "_MOST", 100)
    with pytest.raises(TooLargeError):
        named.patient.books.keep()
    monkeypatch.undo()
    assert named.patient.books.restore().cid == first.cid
