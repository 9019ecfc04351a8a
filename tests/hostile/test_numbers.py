"""Numbers of a lane's records begin anew in each manifest: whatever a hospital forgot, readers miss nothing.

A hospital that is restored from a backup, or lost its journal, can't use a number twice. One that leaves out numbers
hides what stands behind them: what can be found is delivered, and what is odd about it is told. Follows security rule
22, ADR 17 and ADR 37.
"""

from __future__ import annotations

import random
from unittest.mock import patch

import pytest

from panachain.errors import PartlyDoneError
from panachain.ipld.cid import CID
from panachain.model.scope import Category
from tests.hostile.evil_hospital import EvilHospital
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, upload


@pytest.fixture
def clinic(world: World) -> EvilHospital:
    """A hospital that means no harm, and whose numbers are the test's."""
    made = EvilHospital(world)
    world.patient.pair(made.address)
    return made


def publish(clinic: EvilHospital, *names: str) -> CID:
    """Publish some records in one storage transaction."""
    for name in names:
        clinic.record(name.encode())
    return clinic.publish()


def read(world: World) -> tuple[list[str], list[str]]:
    """Return what a grantee reads, and what is told of it; the patient reads and is told the same."""
    seen = []
    for opening in (world.clinician.open(grant(world)), world.patient.records()):
        names = sorted(record.content.decode() for record in opening)
        assert opening.omissions == []
        seen.append((names, sorted(f"{one.what}: {one.error}" for one in opening.notices)))
    assert seen[0] == seen[1]
    return seen[0]


def test_an_honest_hospitals_numbers_are_not_remarked_upon(world: World) -> None:
    for count in (3, 1, 2):
        upload(world, count)
    opening = world.patient.records()
    assert len(list(opening)) == 6
    assert opening.notices == []


def journal_of(world: World) -> dict[str, bytes]:
    """Return the files of the hospital's journal."""
    return {path.name: path.read_bytes() for path in world.hospital.profile.folder.glob("journal.sqlite*")}


def restore(world: World, files: dict[str, bytes]) -> None:
    """Put the hospital's journal back to what it was."""
    for path in world.hospital.profile.folder.glob("journal.sqlite*"):
        path.unlink()
    for name, content in files.items():
        (world.hospital.profile.folder / name).write_bytes(content)


def uploaded(world: World) -> None:
    """Have a hospital that believes its journal alone publish one record."""
    with patch("panachain.sdk.batches.Batches.reconcile", lambda _: 0):
        upload(world)


def test_what_was_published_after_a_lost_journal_is_found(world: World) -> None:
    for count in (2, 2):
        for _ in range(count):
            uploaded(world)
        restore(world, {})
    names, told = read(world)
    assert (len(set(names)), told) == (4, [])


def test_numbers_that_were_left_out_are_told_and_passed_over(world: World, clinic: EvilHospital) -> None:
    publish(clinic, "a", "b")
    clinic.record(b"c")
    clinic.record(b"d", number=7)
    clinic.record(b"e")
    publish(clinic, "f")
    publish(clinic, "g")
    names, (told,) = read(world)
    assert names == list("abcdefg")
    assert "storage transaction 2: numbers 1 to 6 of category laboratory are missing" in told


@pytest.mark.parametrize(("number", "found"), [(64, ["a", "z"]), (65, ["a"])])
def test_a_gap_is_passed_over_as_far_as_it_is_said(
    world: World, clinic: EvilHospital, number: int, found: list[str]
) -> None:
    """Of a manifest's numbers 64 are looked for beyond the first that is absent."""
    publish(clinic, "a")
    clinic.record(b"z", number=number)
    clinic.publish()
    names, told = read(world)
    assert (names, len(told)) == (found, len(found) - 1)


def test_a_record_that_is_listed_again_is_read_once(world: World, clinic: EvilHospital) -> None:
    header = clinic.record(b"a")
    path = clinic.pairing.path(Category.LABORATORY, 2025)
    clinic.name(header, path)
    clinic.publish()
    clinic.name(header, path)
    publish(clinic, "b")
    assert read(world) == (["a", "b"], [])


def test_what_follows_a_storage_transaction_that_nobody_has_is_found(world: World, clinic: EvilHospital) -> None:
    publish(clinic, "a")
    lost = publish(clinic, *"bcdefgh")
    publish(clinic, "i", "j")
    publish(clinic, "k")
    world.network.store.delete_blocks([lost])
    opening, names = world.clinician.open(grant(world)), []
    with pytest.raises(PartlyDoneError, match="storage transaction 2"):
        names += [record.content.decode() for record in opening]
    assert opening.delivered == 4
    assert len(opening.omissions) == 1


@pytest.mark.parametrize("seed", range(4))
def test_whatever_was_restored_when_nothing_that_was_published_is_missed(world: World, seed: int) -> None:
    """Any history of uploads and backups, each as old as it likes: every record comes, and nothing is odd about it."""
    source = random.Random(seed)
    backups = [journal_of(world)]
    for _ in range(8):
        if source.random() < 0.4:
            restore(world, source.choice(backups))
        uploaded(world)
        backups.append(journal_of(world))
    names, told = read(world)
    assert (len(set(names)), told) == (8, [])
