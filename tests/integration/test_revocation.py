"""The ladder of a revocation over real chains, a real store and real proxies: R1 to R4, and what each stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain.consent.terms import open_terms
from panachain.crypto import notice
from panachain.crypto.hpke import SealingKey
from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    PolicyRevokedError,
    PolicyUnknownError,
    UnavailableError,
    UsageError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.records.samples import sample_bundle
from panachain.sdk import open_actor
from panachain.sdk.profiles import create_profile, load_profile
from panachain.sdk.proxies import Reader
from tests.support import PASSPHRASE, World

pytestmark = pytest.mark.deep


def until(world: World, seconds: int = 86_400) -> int:
    return int(world.network.mainchain.head_block().time) + seconds


@pytest.fixture(scope="module", autouse=True)
def published(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    publish(world, tmp_path_factory.mktemp("source"), 1)


def publish(world: World, folder: Path, number: int) -> int:
    (folder / "bundle.json").write_bytes(sample_bundle(number))
    return len(world.hospital.upload([folder], "patient").records)


def ids(world: World, reader: str, policy_id: str) -> set[str]:
    return {record.info.content_cid for record in getattr(world, reader).open(policy_id)}


def test_each_step_of_a_revocation_shows(world: World, tmp_path: Path) -> None:
    kept = world.patient.grant("stranger", ["laboratory", "medications"], until=until(world))
    other = world.patient.grant("stranger", ["vitals"], until=until(world))
    policy = world.patient.grant("clinician", ["laboratory"], until=until(world))
    before = ids(world, "clinician", policy.policy_id)
    assert before
    with pytest.raises(PolicyUnknownError):
        world.patient.revocation(policy.policy_id)

    report = world.patient.revoke(policy.policy_id)
    assert (report.stage, report.deleted, report.final) == ("final", 3, True)
    stages = {view.policy_id: view.stage for view in world.patient.policies()}
    assert (stages[policy.policy_id], stages[kept.policy_id]) == ("final", "")

    rotated = world.patient.revoke(policy.policy_id, rotate=True)
    assert (rotated.stage, rotated.tx, rotated.hospitals) == ("lane rotated", "", (world.hospital.address,))
    # The stranger keeps what they had, under another policy; what has other lanes stays as it is.
    assert set(rotated.regranted) == {kept.policy_id}
    new = rotated.regranted[kept.policy_id]
    views = {view.policy_id: view for view in world.stranger.inbox()}
    assert views[kept.policy_id].status is PolicyStatus.REVOKED
    assert views[new].scopes == ("laboratory", "medications")
    assert views[other.policy_id].status is PolicyStatus.ACTIVE
    assert before <= ids(world, "stranger", new)

    count = len(list(world.patient.records()))
    again = publish(world, tmp_path, 2)
    assert before < ids(world, "stranger", new)
    assert len(list(world.patient.records())) == count + again
    assert world.patient.revocation(policy.policy_id).stage == "lane rotated"

    moved = world.hospital.rewrap()
    assert moved.moved >= len(before)
    assert moved.deleted == moved.moved
    assert world.hospital.rewrap().moved == 0
    assert world.patient.revocation(policy.policy_id).stage == "headers re-wrapped"
    assert {view.policy_id: view.stage for view in world.patient.policies()}[policy.policy_id] == "headers re-wrapped"
    assert before < ids(world, "stranger", new)
    assert len(list(world.patient.records())) == count + again

    # Everything is known from seed, chains and proxies alone.
    (world.patient.profile.folder / "revocations.json").unlink()
    fresh = open_actor(world.network, load_profile(world.home, "patient"), PASSPHRASE)
    assert fresh.revocation(policy.policy_id).stage == "headers re-wrapped"


def test_a_reader_who_kept_everything_finds_nothing_in_the_old_lanes(world: World, tmp_path: Path) -> None:
    policy = world.patient.grant("clinician", ["conditions"], until=until(world))
    old = ids(world, "clinician", policy.policy_id)
    _, terms = world.clinician.terms_of(policy.policy_id)
    world.patient.revoke(policy.policy_id, rotate=True)
    publish(world, tmp_path, 3)
    new = {r.info.content_cid for r in world.patient.records() if r.info.category.value == "conditions"} - old
    assert new

    from panachain.records.locate import locate, open_manifests

    heads = world.network.heads_of(world.hospital.whoami())
    manifests = open_manifests(world.network.store, heads)
    found = [one for lane in terms.lanes for one in locate(world.network.store, heads, manifests, lane)]
    assert {one.info.content_cid for one in found} == old
    with pytest.raises(PolicyRevokedError):
        list(world.clinician.open(policy.policy_id))
    world.hospital.rewrap()
    with pytest.raises(UnavailableError):
        locate(world.network.store, heads, open_manifests(world.network.store, heads), terms.lanes[0])


def test_a_rotation_that_was_interrupted_is_finished_by_the_same_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = world.patient.grant("stranger", ["procedures"], until=until(world))
    policy = world.patient.grant("clinician", ["procedures"], until=until(world))
    monkeypatch.setattr(world.patient._grants, "reissue", None)
    with pytest.raises(TypeError):
        world.patient.revoke(policy.policy_id, rotate=True)
    monkeypatch.undo()

    report = world.patient.revoke(policy.policy_id, rotate=True)

    assert report.stage == "lane rotated"
    assert set(report.regranted) == {kept.policy_id}
    epoch = world.patient.pair("hospital").epoch
    assert world.patient.revoke(policy.policy_id, rotate=True).regranted == {}
    assert world.patient.pair("hospital").epoch == epoch


def test_changing_the_proxy_set_touches_no_record(world: World) -> None:
    policy = world.patient.grant("clinician", ["allergies"], until=until(world))
    before = ids(world, "clinician", policy.policy_id)
    heads = world.network.hospital_heads()
    names = [proxy.address for proxy in world.network.proxies()][1:]

    made = world.patient.reissue(policy.policy_id, proxies=names)

    assert (made.proxies, made.threshold) == (2, 2)
    assert ids(world, "clinician", made.policy_id) == before
    assert world.network.hospital_heads() == heads
    with pytest.raises(AccessDeniedError):
        list(world.clinician.open(policy.policy_id))
    with pytest.raises(UsageError):
        world.patient.reissue(policy.policy_id)


def test_a_group_reads_and_a_former_member_does_not(world: World) -> None:
    group = world.clinician.create_group()
    world.clinician.add_member(group.handle, "stranger")
    world.stranger.accept_group(group.handle)
    policy = world.patient.grant(group.handle, ["immunizations"], until=until(world))

    opened = ids(world, "stranger", policy.policy_id)

    assert opened
    assert opened == ids(world, "clinician", policy.policy_id)
    assert policy.policy_id in [view.policy_id for view in world.stranger.inbox()]
    entries = [entry for entry in world.patient.receipts(policy.policy_id) if entry.kind == "reencrypted"]
    assert {entry.requester for entry in entries} == {world.stranger.address, world.clinician.address}
    assert {entry.grantee for entry in entries} == {group.group}

    view = world.clinician.remove_member(group.handle, "stranger")
    assert view.members == (world.clinician.address,)
    with pytest.raises(AccessDeniedError):
        list(world.stranger.open(policy.policy_id))
    assert ids(world, "clinician", policy.policy_id) == opened
    with pytest.raises(AccessDeniedError):
        world.stranger.add_member(group.handle, "stranger")

    world.clinician.close_group(group.handle)
    with pytest.raises(AccessDeniedError):
        list(world.clinician.open(policy.policy_id))


def group_secrets(world: World, name: str) -> list[Reader]:
    """Return the groups' keys that a reader holds now."""
    session = getattr(world, name)
    return [reader for reader in session._readers() if reader.grantee != session.address]


def finds(world: World, name: str, policy_id: str) -> bool:
    return policy_id in [view.policy_id for view in getattr(world, name).inbox()]


def terms_open(world: World, policy_id: str, secret: SealingKey) -> bool:
    block = world.network.store.get_block(CID(RAW, world.network.mainchain.policies.policy_of(policy_id).terms))
    try:
        open_terms(block, secret)
    except IntegrityError:
        return False
    return True


def test_a_removed_member_learns_nothing_of_what_the_group_is_granted_afterwards(world: World) -> None:
    create_profile(world.home, "newcomer", Role.PRACTITIONER, PASSPHRASE)
    world.actors["newcomer"] = open_actor(world.network, load_profile(world.home, "newcomer"), PASSPHRASE)
    world.newcomer.register()
    group = world.clinician.create_group().handle
    world.clinician.add_member(group, "stranger")
    world.stranger.accept_group(group)
    old = world.patient.grant(group, ["immunizations"], until=until(world)).policy_id
    records = ids(world, "stranger", old)
    kept = group_secrets(world, "stranger")
    assert records
    assert len(kept) == 1
    assert terms_open(world, old, kept[0].sealing)

    shown = world.clinician.remove_member(group, "stranger")
    world.clinician.add_member(group, "newcomer")
    world.newcomer.accept_group(group)
    new = [world.patient.grant(group, ["immunizations"], until=until(world)).policy_id for _ in range(3)]

    assert (shown.generation, shown.renewal_due) == (1, False)
    # Everything that the member ever had: their own key, and the group's of their time.
    bundle = [*(reader.sealing for reader in kept), world.stranger._seed.sealing()]
    assert not any(terms_open(world, policy_id, secret) for policy_id in new for secret in bundle)
    assert not any(finds(world, "stranger", policy_id) for policy_id in (old, *new))
    events = list(world.network.mainchain.policies.events(policy_ids=new, kind="PolicyGranted"))
    noticed = [notice.is_for(kept[0].secret, one.announcement, one.view_tag, one.policy_id) for one in events]
    # By chance once in 256 times each.
    assert len(noticed) == 3
    assert not all(noticed)
    for policy_id in (old, new[0]):
        with pytest.raises(PolicyUnknownError):
            list(world.stranger.open(policy_id))
        # Proxies serve old and new generations alike, to those who count as members now.
        for name in ("clinician", "newcomer"):
            assert finds(world, name, policy_id)
            assert ids(world, name, policy_id) == records


def test_who_leaves_a_group_by_himself_makes_a_renewal_due(world: World) -> None:
    group = world.clinician.create_group().handle
    world.clinician.add_member(group, "stranger")
    world.stranger.accept_group(group)
    kept = group_secrets(world, "stranger")
    assert not world.stranger.groups()[-1].renewal_due

    world.stranger.remove_member(group, "stranger")

    shown = {view.handle: view for view in world.clinician.groups()}[group]
    assert (shown.generation, shown.renewal_due, shown.members) == (0, True, (world.clinician.address,))
    with pytest.raises(AccessDeniedError):
        world.stranger.renew_group(group)
    done = world.clinician.renew_group(group)
    assert (done.generation, done.renewal_due) == (1, False)
    policy = world.patient.grant(group, ["immunizations"], until=until(world)).policy_id
    assert not any(terms_open(world, policy, reader.sealing) for reader in kept)
    assert not finds(world, "stranger", policy)
    assert ids(world, "clinician", policy)


def test_a_researcher_reads_what_an_open_policy_tells_everybody(world: World) -> None:
    end = until(world)
    policy = world.patient.grant("researcher", ["laboratory"], until=end, disclose=True, study=world.researcher.address)

    assert policy.disclosed
    assert [record.info.category.value for record in world.researcher.open(policy.policy_id)]
    rows = world.researcher.query("policies", status="active").rows
    assert policy.policy_id in str(rows)


def test_a_request_is_approved_in_part_and_for_shorter(world: World) -> None:
    from panachain.model.scope import Purpose

    end = until(world, 20 * 86_400)
    made = world.clinician.request("patient", ["laboratory", "vitals"], Purpose.TREAT, "before surgery", until=end)
    asked = made.request_id
    (seen,) = [one for one in world.patient.requests() if one.request_id == asked]
    assert (seen.requester, seen.note, seen.state, seen.until) == (
        world.clinician.address,
        "before surgery",
        "open",
        end,
    )
    for wrong in ({"categories": ["imaging"]}, {"until": end + 1}):
        with pytest.raises(UsageError):
            world.patient.approve(asked, **wrong)

    policy = world.patient.approve(asked, categories=["vitals"], until=end - 86_400)

    for actor in (world.clinician, world.patient):
        (done,) = [one for one in actor.requests() if one.request_id == asked]
        assert (done.state, done.policy_id, done.granted) == ("approved", policy.policy_id, ("vitals",))
    assert {r.info.category.value for r in world.clinician.open(policy.policy_id)} == {"vitals"}
    with pytest.raises(UsageError):
        world.patient.approve(asked)


def test_a_record_goes_into_a_restricted_category_and_nothing_of_it_stays(world: World, tmp_path: Path) -> None:
    for number in (11, 12):
        (tmp_path / f"{number}.json").write_bytes(sample_bundle(number))
    world.hospital.upload([tmp_path], "patient")
    everybody = world.patient.grant("stranger", ["laboratory"], until=until(world)).policy_id
    trusted = world.patient.grant("clinician", ["private"], until=until(world)).policy_id
    before = {one.info.header_cid: one.info for one in world.stranger.open(everybody)}
    envelopes = [info.envelope_cid for info in before.values()]
    gone = next(info for info in before.values() if envelopes.count(info.envelope_cid) > 1)
    content = world.patient.get(gone.header_cid).content

    world.patient.choices.recategorize([gone.header_cid], "private")
    report = world.hospital.rewrap()
    assert (report.resealed, report.omissions) == (1, ())
    left = {one.info.content_cid for one in world.stranger.open(everybody)}
    assert left == {info.content_cid for info in before.values()} - {gone.content_cid}
    assert [one.content for one in world.clinician.open(trusted)].count(content) == 1
    assert not world.network.store.has_block(CID.parse(gone.content_cid))
    assert world.hospital.rewrap().resealed == 0
