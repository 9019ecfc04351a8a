"""Key rotation by every role, with real actors and proxies over twins of the chains: nothing that was sealed is lost.

Each rule has its denied twin: who is somebody else, keys that ended, a call that comes again, and a seed that isn't the
account's.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import (
    IntegrityError,
    PartlyDoneError,
    SuspendedError,
    TransactionError,
    UsageError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, PolicyId, Role
from panachain.model.key_block import PublicKeys
from panachain.sdk.batches import Batches
from panachain.sdk.key_rotation import Owner, OwnKeys
from tests.twin.world import TwinProxy, World, resource, running_world, seed_of

DAY = 86_400


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        yield running


def grant(world: World, to: str) -> PolicyId:
    made: PolicyId = world.patient.grant(
        world.sessions[to].address, ["laboratory"], until=world.now + 90 * DAY
    ).policy_id
    return made


def opened(world: World, who: str, policy_id: PolicyId) -> int:
    """Return how many records somebody opens by a policy that is in their inbox."""
    session = world.sessions[who]
    assert policy_id in [view.policy_id for view in session.inbox()]
    return len(list(session.open(policy_id)))


def again(world: World, who: str) -> Any:
    """Return a session of a machine that knows the seed and nothing else."""
    profile = replace(world.sessions[who].profile, folder=world.home / f"restored-{who}")
    profile.folder.mkdir()
    return type(world.sessions[who])(world.network, replace(profile, name=who), "")


@pytest.mark.parametrize("who", ["clinician", "researcher"])
def test_what_was_granted_to_a_reader_opens_after_changes_and_so_does_what_is_granted_then(
    world: World, who: str
) -> None:
    policies = [grant(world, who)]
    for _ in range(2):
        world.sessions[who].keys.rotate()
        world.advance(1)
        policies.append(grant(world, who))

    blocks = {one.policy_id: one.terms for one in world.network.mainchain.policies.events(kind="PolicyGranted")}
    assert [opened(world, who, one) for one in policies] == [1, 1, 1]
    # Each is sealed to the keys of its own time, and to no others.
    for generation, policy_id in enumerate(policies):
        sealed = world.network.store.get_block(CID(RAW, blocks[policy_id]))
        fits = [_opens(sealed, seed_of(who).of_generation(one)) for one in range(3)]
        assert fits == [one == generation for one in range(3)]


def _opens(sealed: bytes, seed: Seed) -> bool:
    from panachain.consent.terms import open_terms

    try:
        open_terms(sealed, seed.sealing())
    except IntegrityError:
        return False
    return True


def test_a_machine_that_has_the_seed_and_the_chains_alone_finds_every_generation(world: World) -> None:
    first = grant(world, "clinician")
    world.clinician.keys.rotate()
    second = grant(world, "clinician")

    restored = again(world, "clinician")

    assert {view.policy_id for view in restored.inbox()} == {first, second}
    assert [len(list(restored.open(one))) for one in (first, second)] == [1, 1]
    assert restored.whoami().public_keys == seed_of("clinician").of_generation(1).public_keys()
    assert [(view.generation, view.state, view.is_own) for view in restored.keys.all()] == [
        (1, "current", True),
        (0, "ending", True),
    ]


def test_a_hospitals_records_of_both_keys_are_read_and_it_goes_on_with_pairings_of_the_old_one(world: World) -> None:
    policy_id = grant(world, "clinician")
    done = world.hospital.keys.rotate()
    assert done.sealed == (("pairings", 1),)
    world.advance(2 * DAY)

    # The pairing was sealed to the key before.
    world.upload("hospital", [resource("laboratory", 2024, 2)])

    assert opened(world, "clinician", policy_id) == 2
    assert len(list(world.patient.records())) == 2
    # The next pairing is sealed to the new one; a machine that has the seed alone publishes with it.
    world.patient.pair(world.hospital.address)
    again(world, "hospital").rewrap()
    world.upload("hospital", [resource("laboratory", 2024, 3)])
    assert opened(world, "clinician", policy_id) == 3


def test_what_is_published_under_keys_after_their_end_is_refused_and_what_was_before_is_read(world: World) -> None:
    policy_id = grant(world, "clinician")
    # A machine of the hospital that doesn't look at the chain goes on with the keys before.
    world.advance(DAY)
    compromised = world.now - 10
    world.hospital.keys.rotate(compromised_since=compromised)
    world.hospital._unlocked = seed_of("hospital")
    world.upload("hospital", [resource("laboratory", 2024, 2)])

    opening = world.clinician.open(policy_id)
    with pytest.raises(PartlyDoneError):
        for _ in opening:
            pass

    assert len(opening.omissions) == 1
    assert "signed with keys that its hospital ended after 1" in str(opening.omissions[0])
    (old,) = [view for view in world.hospital.keys.all() if view.generation == 0]
    assert (old.state, old.ends_at) == ("compromised", compromised)
    assert _count(world.clinician.open(policy_id)) == 1


def test_a_theft_that_is_noticed_after_a_change_is_declared_by_the_next_one(world: World) -> None:
    policy_id = grant(world, "clinician")
    world.advance(DAY)
    stolen = world.now
    # Within the overlap of an ordinary change somebody else publishes with the stolen keys.
    world.advance(60)
    world.hospital.keys.rotate()
    world.hospital._unlocked = seed_of("hospital")
    world.upload("hospital", [resource("laboratory", 2024, 2)])
    world.hospital._unlocked = seed_of("hospital").following(world.hospital._key_generation)
    world.upload("hospital", [resource("laboratory", 2024, 3)])
    assert opened(world, "clinician", policy_id) == 3

    world.advance(60)
    world.hospital.keys.rotate(compromised_since=stolen)

    assert [view.state for view in world.hospital.keys.all()] == ["current", "ended", "compromised"]
    opening = world.clinician.open(policy_id)
    assert _count(opening) == 2
    assert "keys that its hospital ended after 1" in str(opening.omissions[0])


def _count(opening: Any) -> int:
    count = 0
    try:
        for _ in opening:
            count += 1
    except PartlyDoneError:
        pass
    return count


def test_the_same_key_counts_until_the_end_of_an_ordinary_change(world: World) -> None:
    policy_id = grant(world, "clinician")
    world.hospital.keys.rotate(overlap=timedelta(hours=1))
    world.hospital._unlocked = seed_of("hospital")
    world.upload("hospital", [resource("laboratory", 2024, 2)])
    assert opened(world, "clinician", policy_id) == 2

    world.advance(3600)
    world.upload("hospital", [resource("laboratory", 2024, 3)])

    assert _count(world.clinician.open(policy_id)) == 2


def rotate(world: World, proxy: TwinProxy, **how: Any) -> None:
    """Change a proxy's keys, as `panachain proxy rotate-keys` does."""
    seed = seed_of(proxy.name)
    mainchain = world.network.mainchain
    from panachain.chain.signing import Account

    owner = Owner(
        proxy.actor,
        seed,
        lambda: mainchain.actors.actor_of(proxy.address),
        lambda: mainchain.sender(Account(seed.account_key()), lock_folder=world.home),
    )
    OwnKeys(world.network, owner).rotate(**how)


def test_a_running_proxy_serves_what_was_deposited_before_and_takes_what_is_sealed_to_its_new_keys(
    world: World,
) -> None:
    before = grant(world, "clinician")
    for proxy in world.proxies:
        # Twice: it hasn't looked since it started.
        rotate(world, proxy)
        world.advance(11)
        rotate(world, proxy)

    after = grant(world, "clinician")

    assert [opened(world, "clinician", one) for one in (before, after)] == [1, 1]
    world.patient.revoke(before)
    world.patient.revoke(after)


def test_a_proxy_is_asked_for_no_new_share_under_keys_that_others_may_know(world: World) -> None:
    refs = world.network.proxies()
    assert world.network.keys.check_proxies(refs) == set()
    rotate(world, world.proxies[0])
    assert world.network.keys.check_proxies(refs) == set()

    rotate(world, world.proxies[1], compromised_since=world.now - 5)

    with pytest.raises(IntegrityError, match="ended the keys that the policy says: others may know them"):
        world.network.keys.check_proxies(refs)
    # A proxy that ends them between the signature and the shares keeps the others from nothing.
    assert world.network.keys.check_proxies(refs, signed=True) == {refs[1].address}
    with pytest.raises(IntegrityError, match="shows no proxy"):
        world.network.keys.check_proxies([replace(refs[2], key_digest=b"x" * 32)])


def test_nothing_is_sealed_for_a_grantee_to_keys_that_they_ended(world: World) -> None:
    old = world.clinician.whoami()
    world.clinician.keys.rotate()
    # An interrupted grant to the keys before goes on: they count as ended by an ordinary change only.
    world.network.keys.check_grantee(old.address, old.key_digest)

    now = world.clinician.whoami()
    world.advance(10)
    world.clinician.keys.rotate(compromised_since=world.now - 5)

    with pytest.raises(IntegrityError, match="others may know them"):
        world.network.keys.check_grantee(now.address, now.key_digest)


def test_members_of_a_group_read_after_their_own_change_and_get_the_next_secret_under_the_new_keys(
    world: World,
) -> None:
    team = world.clinician.create_group().group
    world.clinician.add_member(team, world.nurse.address)
    world.nurse.accept_group(team)
    policy_id = world.patient.grant(team, ["laboratory"], until=world.now + DAY).policy_id

    world.nurse.keys.rotate()
    assert opened(world, "nurse", policy_id) == 1
    world.clinician.renew_group(team)
    later = world.patient.grant(team, ["laboratory"], until=world.now + DAY).policy_id

    assert [opened(world, "nurse", one) for one in (policy_id, later)] == [1, 1]


def test_a_request_is_answered_across_a_change(world: World) -> None:
    asked = world.clinician.request(world.patient.address, ["laboratory"])
    world.clinician.keys.rotate()
    world.patient.approve(asked.request_id)

    (found,) = world.clinician.requests()
    assert (found.state, len(world.clinician.requests().left_out)) == ("approved", 0)
    assert opened(world, "clinician", found.policy_id) == 1


# Who may not


def test_nobody_changes_the_keys_of_somebody_else_and_no_call_counts_twice(world: World) -> None:
    mainchain = world.network.mainchain
    known = mainchain.actors.actor_of(world.hospital.address)
    assert known is not None
    digest = seed_of("stranger").public_keys().digest
    # The contract takes the caller's own account, of which the call says what it is now.
    for sender in (world.researcher._sender(), world.registrar._sender()):
        with pytest.raises(TransactionError) as refused:
            mainchain.actors.change_keys(sender, known, digest, earlier_ends_at=world.now)
        assert refused.value.reason in ("ActorKeysChangedMeanwhile", "ActorUnexpectedStatus")

    own = world.hospital._sender()
    mainchain.actors.change_keys(
        own, known, seed_of("hospital").of_generation(1).public_keys().digest, earlier_ends_at=world.now
    )
    with pytest.raises(TransactionError) as replayed:
        mainchain.actors.change_keys(own, known, known.key_digest, earlier_ends_at=0)
    assert replayed.value.reason == "ActorKeysChangedMeanwhile"


@pytest.mark.parametrize("who", ["hospital", "clinician"])
def test_who_has_the_account_ends_no_keys_of_long_ago(world: World, who: str) -> None:
    session = world.sessions[who]
    on_sidechain = who == "clinician"
    registry: Any = world.network.sidechain.identities if on_sidechain else world.network.mainchain.actors
    known = (registry.identity_of if on_sidechain else registry.actor_of)(session.address)
    sender = session._person() if on_sidechain else session._sender()
    digest = seed_of(who).of_generation(1).public_keys().digest
    for ends_at in (0, 1, world.now - 181 * DAY):
        with pytest.raises(TransactionError) as refused:
            registry.change_keys(sender, known, digest, earlier_ends_at=ends_at)
        assert refused.value.reason.endswith("KeysEndTooEarly")
    with pytest.raises(UsageError, match="at most 179 days ago"):
        session.keys.plan(compromised_since=world.now - 180 * DAY)

    assert session.keys.rotate(compromised_since=world.now - 178 * DAY).compromised


def test_an_end_of_180_days_ago_leaves_older_records_readable(world: World) -> None:
    policy_id = grant(world, "clinician")
    world.advance(200 * DAY)
    later: PolicyId = world.patient.grant(world.clinician.address, ["laboratory"], until=world.now + 90 * DAY).policy_id
    world.hospital.keys.rotate(compromised_since=world.now - 178 * DAY)

    assert policy_id != later
    assert opened(world, "clinician", later) == 1


def test_a_change_to_a_block_that_nobody_has_costs_a_hospital_no_history(world: World) -> None:
    policy_id = grant(world, "clinician")
    actors = world.network.mainchain.actors
    known = actors.actor_of(world.hospital.address)
    assert known is not None
    ends = world.now + DAY
    actors.change_keys(world.hospital._sender(), known, b"\7" * 32, earlier_ends_at=ends)

    assert opened(world, "clinician", policy_id) == 1


def test_a_practitioners_call_counts_once_and_a_patients_never(world: World) -> None:
    identities = world.network.sidechain.identities
    known = identities.identity_of(world.clinician.address)
    assert known is not None
    world.clinician.keys.rotate()
    with pytest.raises(TransactionError) as replayed:
        identities.change_keys(world.clinician._person(), known, known.key_digest, earlier_ends_at=0)
    assert replayed.value.reason == "IdentityKeysChangedMeanwhile"

    patient = identities.identity_of(world.patient.address)
    assert patient is not None
    with pytest.raises(TransactionError) as refused:
        identities.change_keys(world.patient._person(), patient, b"x" * 32, earlier_ends_at=0)
    assert refused.value.reason == "IdentityNotActivePractitioner"
    for who in ("patient", "registrar"):
        with pytest.raises(UsageError, match="never change; nothing was done"):
            world.sessions[who].keys.plan()


def test_who_is_suspended_changes_no_keys(world: World) -> None:
    world.registrar.suspend(world.clinician.address)
    with pytest.raises(SuspendedError, match="the keys stay as they are"):
        world.clinician.keys.rotate()


def test_keys_by_somebody_who_has_the_account_and_not_the_seed_are_told_and_nothing_of_before_is_lost(
    world: World,
) -> None:
    policy_id = grant(world, "researcher")
    thief = Seed(b"t" * 32)
    mainchain = world.network.mainchain
    known = mainchain.actors.actor_of(world.researcher.address)
    assert known is not None
    mainchain.actors.change_keys(
        world.researcher._sender(), known, thief.public_keys().digest, earlier_ends_at=world.now
    )
    world.advance(11)

    assert opened(world, "researcher", policy_id) == 1
    with pytest.raises(IntegrityError, match="somebody else has the account's key"):
        world.researcher.keys.rotate()
    with pytest.raises(IntegrityError, match="registered with other keys"):
        world.researcher.register()
    assert [(view.generation, view.is_own) for view in world.researcher.keys.all()] == [(1, False), (0, True)]


def test_who_goes_back_to_a_block_that_they_replaced_is_sealed_nothing(world: World) -> None:
    mainchain = world.network.mainchain
    first = mainchain.actors.actor_of(world.researcher.address)
    world.researcher.keys.rotate()
    now = mainchain.actors.actor_of(world.researcher.address)
    assert first is not None
    assert now is not None
    mainchain.actors.change_keys(world.researcher._sender(), now, first.key_digest, earlier_ends_at=world.now)

    with pytest.raises(IntegrityError, match="went back to a key block that they had replaced"):
        grant(world, "researcher")


def test_the_chain_names_no_block_that_the_store_gives_back_otherwise(world: World) -> None:
    store = world.network.store
    wrong = seed_of("stranger").public_keys().encode()
    given = store.get_block
    keys = seed_of("clinician").of_generation(1).public_keys()
    store.get_block = lambda cid: wrong if cid.digest == keys.digest else given(cid)  # type: ignore[method-assign]

    with pytest.raises(IntegrityError):
        world.clinician.keys.rotate()

    found = world.network.sidechain.identities.identity_of(world.clinician.address)
    assert found is not None
    assert found.earlier_keys == ()


def test_a_plan_changes_nothing_and_times_that_cannot_be_meant_are_refused(world: World) -> None:
    keys = world.clinician.keys
    grant(world, "clinician")
    planned = keys.plan()
    assert (planned.generation, planned.tx, planned.sealed) == (
        1,
        "",
        (("policies", 1), ("groups", 0), ("requests", 0)),
    )
    assert planned.earlier_ends_at == world.now + DAY
    assert not world.network.store.has_block(CID(RAW, planned.digest))
    for how in ({"overlap": timedelta(minutes=59)}, {"overlap": timedelta(days=31)}):
        with pytest.raises(UsageError, match="can count for"):
            keys.plan(**how)
    with pytest.raises(UsageError, match="will be compromised"):
        keys.plan(compromised_since=world.now + 60)


def test_a_bundle_that_was_signed_before_is_verified_unless_others_may_know_the_key(
    world: World, tmp_path: Any
) -> None:
    (tmp_path / "viewer.json").write_text('{"name": "List", "version": "1.0", "wants": ["laboratory"]}')
    (tmp_path / "index.html").write_text("<h1>Values</h1>")
    (tmp_path / "program.js").write_text("")
    old = world.hospital.viewers.pack(tmp_path)
    world.hospital.keys.rotate()
    new = world.hospital.viewers.pack(tmp_path)
    assert [world.patient.viewers.check(one).is_verified for one in (old, new)] == [True, True]

    world.advance(2 * DAY)
    assert world.hospital.keys.plan(compromised_since=world.now - 5).newest_spared is False
    world.hospital.keys.rotate(compromised_since=world.now - 5)

    assert [world.patient.viewers.check(one).is_verified for one in (old, new)] == [True, False]
    assert world.hospital.keys.plan(compromised_since=world.now - 5).newest_spared is True


def test_a_bad_block_of_before_costs_what_is_signed_with_it_and_is_named(world: World, tmp_path: Any) -> None:
    """One key block of a history is lost: bundles of the blocks before and after it are verified all the same."""
    (tmp_path / "viewer.json").write_text('{"name": "List", "version": "1.0", "wants": ["laboratory"]}')
    (tmp_path / "index.html").write_text("<h1>Values</h1>")
    (tmp_path / "program.js").write_text("")
    bundles = []
    for _ in range(3):
        bundles.append(world.hospital.viewers.pack(tmp_path))
        world.hospital.keys.rotate()
        world.advance(2 * DAY)
    bad = world.hospital.whoami().earlier_keys[1]
    world.network.store.delete_blocks([CID(RAW, bad)])
    world.network.key_blocks._read.clear()
    (world.home / "key-blocks" / bad.hex()).unlink()
    checked = [world.patient.viewers.check(one) for one in bundles]
    assert [one.is_verified for one in checked] == [True, False, True]
    assert "an earlier key block of" in checked[1].reason


def test_nobody_says_that_others_may_know_the_keys_before_each_batch_is_on_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Batches, "_store", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.upload("hospital", [resource("laboratory", 2024, 2)])
    keys = world.hospital.keys
    before = world.hospital.whoami().key_digest
    for change in (keys.plan, keys.rotate):
        with pytest.raises(UsageError, match="aren't on chain yet: 1") as refused:
            change(compromised_since=world.now)
        assert "panachain settle" in refused.value.hint
    assert world.hospital.whoami().key_digest == before
    # An ordinary change leaves time to finish it.
    assert keys.plan().generation == 1
    world.hospital.settle()
    world.advance(10)
    keys.rotate(compromised_since=world.now - 1)
    policy_id = grant(world, "clinician")
    assert opened(world, "clinician", policy_id) == 2


def test_no_batch_is_begun_while_keys_are_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []
    real = OwnKeys._rotate

    def rotate(*args: Any) -> Any:
        with open(world.hospital.profile.folder / "journal.lock", "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append(False)
            except BlockingIOError:
                held.append(True)
        return real(*args)

    monkeypatch.setattr(OwnKeys, "_rotate", rotate)
    world.hospital.keys.rotate(compromised_since=world.now - 1)
    assert held == [True]


def test_a_lost_block_of_before_costs_what_is_signed_with_it_alone_and_register_puts_it_again(world: World) -> None:
    policy_id = grant(world, "clinician")
    old = world.hospital.whoami()
    world.hospital.keys.rotate()
    world.upload("hospital", [resource("laboratory", 2024, 2)])
    world.network.store.delete_blocks([CID(RAW, old.key_digest)])
    world.network.key_blocks._read.clear()
    (world.home / "key-blocks" / old.key_digest.hex()).unlink()

    opening = world.clinician.open(policy_id)
    assert _count(opening) == 1
    assert "an earlier key block of" in str(opening.omissions[0])

    world.hospital.register()
    assert opened(world, "clinician", policy_id) == 2


def test_public_keys_of_generations_are_unlike_and_the_first_is_as_ever() -> None:
    seed = Seed(b"s" * 32)
    blocks: list[PublicKeys] = [seed.of_generation(generation).public_keys() for generation in range(3)]
    assert blocks[0] == seed.public_keys()
    for name in ("sealing", "receiving", "verifying"):
        assert len({getattr(block, name) for block in blocks}) == 3
    actor = Actor.of(seed_account(seed), Role.HOSPITAL, blocks[0])
    assert actor.is_ended(blocks[1].digest)
    assert not actor.is_ended(blocks[0].digest)


def seed_account(seed: Seed) -> Any:
    from panachain.crypto.keys import address_of

    return address_of(seed.account_key())
