"""The patient as a facade: what each call does together with the others."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from panachain.errors import ProxiesUnavailableError, TransactionError, UnknownActorError
from panachain.model.policy import PolicyStatus
from panachain.sdk.patient import Patient
from panachain.sdk.patient_parts import PatientParts
from panachain.sdk.policies import OwnPolicies
from panachain.sdk.proxies import Proxies
from panachain.sdk.relay import LocalRelay
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import again, grant


def test_only_hospitals_are_paired_with(world: World) -> None:
    paired = world.patient.pair(world.hospital.address)
    assert (paired.hospital, paired.epoch) == (world.hospital.address, 0)
    with pytest.raises(UnknownActorError):
        world.patient.pair(world.clinician.address)


def test_settle_looks_after_grants_and_deletions_and_then_has_nothing_to_do(world: World) -> None:
    gone = grant(world)
    world.proxies[0].up = False
    world.patient.revoke(gone.policy_id)
    made = grant(world, "nurse")
    world.proxies[0].up = True
    assert {view.policy_id for view in again(world).settle()} == {gone.policy_id, made.policy_id}
    assert again(world).settle() == []
    assert [view.lacking for view in world.patient.policies()] == [0, 0]


def test_settle_looks_after_all_before_it_says_what_failed(world: World) -> None:
    with patch.object(Proxies, "deposit", return_value=([], [])), pytest.raises(ProxiesUnavailableError):
        grant(world)
    gone = grant(world, "nurse")
    world.proxies[0].up = False
    world.patient.revoke(gone.policy_id)
    world.proxies[0].up = True
    with patch.object(Proxies, "deposit", return_value=([], [])), pytest.raises(ProxiesUnavailableError):
        again(world).settle()
    assert world.proxies[0].store.kfrag(gone.policy_id, 0) is None


def test_settle_reads_the_policies_once_and_once_more_if_it_granted_some_anew(world: World) -> None:
    lost, _ = grant(world), grant(world, "nurse")
    with patch.object(LocalRelay, "grant", side_effect=TransactionError("no")):
        world.patient.revoke(lost.policy_id, rotate=True)
    for reads in (2, 1):
        with patch.object(OwnPolicies, "readable", autospec=True, side_effect=OwnPolicies.readable) as readable:
            again(world).settle()
        assert readable.call_count == reads


def test_terms_are_shown_with_what_the_chain_says(world: World) -> None:
    made = grant(world)
    policy, terms = world.patient.terms_of(made.policy_id)
    assert (policy.status, terms.policy_id, len(terms.proxies)) == (PolicyStatus.ACTIVE, made.policy_id, PROXIES)


def test_everything_is_restored_without_the_profiles_folder(world: World) -> None:
    kept, gone = grant(world), grant(world, "nurse")
    world.patient.revoke(gone.policy_id, rotate=True)
    before = [(view.policy_id, view.status) for view in world.patient.policies()]
    for path in sorted(world.patient.profile.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert [(view.policy_id, view.status) for view in again(world).policies()] == before
    assert before[0] == (kept.policy_id, PolicyStatus.REVOKED)
    # The next number follows those on chain.
    assert grant(world).policy_id not in {policy_id for policy_id, _ in before}


def test_a_closed_session_keeps_no_part(world: World) -> None:
    grant(world)
    world.patient.close()
    parts = {name for name in vars(PatientParts) if name.startswith("_") and not name.startswith("__")}
    assert parts
    assert not parts & set(vars(world.patient))


def test_the_facade_does_nothing_by_itself() -> None:
    """Each public call hands on to a part: no private method stands beside them."""
    assert [name for name in vars(Patient) if name.startswith("_") and not name.startswith("__")] == []
