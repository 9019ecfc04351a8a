"""A record that vanishes from a hospital's manifests without a word is noticed by who saw it, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest

from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.records import Reason
from panachain.records import merging
from panachain.records.locate import open_manifests
from panachain.sdk.own_history import OwnHistory
from tests.twin.world import World
from tests.unit.sdk.helpers import again, grant, upload


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two manifests of a level become one of the next."""
    monkeypatch.setattr(merging, "FAN", 2)


def read(world: World, who: str, made: object = None) -> tuple[int, list[str]]:
    """Return how many records somebody reads, and what they are told."""
    session = again(world, who)
    opening = session.records() if who == "patient" else session.open(made)
    return len(list(opening)), [f"{one.what}: {one.error}" for one in opening.notices]


def named(world: World) -> set[str]:
    """Return the headers of the manifests that readers go through."""
    hospital = world.hospital.whoami()
    manifests = open_manifests(world.network.store, world.network.heads_of(hospital))
    return {str(cid) for one in manifests if one for _, cid in one.rows()}


def dropped(world: World) -> CID:
    """Publish two records, and leave the first one out of the manifest that stands for both; return its header."""
    upload(world)
    first = CID.parse(next(iter(world.hospital.records())).record_id)
    read(world, "patient")
    made = grant(world)
    read(world, "clinician", made)
    with patch.object(OwnHistory, "_withdrawn", lambda *_: {first}):
        upload(world)
    assert str(first) not in named(world)
    return first


def test_what_vanishes_without_a_word_is_told_each_time(world: World) -> None:
    header = dropped(world)
    for _ in range(2):
        count, (told,) = read(world, "patient")
        assert count == 1
        assert told.startswith("category laboratory: 1 record was here")
        assert str(header) in told


def test_a_grantee_who_saw_it_is_told_and_nobody_who_did_not(world: World) -> None:
    upload(world)
    made = grant(world)
    read(world, "clinician", made)
    first = CID.parse(next(iter(world.hospital.records())).record_id)
    with patch.object(OwnHistory, "_withdrawn", lambda *_: {first}):
        upload(world)
    assert [len(told) for _, told in (read(world, "clinician", made), read(world, "patient"))] == [1, 0]


def withdraw(world: World) -> None:
    (record,) = world.hospital.records()
    world.hospital.withdraw([record.record_id], Reason.WRONG_PATIENT)


def rewrap(world: World) -> None:
    world.patient.revoke(grant(world), rotate=True)
    assert again(world, "hospital").rewrap().moved == 1


def reseal(world: World) -> None:
    (record,) = world.hospital.records()
    world.patient.choices.recategorize([record.record_id], "private")
    assert again(world, "hospital").rewrap().resealed == 1


@pytest.mark.parametrize(("what", "left"), [(withdraw, 2), (rewrap, 3), (reseal, 3)])
def test_what_was_withdrawn_or_re_wrapped_drops_out_and_nothing_is_told(
    world: World, what: Callable[[World], None], left: int
) -> None:
    upload(world)
    first = next(iter(world.hospital.records())).record_id
    read(world, "patient")
    what(world)
    read(world, "patient")
    for _ in range(2):
        upload(world)
    assert first not in named(world)
    for _ in range(2):
        assert read(world, "patient") == (left, [])


def test_while_a_manifest_is_missing_nothing_counts_as_vanished(world: World) -> None:
    for _ in range(3):
        upload(world)
    assert read(world, "patient") == (3, [])
    newest = CID(DAG_CBOR, world.network.manifests_of(world.hospital.address)[-1])
    block = world.network.store.get_block(newest)
    world.network.store.delete_block(newest)
    opening = world.patient.records()
    with pytest.raises(Exception, match="storage transaction 3"):
        list(opening)
    assert opening.notices == []
    world.network.store.put_block(newest, block)
    assert read(world, "patient") == (3, [])


def test_what_is_kept_tells_no_names_and_can_be_lost(world: World) -> None:
    dropped(world)
    folder = world.patient.profile.folder / "kept"
    (file,) = folder.glob("headers-*.sealed")
    assert world.hospital.address.lower() not in file.name.lower()
    file.write_bytes(b"damaged")
    assert read(world, "patient") == (1, [])
    assert read(world, "patient") == (1, [])
