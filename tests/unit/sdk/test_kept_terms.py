"""A patient's own terms are read from the disk, believed no more than the store, and asked for again when lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import StoreUnavailableError
from panachain.sdk.kept_terms import MAX_SIZE, KeptTerms
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import again, grant


def test_what_is_kept_comes_back_and_is_private(tmp_path: Path) -> None:
    kept = KeptTerms(tmp_path / "terms")
    assert kept.get(3) is None
    kept.keep(3, b"sealed")
    assert (kept.get(3), kept.get(4)) == (b"sealed", None)
    (file,) = (tmp_path / "terms").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.write_bytes(bytes(MAX_SIZE + 1))
    assert kept.get(3) is None


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "terms").write_bytes(b"in the way")
    kept = KeptTerms(tmp_path / "terms")
    kept.keep(1, b"sealed")
    assert kept.get(1) is None


def test_the_store_is_not_asked_for_ones_own_policies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [grant(world).policy_id, grant(world, "nurse").policy_id]

    def asked(_: object) -> Any:
        raise StoreUnavailableError("the store was asked")

    monkeypatch.setattr(world.network.store, "get_block", asked)
    assert [view.policy_id for view in again(world).policies()] == made


@pytest.mark.parametrize("damage", ["lost", "changed", "swapped"])
def test_what_is_lost_or_was_changed_is_asked_for_again(world: World, damage: str) -> None:
    made = [grant(world).policy_id, grant(world, "nurse").policy_id]
    folder = world.patient.profile.folder / "terms"
    first, second = sorted(folder.iterdir())
    if damage == "lost":
        shutil.rmtree(folder)
    elif damage == "changed":
        first.write_bytes(bytes(200))
    else:
        first.write_bytes(second.read_bytes())
    patient = again(world)
    assert [view.policy_id for view in patient.policies()] == made
    assert patient._policies.terms_at(0).grantee == world.clinician.address
    # And it is there again.
    assert len(list(folder.iterdir())) == 2


def test_a_revocation_finds_its_proxies_without_store_and_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world, proxies=[proxy.address for proxy in world.proxies[:2]])

    def down(*_: object, **__: object) -> Any:
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr(world.network.store, "get_block", down)
    for name in ("policy_of", "policies_of", "events"):
        monkeypatch.setattr(world.network.mainchain.policies, name, down)
    monkeypatch.setattr(world.network, "proxies", down)
    monkeypatch.setattr(world.network, "reachable", down)
    report = again(world).revoke(made.policy_id)
    assert (report.deleted, report.shares, report.stage) == (2, 2, "sent, not proven yet")
    assert PROXIES == 3
