"""Software that travels: whose it is, by the registry and by nothing that the bundle says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import (
    AccessDeniedError,
    ChainUnavailableError,
    InputError,
    IntegrityError,
    SuspendedError,
    UnavailableError,
)
from panachain.model.actors import Role
from panachain.records.viewer_bundle import MEDIA_TYPE, read_bundle, sign_bundle
from panachain.sdk.results.viewers import Standing
from tests.portal.viewers import write
from tests.twin.world import World


@pytest.mark.parametrize("who", ["hospital", "researcher"])
def test_only_what_an_admitted_publisher_signed_is_verified(world: World, tmp_path: Path, who: str) -> None:
    folder = write(tmp_path / "one")
    content = world.sessions[who].viewers.pack(folder)
    for reader in ("patient", "clinician", "researcher", "hospital"):
        view = world.sessions[reader].viewers.check(content)
        view.check()
        assert (view.standing, view.publisher, view.role) == (Standing.VERIFIED, world.sessions[who].address, Role(who))
    bundle = read_bundle(content).bundle
    for forged, standing in (
        # Somebody else's signature, also another publisher's.
        (sign_bundle(bundle, Seed.random().signer()), Standing.FORGED),
        (sign_bundle(bundle, world.clinic._seed.signer()), Standing.FORGED),
        (content.replace(b"Lists values.", b"Takes values."), Standing.FORGED),
        # Nobody's, a patient's, a practitioner's and a registrar's own signature.
        (
            sign_bundle(replace(bundle, publisher=world.proxies[0].actor.address), Seed.random().signer()),
            Standing.UNKNOWN,
        ),
        *(
            (sign_bundle(replace(bundle, publisher=one.address), one._seed.signer()), Standing.UNKNOWN)
            for one in (world.patient, world.clinician, world.registrar)
        ),
    ):
        found = world.patient.viewers.check(forged)
        assert (found.standing, found.is_verified) == (standing, False)
        with pytest.raises(IntegrityError):
            found.check()


def test_a_publisher_who_is_suspended_publishes_nothing_any_more(world: World, tmp_path: Path) -> None:
    content = world.researcher.viewers.pack(write(tmp_path / "one"))
    world.registrar.suspend(world.researcher.address)
    view = world.patient.viewers.check(content)
    assert view.standing is Standing.SUSPENDED
    with pytest.raises(SuspendedError):
        view.check()


def test_a_node_that_shows_another_key_makes_a_publisher_of_nobody(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = world.hospital.viewers.pack(write(tmp_path / "one"))

    def proven(_: Any) -> Any:
        raise IntegrityError("the node shows another key than the registry keeps")

    monkeypatch.setattr(world.network.keys, "check_grantable", proven)
    view = world.patient.viewers.check(content)
    assert view.standing is Standing.FORGED
    assert "another key" in view.reason


def test_where_nobody_can_tell_it_is_not_verified(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = world.hospital.viewers.pack(write(tmp_path / "one"))

    def silent(_: Any) -> Any:
        raise ChainUnavailableError("no node answers")

    for place in (world.network.keys, "check_grantable"), (world.network.mainchain.actors, "actor_of"):
        with monkeypatch.context() as patch:
            patch.setattr(*place, silent)
            view = world.patient.viewers.check(content)
        assert view.standing is Standing.UNCHECKED
        with pytest.raises(UnavailableError):
            view.check()


@pytest.mark.parametrize("who", ["patient", "clinician", "registrar"])
def test_nobody_else_can_publish(world: World, tmp_path: Path, who: str) -> None:
    with pytest.raises(AccessDeniedError, match="hospitals and researchers"):
        world.sessions[who].viewers.pack(write(tmp_path / "one"))


def test_a_folder_that_is_none_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        world.hospital.viewers.pack(tmp_path)
    with pytest.raises(IntegrityError):
        world.hospital.viewers.check(b"something else")


def test_it_travels_with_the_records_that_it_was_granted_with(world: World, tmp_path: Path) -> None:
    file = tmp_path / "any.viewer"
    content = world.researcher.viewers.pack(write(tmp_path / "one"))
    file.write_bytes(content)
    world.hospital.upload([file], world.patient.address, "laboratory")
    policy = world.patient.grant(world.clinician.address, ["laboratory"], until=timedelta(days=1))
    found = [one for one in world.clinician.open(policy.policy_id) if one.info.media_type == MEDIA_TYPE]
    assert [one.content for one in found] == [content]
    assert world.clinician.viewers.check(found[0].content).is_verified
    other = world.patient.grant(world.nurse.address, ["allergies"], until=timedelta(days=1))
    assert not list(world.nurse.open(other.policy_id))


def test_a_view_is_json(world: World, tmp_path: Path) -> None:
    view = world.patient.viewers.check(world.hospital.viewers.pack(write(tmp_path / "one")))
    told = json.loads(json.dumps(view.to_json()))
    assert (told["schema"], told["standing"], told["role"]) == ("panachain/viewer-check/1", "verified", "hospital")
    assert [one["name"] for one in told["files"]] == ["index.html", "program.js", "style.css", "sum.wasm"]
