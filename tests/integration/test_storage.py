"""The store of a whole network: swept, it still serves what was published; exported, it serves elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from panachain.errors import BlockNotFoundError
from panachain.ipld.cid import CID, RAW
from panachain.model.scope import Purpose
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.sdk import storage as stores
from panachain.storage.embedded import EmbeddedStore
from tests.support import World

# The quick tests of sweeping and exporting: tests/unit/storage and tests/cli/test_storage.py.
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def source(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish two storage transactions, one of them with a file of several leaves, and grant all of it."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([folder], "patient")
    (folder / "image.dcm").write_bytes(sample_dicom(1))
    (folder / "scan.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(3 << 20))
    world.hospital.upload([folder], "patient")
    end = int(world.network.mainchain.head_block().time) + 86_400
    world.patient.grant("clinician", ["all"], purpose=Purpose.TREAT, until=end)
    world.clinician.request("patient", ["laboratory"], Purpose.TREAT, "before surgery")
    return folder


def opened(world: World) -> list[bytes]:
    return sorted(record.content for record in world.patient.records())


def test_sweeping_keeps_all_that_anybody_reads(world: World, source: Path) -> None:
    store = world.network.store
    before, held = opened(world), set(store.blocks())
    garbage = CID.of(RAW, b"left behind by an upload that was killed")
    store.put_block(garbage, b"left behind by an upload that was killed")

    found = stores.collect_garbage(world.network, now=time.time() + 10, grace=5)

    assert [part.removed for _, part in found] == [1]
    assert set(store.blocks()) == held
    with pytest.raises(BlockNotFoundError):
        store.get_block(garbage)
    assert opened(world) == before
    (policy,) = world.clinician.inbox()
    assert len(list(world.clinician.open(policy.policy_id))) > 0
    assert [request.note for request in world.patient.requests()] == ["before surgery"]
    assert world.hospital.pairing(world.patient.whoami())


def test_what_the_hospital_exports_serves_elsewhere(
    world: World, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(world)
    roots = stores.journal_roots(world.hospital.profile.folder)
    assert len(roots) == 2
    with open(tmp_path / "hospital.car", "wb") as file:
        report = stores.export_car(world.network.store, roots, file, name="hospital.car")
    assert report.missing == ()
    other = EmbeddedStore(tmp_path / "elsewhere")
    with open(tmp_path / "hospital.car", "rb") as file:
        assert stores.import_car(other, file, name="hospital.car").pinned == 2

    # The pairings, in which patients find their lanes again, are the patient's own.
    for event in world.network.sidechain.identities.paired(patient=world.patient.address):
        cid = CID(RAW, event.digest)
        other.put_block(cid, world.network.store.get_block(cid))
        other.pin(cid)
    # The patient reads from the other store alone: the CAR holds all that the records need.
    monkeypatch.setattr(world.network, "store", other)
    assert opened(world) == before
    # And there it is swept as safely: terms are somebody else's to keep.
    stores.collect_garbage(world.network, now=time.time() + 10, grace=5)
    assert opened(world) == before
    other.close()
