"""A hospital that was restored from a backup, or lost its journal, numbers records as it did before: readers notice.

A reader who stops at the first number that is proven absent would find nothing of what was published afterwards. So
what can be found is delivered, and what is odd about it is told. Follows security rule 22 and ADR 17.
"""

from __future__ import annotations

import random

import pytest

from panachain.errors import PartlyDoneError
from panachain.ipld.cid import CID
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


def test_what_was_published_after_a_lost_journal_is_found(world: World, clinic: EvilHospital) -> None:
    publish(clinic, "a", "b")
    clinic.counters.clear()
    publish(clinic, "c", "d", "e")
    names, (told,) = read(world)
    assert names == ["a", "b", "c", "d", "e"]
    assert told.startswith("storage transaction 2: number 0 of lane laboratory is used a second time")


def test_what_was_published_after_a_restored_backup_is_found(world: World, clinic: EvilHospital) -> None:
    publish(clinic, "a", "b")
    backup = dict(clinic.counters)
    publish(clinic, "c", "d")
    publish(clinic, "e", "f")
    clinic.counters = backup
    publish(clinic, "g")
    # Goes on from there, past the number that was expected.
    publish(clinic, "h", "i", "j", "k")
    names, told = read(world)
    assert names == list("abcdefghijk")
    assert [text.split(" of lane")[0] for text in told] == [
        "storage transaction 4: number 2",
        "storage transaction 5: number 3",
    ]


def test_numbers_that_were_left_out_are_told_and_passed_over(world: World, clinic: EvilHospital) -> None:
    publish(clinic, "a", "b")
    clinic.counters = {place: number + 5 for place, number in clinic.counters.items()}
    publish(clinic, "c")
    publish(clinic, "d")
    names, (told,) = read(world)
    assert names == ["a", "b", "c", "d"]
    assert "numbers 2 to 6 of lane laboratory are in no storage transaction" in told


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


def test_what_the_hospital_published_again_once_it_noticed_is_read_once(world: World, clinic: EvilHospital) -> None:
    publish(clinic, "a", "b")
    after = dict(clinic.counters)
    clinic.counters.clear()
    publish(clinic, "c", "d")
    clinic.counters = after
    publish(clinic, "c", "d", "e")
    names, (told,) = read(world)
    assert names == ["a", "b", "c", "d", "e"]
    assert "second time" in told


@pytest.mark.parametrize("seed", range(4))
def test_whatever_was_restored_when_nothing_that_was_published_is_missed(
    world: World, clinic: EvilHospital, seed: int
) -> None:
    """Any history of uploads and backups, each as old as it likes: every record comes, and each reuse is told."""
    source = random.Random(seed)
    backups, written, reuses = [dict(clinic.counters)], [], False
    highest = 0
    for step in range(12):
        if source.random() < 0.3:
            clinic.counters = dict(source.choice(backups))
        names = [f"{step:02}-{number}" for number in range(source.randint(1, 3))]
        reuses |= max(clinic.counters.values(), default=0) < highest
        publish(clinic, *names)
        written += names
        highest = max(highest, *clinic.counters.values())
        backups.append(dict(clinic.counters))
    names, told = read(world)
    assert names == sorted(written)
    assert bool(told) == reuses
