"""Orders that cross: two devices of one patient, a relay that keeps what it was given, proxies that nobody asked.

Each is what one party does at the moment that hurts most, against a patient's program that did nothing wrong.
Follows security rules 3, 19 and 41, and ADR 69.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.chain.receipts import receipt_hash, sign_head
from panachain.chain.signing import Account
from panachain.errors import (
    ChainUnavailableError,
    DiskError,
    PanaChainError,
    PartlyDoneError,
    PolicyRevokedError,
    ProxiesUnavailableError,
    RelaysUnavailableError,
    TransactionError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus, Receipt, ReceiptKind
from panachain.model.scope import Generations, Purpose, Scope
from panachain.proxy.race import Failure
from panachain.records.findings import Findings
from panachain.sdk import revocations, submitting
from panachain.sdk.lanes import OwnLanes
from panachain.sdk.patient import Patient
from panachain.sdk.proxies import Proxies
from panachain.sdk.relay import LocalRelay
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.revocation_orders import RevocationOrders
from panachain.sdk.taking_back import Background, results
from tests.hostile.evil_hospital import EvilHospital
from tests.twin.chains import TwinNode
from tests.twin.test_interruptions import active, again
from tests.twin.world import World, resource, running_world, seed_of

SCOPE = ["laboratory"]


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        yield running


@pytest.fixture
def elsewhere(world: World, tmp_path: Path) -> Patient:
    """The patient's other device, which has the seed and nothing else."""
    return Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")


def grant(world: World, grantee: str = "clinician", scope: Sequence[str] = SCOPE) -> PolicyId:
    made: PolicyView = again(world).grant(world.sessions[grantee].address, scope, until=world.now + 100_000)
    return made.policy_id


def held(world: World, policy_id: PolicyId) -> int:
    return sum(proxy.store.kfrag(policy_id, 0) is not None for proxy in world.proxies)


def kept_by_relay(world: World, call: Callable[[Patient], object]) -> tuple[Any, bytes]:
    """Let a relay take the grant that a call signs, say that it can't, and keep it."""
    kept: list[tuple[Any, bytes]] = []

    def keeps(_: LocalRelay, made: Any, signature: bytes) -> None:
        kept.append((made, signature))
        raise RelaysUnavailableError("busy")

    with patch.object(LocalRelay, "grant", keeps), pytest.raises(RelaysUnavailableError):
        call(again(world))
    return kept[0]


def bring(world: World, made: Any, signature: bytes) -> None:
    """Let the relay bring it on chain now, if the chain still takes it."""
    with suppress(TransactionError):
        world.network.relay().grant(made, signature)


def settle(world: World) -> None:
    """Let the patient's program do all that it does by itself."""
    again(world)._grants.go_on()
    again(world)._revocations.go_on()
    with suppress(PanaChainError):
        again(world).settle()


class TestWhatReplacesARevokedPolicy:
    def test_that_a_relay_kept_is_never_served(self, world: World) -> None:
        old = grant(world)
        made, signature = kept_by_relay(world, lambda patient: patient.reissue(old))
        assert again(world).revoke(old).final
        bring(world, made, signature)
        settle(world)
        assert active(world, "clinician") == []
        assert held(world, made.owner) == 0

    def test_that_is_on_chain_before_its_revocation_is_never_served(self, world: World) -> None:
        """The relay brings the grant, and none of the revocations that it is given."""
        old = grant(world)
        made, signature = kept_by_relay(world, lambda patient: patient.reissue(old))
        with patch.object(LocalRelay, "revoke", side_effect=RelaysUnavailableError("busy")):
            again(world).revoke(old)
            bring(world, made, signature)
            settle(world)
        assert held(world, made.owner) == 0
        again(world)._revocations.go_on()
        assert active(world, "clinician") == []

    def test_falls_with_all_that_replace_it_in_turn(self, world: World) -> None:
        old = grant(world)
        first, signature = kept_by_relay(world, lambda patient: patient.reissue(old))
        bring(world, first, signature)
        second, _ = kept_by_relay(world, lambda patient: patient.reissue(first.owner))
        heirs = again(world)._grants.heirs(policy_id=old)
        assert [one.policy_id for one in heirs] == [first.owner, second.owner]
        again(world).revoke(old)
        assert active(world, "clinician") == []
        assert _revoked(world, old)
        assert _revoked(world, first.owner)

    def test_costs_nothing_where_no_relay_brings_it(self, world: World) -> None:
        """Relays that take tokens bring no revocation of what was never granted: nobody tries for ever."""
        old = grant(world)
        made, _ = kept_by_relay(world, lambda patient: patient.reissue(old))
        again(world).revoke(old)
        with patch.object(LocalRelay, "revoke", side_effect=AssertionError("there is nothing to revoke")):
            assert again(world)._revocations.go_on() == []
            settle(world)
            world.advance(2 * 3600)
            settle(world)
            assert again(world)._revocations.go_on() == []
        assert again(world)._grants._journal.read() == []
        assert again(world)._orders.of(made.owner).withdrawn

    def test_on_another_device_is_taken_back(self, world: World, elsewhere: Patient) -> None:
        old = grant(world)
        here = again(world)
        hand_out = here._grants._hand_out

        def meanwhile(pending: Any) -> Any:
            elsewhere.revoke(old)
            return hand_out(pending)

        with (
            patch.object(here._grants, "_hand_out", meanwhile),
            pytest.raises(PolicyRevokedError, match="which it was to replace, was revoked"),
        ):
            here.reissue(old)
        assert active(world, "clinician") == []

    @pytest.mark.parametrize("step", ["_sign", "_send"])
    def test_by_another_program_on_this_machine_is_taken_back(self, world: World, step: str) -> None:
        """Such as the portal: before the grant is written down, it finds nothing that is to replace the policy."""
        old, here = grant(world), again(world)
        do = getattr(here._grants, step)

        def meanwhile(*args: Any, **named: Any) -> Any:
            if not revoked:
                revoked.append(again(world).revoke(old))
            return do(*args, **named)

        revoked: list[Any] = []
        with patch.object(here._grants, step, meanwhile), pytest.raises(PolicyRevokedError):
            here.reissue(old)
        settle(world)
        assert active(world, "clinician") == []
        assert revoked[0].final

    def test_is_written_down_before_a_revocation_looks_for_it_or_finds_the_order(self, world: World) -> None:
        old, patient = grant(world), again(world)
        heirs = patient._grants.heirs

        def looks(**named: Any) -> Any:
            assert patient._policies.is_taken_back(old)
            return heirs(**named)

        with patch.object(patient._grants, "heirs", side_effect=looks) as looked:
            patient.revoke(old)
        assert looked.called


class TestWhatReplacesAPolicyItself:
    """What a grant takes back in its last step was revoked by nobody else, whatever this machine still knows of it."""

    @pytest.fixture
    def interrupted(self, world: World) -> PolicyId:
        """Return the policy that serves, after a program that ended once it had taken back what it replaces."""
        old, here = grant(world), again(world)
        write = here._grants._journal.write

        def ends(pending: Any) -> None:
            if pending.served:
                raise DiskError("the disk is full")
            write(pending)

        with patch.object(here._grants._journal, "write", ends):
            world.proxies[0].up = False
            with pytest.raises(DiskError):
                here.reissue(old)
        assert _revoked(world, old)
        (made,) = active(world, "clinician")
        return made

    def test_serves_where_the_list_of_revocations_was_lost(self, world: World, interrupted: PolicyId) -> None:
        world.patient.profile.orders.unlink()
        settle(world)
        assert active(world, "clinician") == [interrupted]

    def test_serves_where_the_order_could_not_be_written(self, world: World, interrupted: PolicyId) -> None:
        """A full disk keeps no revocation at home."""
        orders = RevocationOrders(world.patient.profile.orders)
        orders._write({})
        world.proxies[0].up = True
        again(world).settle()
        assert active(world, "clinician") == [interrupted]
        assert again(world)._grants._journal.read() == []

    def test_takes_nothing_back_before_that_is_written_down(self, world: World) -> None:
        old, here = grant(world), again(world)
        write = here._grants._journal.write

        def full(pending: Any) -> None:
            if pending.replacing:
                raise DiskError("the disk is full")
            write(pending)

        with patch.object(here._grants._journal, "write", full), pytest.raises(DiskError):
            here.reissue(old)
        assert not _revoked(world, old)
        settle(world)
        assert _revoked(world, old)
        assert len(active(world, "clinician")) == 1


class TestAPolicyThatIsRevokedWhileItIsMade:
    """Another program of the patient's, or another device, takes it back while its shares are handed out."""

    def meanwhile(self, world: World, revokes: Callable[[], Patient]) -> Any:
        """Let a program revoke the newest policy right before its proxies are asked."""
        deposit = Proxies.deposit

        def deposits(self: Proxies, terms: Any, *given: Any, **named: Any) -> Any:
            revokes().revoke(terms.policy_id)
            return deposit(self, terms, *given, **named)

        return patch.object(Proxies, "deposit", deposits)

    def test_is_told_by_a_reissue_and_the_old_one_stands(self, world: World) -> None:
        old, here = grant(world), again(world)
        with self.meanwhile(world, lambda: again(world)), pytest.raises(PolicyRevokedError) as caught:
            here.reissue(old)
        assert f"was revoked while it was made; policy {old}, which it was to replace, stayed as it was" in str(
            caught.value
        )
        assert f"panachain revoke {old}" in caught.value.hint
        settle(world)
        assert active(world, "clinician") == [old]

    def test_is_told_by_a_grant(self, world: World) -> None:
        with (
            self.meanwhile(world, lambda: again(world)),
            pytest.raises(PolicyRevokedError, match=r"was revoked while it was made$"),
        ):
            grant(world)
        assert active(world, "clinician") == []

    def test_on_another_device_is_told(self, world: World, elsewhere: Patient) -> None:
        old, here = grant(world), again(world)
        with (
            self.meanwhile(world, lambda: elsewhere),
            pytest.raises(PolicyRevokedError, match="was revoked while it was made"),
        ):
            here.reissue(old)
        assert active(world, "clinician") == [old]

    def test_once_all_took_their_shares_is_told_too(self, world: World) -> None:
        old, here = grant(world), again(world)
        hand_out = here._grants._hand_out

        def then(pending: Any) -> Any:
            handed = hand_out(pending)
            again(world).revoke(pending.policy_id)
            return handed

        with patch.object(here._grants, "_hand_out", then), pytest.raises(PolicyRevokedError):
            here.reissue(old)
        assert active(world, "clinician") == [old]

    def test_where_the_chain_does_not_show_it_yet_nobody_is_sent_to_settle(self, world: World) -> None:
        refused = Failure(world.network.proxies()[0], PolicyRevokedError("policy is revoked"))
        with (
            patch.object(Proxies, "deposit", return_value=([], [refused])),
            pytest.raises(ProxiesUnavailableError) as caught,
        ):
            grant(world)
        assert "proxies say that it was revoked" in caught.value.hint


class TestWhoseRevocationItWas:
    """The chain takes one revocation of a policy; its signature says whether the grant that replaces it made it."""

    @pytest.mark.parametrize("step", ["_journal.write", "_policies.take_back"])
    def test_another_devices_in_the_last_moment_is_told_from_its_own(
        self, world: World, elsewhere: Patient, step: str
    ) -> None:
        """Between the last look and the note, and between the note and its own transaction."""
        old, here = grant(world), again(world)
        part, name = step.split(".")
        owner = getattr(here._grants, part)
        do = getattr(owner, name)

        def meanwhile(given: Any, **named: Any) -> Any:
            if step != "_journal.write" or given.replacing:
                with suppress(PanaChainError):
                    elsewhere.revoke(old)
            return do(given, **named)

        with (
            patch.object(owner, name, meanwhile),
            pytest.raises(PolicyRevokedError, match="which it was to replace, was revoked: so policy"),
        ):
            here.reissue(old)
        assert active(world, "clinician") == []
        assert again(world)._grants.fallen() == []

    def test_is_told_after_a_program_that_ended_too(self, world: World, elsewhere: Patient) -> None:
        """It ended behind the note, and had sent nothing; the other device's came then."""
        old, here = grant(world), again(world)
        with (
            patch.object(here._policies, "take_back", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            here.reissue(old)
        elsewhere.revoke(old)
        with pytest.raises(PartlyDoneError, match="which it was to replace, was revoked"):
            again(world).settle()
        assert active(world, "clinician") == []

    def test_of_two_devices_that_replace_it_at_once_one_does(self, world: World, elsewhere: Patient) -> None:
        old, here = grant(world), again(world)
        take_back, made = here._policies.take_back, list[PolicyId]()

        def meanwhile(own: Any, **named: Any) -> Any:
            made.append(elsewhere.reissue(old).policy_id)
            return take_back(own, **named)

        with patch.object(here._policies, "take_back", meanwhile), pytest.raises(PolicyRevokedError):
            here.reissue(old)
        assert active(world, "clinician") == made

    def test_its_own_that_is_sent_again_stays_its_own(self, world: World) -> None:
        """No relay took it, and a later command sends it again."""
        old, here = grant(world), again(world)
        with patch.object(LocalRelay, "revoke", side_effect=RelaysUnavailableError("busy")):
            made = here.reissue(old).policy_id
        assert not _revoked(world, old)
        again(world)._revocations.go_on()
        own = again(world)._policies.find(old)
        assert again(world)._policies.is_revoked_for(own, made) is True
        assert active(world, "clinician") == [made]

    def test_cannot_be_told_while_no_node_shows_the_transaction(self, world: World) -> None:
        old, here = grant(world), again(world)
        with (
            patch.object(TwinNode, "call", lambda *_: None),
            pytest.raises(ChainUnavailableError, match="no node shows the transaction"),
        ):
            here.reissue(old)
        # The same call looks again.
        made = again(world).reissue(old).policy_id
        assert active(world, "clinician") == [made]

    def test_of_a_program_of_before_is_its_own(self, world: World) -> None:
        old, here = grant(world), again(world)
        journal = here._grants._journal
        write = journal.write

        def before(pending: Any) -> None:
            write(replace(pending, marked=not pending.replacing))
            if pending.replacing:
                raise KeyboardInterrupt

        with patch.object(journal, "write", before), pytest.raises(KeyboardInterrupt):
            here.reissue(old)
        again(world)._policies.revoke(0)
        again(world).settle()
        assert len(active(world, "clinician")) == 1


class TestWhatFell:
    """The patient hears of each grant that was taken back with what it was to replace, whoever finds it first."""

    @pytest.fixture
    def fallen(self, world: World, elsewhere: Patient) -> PolicyId:
        """Return a policy that another device's revocation fells; it is on chain, and nobody has a share."""
        old = grant(world)
        made, signature = kept_by_relay(world, lambda patient: patient.reissue(old))
        bring(world, made, signature)
        elsewhere.revoke(old)
        policy_id: PolicyId = made.owner
        return policy_id

    def test_is_told_by_the_next_command(self, world: World, fallen: PolicyId) -> None:
        found = again(world)._grants.go_on()
        assert list(found) == []
        assert [(left.item, "which it was to replace, was revoked" in left.reason) for left in found.left_out] == [
            (fallen, True)
        ]
        assert list(again(world)._grants.go_on().left_out) == []
        assert active(world, "clinician") == []

    def test_is_told_by_the_next_command_where_the_program_ended_before_it_could(
        self, world: World, fallen: PolicyId
    ) -> None:
        here = again(world)
        with patch.object(here._policies, "revoke", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            here.settle()
        for _ in range(2):
            # As long as nobody says that it was told.
            (left,) = submitting.fallen(again(world))
            assert left.item == fallen
            assert left.reason.endswith(f"was revoked: so policy {fallen} is taken back, too")
        patient = again(world)
        assert len(submitting.fallen(patient)) == 1
        submitting.told(patient)
        assert submitting.fallen(again(world)) == []
        settle(world)
        assert active(world, "clinician") == []

    def test_is_not_told_twice(self, world: World, fallen: PolicyId) -> None:
        with pytest.raises(PartlyDoneError):
            again(world).settle()
        assert submitting.fallen(again(world)) == []

    def test_is_listed_by_settle_beside_what_was_finished_and_what_was_not(
        self, world: World, fallen: PolicyId
    ) -> None:
        world.proxies[0].up = False
        lacking = grant(world, "nurse")
        folder = world.patient.profile.folder / "grants"
        (folder / "00000099.sealed").write_bytes(b"torn")
        world.proxies[0].up = True
        with pytest.raises(PartlyDoneError, match=f"so policy {fallen} is taken back, too; and 1 more") as caught:
            again(world).settle()
        fell, damaged = caught.value.omissions
        assert isinstance(fell.error, PolicyRevokedError)
        assert "00000099.sealed can't be read" in str(damaged.error)
        finished: Any = caught.value.result
        assert lacking in [view.policy_id for view in finished]
        assert again(world)._grants.lacking() == {}

    def test_is_told_by_a_revocation_with_new_lanes(self, world: World, fallen: PolicyId) -> None:
        other = grant(world, "nurse")
        report = again(world).revoke(other, rotate=True)
        assert [f"so policy {fallen} is taken back, too" in str(one.error) for one in report.omissions] == [True]


class TestWhatWaitsToAnswerARefusedRequest:
    @pytest.fixture
    def asked(self, world: World) -> int:
        until = world.now + 90 * 86_400
        made = world.clinician.request(world.patient.address, SCOPE, Purpose.TREAT, until=until)
        number: int = made.request_id
        return number

    @pytest.fixture
    def waits(self, world: World, asked: int) -> PolicyId:
        until, week = world.now + 90 * 86_400, 7 * 86_400
        made = again(world).grant(world.clinician.address, SCOPE, until=until, jitter=week, request=asked)
        policy_id: PolicyId = made.policy_id
        return policy_id

    def test_is_forgotten_and_costs_nothing(self, world: World, asked: int, waits: PolicyId) -> None:
        """No relay has it, and its window ends in a quarter of a year."""
        again(world).deny(asked)
        with patch.object(LocalRelay, "revoke", side_effect=AssertionError("there is nothing to revoke")):
            again(world)._grants.go_on()
            assert again(world)._revocations.go_on() == []
        assert again(world)._orders.of(waits).withdrawn
        assert again(world)._grants._journal.read() == []
        world.advance(8 * 86_400)
        settle(world)
        assert active(world, "clinician") == []

    def test_is_not_forgotten_where_a_relay_may_have_it(self, world: World, asked: int, waits: PolicyId) -> None:
        """The patient wanted it at once after all, and the relay says that it can't."""
        made, signature = kept_by_relay(world, lambda patient: patient.approve(asked))
        assert made.owner == waits
        again(world).deny(asked)
        again(world)._grants.go_on()
        bring(world, made, signature)
        settle(world)
        assert active(world, "clinician") == []
        assert held(world, waits) == 0


class TestADamagedListOfRevocations:
    """Nobody can tell what is taken back: so nothing more is granted, and what takes a right away goes on."""

    @pytest.fixture
    def lacking(self, world: World) -> PolicyId:
        """Return a policy whose grant isn't finished; the list is damaged meanwhile."""
        world.proxies[0].up = False
        made = grant(world, "nurse")
        world.proxies[0].up = True
        world.patient.profile.orders.write_bytes(b"{")
        return made

    def test_keeps_no_lane_from_being_rotated(self, world: World, lacking: PolicyId) -> None:
        world.patient.profile.orders.unlink()
        policy_id = grant(world)
        world.patient.profile.orders.write_bytes(b"{")
        report = again(world).revoke(policy_id, rotate=True)
        assert (report.rotated, world.hospital.address in report.hospitals) == (True, True)
        assert lanes_of(world).current(Scope.parse("laboratory")) == 1
        # The other grantee's policy isn't granted anew before the file is away, and the report says so.
        assert [str(lacking) in one.what for one in report.omissions] == [True]
        world.patient.profile.orders.unlink()
        again(world).settle()
        assert len(active(world, "nurse")) == 1
        assert lacking not in active(world, "nurse")

    def test_stops_a_rotation_no_more_than_a_folder_that_cannot_be_locked(self, world: World) -> None:
        policy_id, patient = grant(world), again(world)
        with patch.object(patient._grants, "finish_all", side_effect=DiskError("no space is left")):
            report = patient.revoke(policy_id, rotate=True)
        assert report.rotated
        assert [one.what for one in report.omissions] == ["grants that aren't finished"]

    def test_is_told_by_settle_and_nothing_is_handed_out(self, world: World, lacking: PolicyId) -> None:
        assert again(world)._grants.go_on() == []
        _, failed = again(world)._grants.finish_all()
        assert ["revoked.json can't be read" in str(one) for one in failed] == [True]
        assert world.proxies[0].store.kfrag(lacking, 0) is None

    def test_keeps_no_grant_that_waits_from_being_withdrawn(self, world: World) -> None:
        until = world.now + 90 * 86_400
        made = again(world).grant(world.clinician.address, SCOPE, until=until, jitter=7 * 86_400)
        world.patient.profile.orders.write_bytes(b"{")
        assert again(world).revoke(made.policy_id).stage == "withdrawn before it was sent"
        world.patient.profile.orders.unlink()
        world.advance(8 * 86_400)
        assert again(world).settle() == []
        assert active(world, "clinician") == []


class TestWhatAnswersARefusedRequest:
    @pytest.fixture
    def asked(self, world: World) -> int:
        until = world.now + 50_000
        made = world.clinician.request(world.patient.address, SCOPE, Purpose.TREAT, until=until)
        number: int = made.request_id
        return number

    def test_that_a_relay_kept_is_never_served(self, world: World, asked: int) -> None:
        made, signature = kept_by_relay(world, lambda patient: patient.approve(asked))
        again(world).deny(asked)
        bring(world, made, signature)
        settle(world)
        assert active(world, "clinician") == []
        assert held(world, made.owner) == 0

    def test_on_another_device_is_taken_back(self, world: World, elsewhere: Patient, asked: int) -> None:
        here = again(world)
        hand_out = here._grants._hand_out

        def meanwhile(pending: Any) -> Any:
            elsewhere.deny(asked)
            return hand_out(pending)

        with (
            patch.object(here._grants, "_hand_out", meanwhile),
            pytest.raises(PolicyRevokedError, match=f"request {asked}, which it was to answer, was refused"),
        ):
            here.approve(asked)
        assert active(world, "clinician") == []


def test_a_revocation_waits_for_no_grant_that_is_under_way(world: World) -> None:
    """Whoever stalls the one, such as a relay or a chain, would stall the other."""
    policy_id = grant(world)
    with again(world)._grants._journal.exclusive():
        work = Background(lambda: again(world).revoke(policy_id))
        report = work.result(60)
    assert report is not None
    assert report.final


def _revoked(world: World, policy_id: PolicyId) -> bool:
    found = world.network.mainchain.policies.policies_of([policy_id])
    return policy_id in found and found[policy_id].status is PolicyStatus.REVOKED


def deletion(world: World, name: str, policy_id: PolicyId) -> Receipt:
    """Return a receipt of a proxy that never held anything of a policy, as good as one can be."""
    account = Account(seed_of(name).account_key())
    unsigned = Receipt(
        proxy=account.address,
        sequence=1,
        previous=bytes(32),
        kind=ReceiptKind.DELETED,
        policy_id=policy_id,
        at=world.now,
        block=1,
        count=0,
        detail=b"",
        signature=b"",
    )
    signature = sign_head(account, world.network.mainchain.log.domain, sequence=1, head=receipt_hash(unsigned))
    return replace(unsigned, signature=signature)


class TestReceiptsOfProxiesThatHeldNothing:
    def test_make_no_revocation_final(self, world: World) -> None:
        policy_id = grant(world)
        patient = again(world)
        for proxy in world.proxies:
            proxy.up = False
        patient.revoke(policy_id)
        # By terms that no store had then, every registered proxy was asked.
        patient._revocations._receipts.add(policy_id, [deletion(world, f"outsider-{n}", policy_id) for n in range(3)])
        report = patient._revocations._report(policy_id, patient.terms_of(policy_id)[1])
        assert (report.deleted, report.final) == (0, False)
        for proxy in world.proxies:
            proxy.up = True
        again(world).settle()
        assert held(world, policy_id) == 0


def lanes_of(world: World) -> Generations:
    """Return which lanes the hospital was told last."""
    told: Generations = world.hospital.pairing(world.patient.whoami()).generations
    return told


class TestTwoDevicesAtOnce:
    """The last pairing with a hospital is the only one that counts; it takes back nothing that another device told."""

    def rotate(self, world: World, elsewhere: Patient, *, last: bool) -> tuple[PolicyId, PolicyId]:
        """Rotate a lane on each device; the other one is faster, or comes last, and neither knows of the other."""
        here = again(world)
        laboratory, vitals = grant(world), grant(world, "nurse", ["vitals"])
        stale = elsewhere if last else here
        policies = (laboratory, vitals) if last else (vitals, laboratory)
        tell = stale._lanes.pair_again

        def meanwhile(*args: Any, **named: Any) -> Any:
            (here if last else elsewhere).revoke(policies[0], rotate=True)
            return tell(*args, **named)

        with patch.object(stale._lanes, "pair_again", meanwhile):
            stale.revoke(policies[1], rotate=True)
        return laboratory, vitals

    @pytest.mark.parametrize("last", [False, True])
    def test_no_lane_goes_back(self, world: World, elsewhere: Patient, last: bool) -> None:
        self.rotate(world, elsewhere, last=last)
        told = lanes_of(world)
        assert min(told.current(Scope.parse(one)) for one in ("laboratory", "vitals")) == 1 + 1
        assert told == again(world)._lanes.generations() == elsewhere._lanes.generations()

    def test_what_was_published_between_is_found_and_moved(self, world: World, elsewhere: Patient) -> None:
        """Under either of the two pairings, whose epochs are the same and whose lanes aren't."""
        here, other = again(world), grant(world, "nurse", ["vitals"])
        policy_id, tell = grant(world), here._lanes.pair_again

        def upload(number: int) -> None:
            world.upload("hospital", [resource("laboratory", 2025, number), resource("vitals", 2025, number + 10)])

        def meanwhile(*args: Any, **named: Any) -> Any:
            elsewhere.revoke(other, rotate=True)
            upload(2)
            return tell(*args, **named)

        with patch.object(here._lanes, "pair_again", meanwhile):
            here.revoke(policy_id, rotate=True)
        upload(3)
        assert len(list(again(world).records())) == 5
        again(world, "hospital").rewrap()
        assert len(list(again(world).records())) == 5
        now, left = again(world)._lanes.generations(), Findings()
        assert all(
            now.current(Scope.of(one.info.category)) <= one.epoch
            for own in world.patient._lanes.headers(left)
            for one in own.headers
        )

    @pytest.mark.deep
    def test_grants_that_were_made_anew_meanwhile_come_to_the_newest_lanes(
        self, world: World, elsewhere: Patient
    ) -> None:
        grant(world, "nurse", ["laboratory", "vitals"])
        self.rotate(world, elsewhere, last=False)
        settle(world)
        (left,) = active(world, "nurse")
        newest = {lane.scope: lane.generation for lane in world.patient.terms_of(left)[1].lanes}
        assert newest == {scope: lanes_of(world).current(scope) for scope in newest}

    def test_no_choice_is_forgotten(self, world: World, elsewhere: Patient) -> None:
        here, policy_id = again(world), grant(world)
        tell = here._lanes.pair_again

        def meanwhile(generations: Any, findings: Any) -> Any:
            before = here._lanes.choices()
            elsewhere.choices.change(close=["HIV"])
            return tell(generations, findings, before)

        with patch.object(here._lanes, "pair_again", meanwhile):
            here.revoke(policy_id, rotate=True)
        assert world.hospital.pairing(here.whoami()).choices.closed == {"HIV"}
        assert again(world)._lanes.choices().closed == {"HIV"}

    def test_a_hospital_that_was_unpaired_meanwhile_stays_so(self, world: World, elsewhere: Patient) -> None:
        """Whoever tells new lanes means nobody to whom the patient's assent was taken back a moment ago."""
        here, policy_id = again(world), grant(world)
        identities = here.network.sidechain.identities
        pair = identities.pair

        def meanwhile(*args: Any) -> Any:
            if not asked:
                elsewhere.unpair(world.hospital.address)
            asked.append(args)
            return pair(*args)

        asked: list[Any] = []
        with patch.object(identities, "pair", meanwhile):
            here.revoke(policy_id, rotate=True)
        assert asked
        (event,) = identities.paired(patient=here.address, hospital=world.hospital.address)
        assert not event.paired

    @pytest.mark.parametrize("call", ["ask", "pair", "a new one", "move"])
    def test_what_is_told_between_a_look_and_its_transaction_is_told_again(
        self, world: World, elsewhere: Patient, call: str
    ) -> None:
        """Two devices are enough, if the one's rotation comes before the other's pairing, and after its last look."""
        here, lost = again(world), grant(world)
        other = grant(world, "nurse", ["vitals"])
        lanes, new = here._lanes, EvilHospital(world)
        calls: dict[str, Callable[[], object]] = {
            "ask": lambda: lanes.ask(world.hospital.whoami(), []),
            "pair": lambda: here.pair(world.hospital.address),
            "a new one": lambda: here.pair(new.address),
            "move": lambda: here.revoke(other, rotate=True),
        }
        if call == "move":
            world.upload("hospital", [resource("vitals", 2024, 2)])
        identities, steps = here.network.sidechain.identities, list[str]()
        pair, orders = identities.pair, lanes.orders

        def ordered(*args: Any, **named: Any) -> Any:
            found = orders(*args, **named)
            steps.extend(["move"] * bool(found))
            return found

        def meanwhile(*args: Any) -> Any:
            # The first pairings of a rotation tell the lanes, and the next one what is to be moved there.
            if "done" not in steps and (call != "move" or "move" in steps):
                steps.append("done")
                elsewhere.revoke(lost, rotate=True)
            return pair(*args)

        with patch.object(identities, "pair", meanwhile), patch.object(lanes, "orders", ordered):
            calls[call]()
        assert "done" in steps
        told = {actor.address: lanes.stated_by(event).generations for actor, event in again(world)._lanes.hospitals()}
        everything = again(world)._lanes.generations()
        assert everything.current(Scope.parse("laboratory")) > 0
        whom = new.address if call == "a new one" else world.hospital.address
        assert told[whom].covers(everything)
        assert all(one.covers(everything) for one in told.values())
        # What lay in the lanes of before is moved, whichever device asked for it.
        again(world, "hospital").rewrap()
        now = again(world)._lanes.generations()
        (own,) = [one for one in again(world)._lanes.headers() if one.heads.hospital == world.hospital.address]
        assert all(now.current(Scope.of(one.info.category)) <= one.epoch for one in own.headers)

    def test_who_only_looks_reads_nothing_that_was_displaced(self, world: World) -> None:
        """It costs 200 kB for each hospital, and is for those who state it to others."""
        again(world).revoke(grant(world), rotate=True)
        policy_id, displaced = grant(world), OwnLanes._displaced
        read: list[object] = []

        def count(self: OwnLanes, *args: Any) -> Any:
            read.append(args)
            return displaced(self, *args)

        with patch.object(OwnLanes, "_displaced", count):
            again(world).revoke(policy_id)
            again(world)._revocations.status(policy_id)
            assert [one.current for one in again(world).hospitals.all()] == [True, True]
            assert again(world).choices.now().closed == ()
            again(world).watching.look()
            assert len(list(again(world).records())) == 1
            assert read == []
            again(world).choices.change(close=["HIV"])
        assert read

    def test_who_tells_looks_again_at_whom_it_told(self, world: World, elsewhere: Patient) -> None:
        """Another device that stops between its transaction and its look leaves less than was told."""
        # A lane in which nothing lies to be moved.
        here, policy_id = again(world), grant(world, "nurse", ["vitals"])
        stale, stated = elsewhere._lanes, here._lanes._stated
        old = stale.generations()

        def meanwhile(findings: Any) -> Any:
            if lanes_of(world).epoch and not done:
                done.append(True)
                with patch.object(stale, "_told", return_value=[]):
                    stale.pair(world.hospital.whoami(), old, [])
                assert lanes_of(world).epoch == 0
            return stated(findings)

        done: list[bool] = []
        with patch.object(here._lanes, "_stated", meanwhile):
            here.revoke(policy_id, rotate=True)
        assert done
        assert lanes_of(world).current(Scope.parse("vitals")) == 1

    @pytest.mark.deep
    def test_where_the_store_lost_what_was_displaced_the_rest_goes_on(self, world: World) -> None:
        again(world).revoke(grant(world), rotate=True)
        again(world).revoke(grant(world), rotate=True)
        digests = [one.digest for one in world.network.sidechain.identities.ever_paired(patient=world.patient.address)]
        for digest in digests[:-1]:
            world.network.store.delete_blocks([CID(RAW, digest)])
        assert again(world).revoke(grant(world), rotate=True).rotated
        assert lanes_of(world).epoch == 3


class TestAVetoOfEmergencies:
    def test_waits_for_no_relay_that_stalls_what_it_kept(self, world: World) -> None:
        """What is in force is revoked before anybody waits for what isn't finished."""
        first, second = (world.clinician.create_group().group for _ in range(2))
        until = world.now + 90 * 86_400
        again(world).emergency.prepare([first], until=until)
        made, signature = kept_by_relay(world, lambda patient: patient.emergency.prepare([second], until=until))
        here = again(world)
        revoke, go_on = here._policies.revoke, threading.Event()

        def stalls(index: int, **named: Any) -> Any:
            if here._policies._id(index) == made.owner:
                assert go_on.wait(60)
            return revoke(index, **named)

        def in_force(policy_id: PolicyId) -> Any:
            try:
                return revoke_one(policy_id)
            finally:
                done.append("revoked")
                go_on.set()

        def waits(works: Any, seconds: float) -> Any:
            done.extend(["waited"] * len(works))
            return results(works, seconds)

        done: list[str] = []
        with patch.object(here._policies, "revoke", stalls), patch.object(revocations, "results", waits):
            emergency = here.emergency
            # On chain, so that somebody may have seen it; no list of what is in force has it yet.
            active = emergency._active()
            bring(world, made, signature)
            revoke_one = emergency._revoke
            with patch.object(emergency, "_active", return_value=active), patch.object(emergency, "_revoke", in_force):
                (report,) = emergency.veto()
        assert report.proven
        assert done == ["revoked", "waited"]
        assert _revoked(world, made.owner)
        assert list(again(world).emergency.policies()) == []

    def test_means_what_a_relay_kept_too(self, world: World) -> None:
        group = world.clinician.create_group()
        made, signature = kept_by_relay(
            world, lambda patient: patient.emergency.prepare([group.group], until=world.now + 90 * 86_400)
        )
        assert list(again(world).emergency.veto()) == []
        bring(world, made, signature)
        settle(world)
        assert held(world, made.owner) == 0
        assert list(again(world).emergency.policies()) == []
