"""Anybody submits a signed revocation: with no profile, no key, and no word of the patient's but the file."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli.revocation import stage
from panachain.errors import IntegrityError, PolicyUnknownError, RelaysUnavailableError, UsageError
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus
from panachain.sdk.submitting import go_on, own_ids, sign, submit
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import again, grant


def test_a_stranger_submits_what_was_signed_offline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world)

    def nobody(*_: object, **__: object) -> Any:
        raise AssertionError("somebody was asked")

    with monkeypatch.context() as alone:
        for name in ("policy_of", "policies_of", "events"):
            alone.setattr(world.network.mainchain.policies, name, nobody)
        alone.setattr(world.network, "relay", nobody)
        content = sign(world.patient, made)
    assert world.network.mainchain.policies.policy_of(made.policy_id).status is PolicyStatus.ACTIVE
    report = submit(world.network, content)
    assert (report.policy_id, report.proven, report.deleted, report.stage) == (
        made.policy_id,
        True,
        PROXIES,
        "revoked on chain",
    )
    assert world.network.mainchain.policies.policy_of(made.policy_id).status is PolicyStatus.REVOKED
    # Again, by anybody: nothing more happens.
    assert submit(world.network, content).proven
    assert again(world).revocation(made.policy_id).stage == "final"


def test_a_patient_whose_revocation_somebody_else_submitted_is_told_so(world: World) -> None:
    made, other = grant(world), grant(world)
    submit(world.network, sign(world.patient, made))
    world.patient.revoke(other)

    # Every proxy has deleted; this machine hasn't asked any of them, and doesn't say that none did.
    assert [view.stage for view in again(world).policies()] == ["revoked elsewhere", "final"]
    assert stage("revoked elsewhere") == "revoked elsewhere; `panachain settle` asks the proxies"
    again(world).settle()
    assert [view.stage for view in again(world).policies()] == ["final", "final"]


def test_a_proxy_that_was_suspended_meanwhile_is_told_too(world: World) -> None:
    content = sign(world.patient, grant(world))
    world.registrar.suspend(world.network.proxies()[0].address)

    assert submit(world.network, content).deleted == PROXIES


def test_the_file_links_nothing_more_than_the_chain_does(world: World) -> None:
    content = sign(world.patient, grant(world))
    others = [world.patient.address, world.patient._seed.receiving().public.hex(), world.clinician.address]
    assert not any(one.lower() in content.decode().lower() for one in others)
    assert sign(world.patient, PolicyId(json.loads(content)["policy_id"])) == content


@pytest.mark.parametrize("change", [{"chain_id": 1}, {"policy_registry": "0x" + "99" * 20}, {"signature": "00" * 64}])
def test_what_was_changed_goes_nowhere(world: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    content = json.dumps(json.loads(sign(world.patient, grant(world))) | change).encode()
    monkeypatch.setattr(world.network, "relay", None)
    with pytest.raises(IntegrityError):
        submit(world.network, content)


def test_a_revocation_for_another_network_is_refused_before_anything_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sign(world.patient, grant(world))
    monkeypatch.setattr(world.network.mainchain, "chain_id", 5)
    monkeypatch.setattr(world.network, "relay", None)
    with pytest.raises(UsageError, match=r"this network's is .* on chain 5; nothing was sent"):
        submit(world.network, content)


def test_nobody_signs_another_patients(world: World) -> None:
    with pytest.raises(PolicyUnknownError):
        sign(world.patient, PolicyId("0x" + "11" * 20))


def test_where_nobody_takes_it_that_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    content = sign(world.patient, grant(world))

    def down(*_: object) -> Any:
        raise RelaysUnavailableError("no relay answers")

    monkeypatch.setattr(world.network, "relay", lambda *_: SimpleNamespace(revoke=down))
    for proxy in world.proxies:
        proxy.up = False
    with pytest.raises(RelaysUnavailableError, match="no relay answers") as caught:
        submit(world.network, content)
    assert "never expires" in caught.value.hint


def test_own_ids_come_from_the_seed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [grant(world).policy_id, grant(world, "nurse").policy_id]
    monkeypatch.setattr(world.network, "mainchain", None)
    assert own_ids(world.patient) == made


def test_where_nothing_is_left_nobody_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world)
    world.patient.revoke(made)
    monkeypatch.setattr(world.network, "relay", None)
    monkeypatch.setattr(world.network, "mainchain", None)
    assert go_on(world.patient) == []
