"""PolicyRegistry: who may grant and revoke, and what can't come back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import ape
import pytest

from panachain.chain.mainchain import Mainchain
from panachain.model.policy import Disclosure
from panachain.model.transactions import Grant
from tests.contracts.conftest import NOBODY, halves

UNKNOWN, NOT_YET, ACTIVE, EXPIRED, REVOKED = range(5)


@dataclass(frozen=True)
class Malformed(Grant):
    """A grant whose window is any word: ours writes none that the contract refuses."""

    word: int = 0

    @property
    def window(self) -> int:
        return self.word


class TestGrantBySignature:
    def test_grants_what_the_owner_signed_whoever_relays(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant()

        receipt = policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

        assert policies.statusOf(owner.address) == ACTIVE
        event = next(iter(receipt.decode_logs(policies.PolicyGranted)))
        assert (event.policyId, event.window) == (owner.address, grant.window)
        assert (event.terms, event.announcement) == (grant.terms, grant.announcement)
        assert len(receipt.logs) == 1

    def test_tells_what_an_open_policy_discloses(self, policies: Any, owner: Any, relay: Any) -> None:
        study = "0x" + "5d" * 20
        grant = owner.grant(disclosure=Disclosure(purposes=3, categories=5, data_use=9, study=study))

        receipt = policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

        assert [log["logIndex"] for log in receipt.logs] == [0, 1]
        event = next(iter(receipt.decode_logs(policies.PolicyDisclosed)))
        assert event.log_index == 1
        assert event.policyId == owner.address
        assert Disclosure.from_word(event.disclosure) == grant.disclosure

    def test_takes_a_signature_of_65_bytes_too(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant()
        compact = owner.sign_grant(grant)
        parity, s = compact[32] >> 7, bytes([compact[32] & 0x7F]) + compact[33:]

        policies.grantBySignature(grant.fields(), compact[:32] + s + bytes([27 + parity]), sender=relay)

        assert policies.statusOf(owner.address) == ACTIVE

    @pytest.mark.parametrize(
        "change",
        [
            {"terms": b"u" * 32},
            {"starts_at": 5},
            {"expires_at": 2**48 - 1},
            {"deadline": 2**48 - 1},
            {"view_tag": 1},
            {"announcement": b"b" * 32},
            {"disclosure": Disclosure(purposes=1)},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_reverts_if_one_field_was_changed(
        self, policies: Any, owner: Any, relay: Any, change: dict[str, Any]
    ) -> None:
        grant = owner.grant()
        signature = owner.sign_grant(grant)

        with ape.reverts(policies.PolicyInvalidSignature):
            policies.grantBySignature(replace(grant, **change).fields(), signature, sender=relay)

    def test_reverts_for_a_signature_of_another_chain_or_contract(
        self, policies: Any, owner: Any, relay: Any, chain: Any
    ) -> None:
        grant = owner.grant()
        places = [(policies.address, chain.chain_id + 1), (relay.address, chain.chain_id)]
        for contract, chain_id in places:
            elsewhere = Mainchain(SimpleNamespace(), {"PolicyRegistry": contract}, chain_id)  # type: ignore[arg-type]
            with ape.reverts(policies.PolicyInvalidSignature):
                policies.grantBySignature(
                    grant.fields(), elsewhere.policies.sign_grant(owner.account, grant), sender=relay
                )

    def test_reverts_for_a_strangers_or_malformed_signature(
        self, policies: Any, owner: Any, more_owners: Any, relay: Any
    ) -> None:
        grant = owner.grant()
        good = owner.sign_grant(grant)
        forged = more_owners[0].chain.policies.sign_grant(more_owners[0].account, grant)
        for signature in (forged, b"", good[:63], good + b"\0\0", bytes(64), bytes(65)):
            with ape.reverts(policies.PolicyInvalidSignature):
                policies.grantBySignature(grant.fields(), signature, sender=relay)

    def test_reverts_for_the_zero_owner(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant(owner=NOBODY)

        for signature in (bytes(65), bytes(64), b"", owner.sign_grant(grant)):
            with ape.reverts(policies.PolicyInvalidSignature):
                policies.grantBySignature(grant.fields(), signature, sender=relay)

    def test_reverts_after_the_deadline_and_not_at_it(
        self, policies: Any, owner: Any, more_owners: Any, relay: Any, chain: Any
    ) -> None:
        deadline = owner.now() + 100
        late, in_time = owner.grant(deadline=deadline - 1), more_owners[0].grant(deadline=deadline)
        signature = more_owners[0].sign_grant(in_time)
        chain.pending_timestamp = deadline
        policies.grantBySignature(in_time.fields(), signature, sender=relay)

        with ape.reverts(policies.PolicyDeadlineOver):
            policies.grantBySignature(late.fields(), owner.sign_grant(late), sender=relay)

    def test_reverts_if_repeated(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant()
        signature = owner.sign_grant(grant)
        policies.grantBySignature(grant.fields(), signature, sender=relay)

        with ape.reverts(policies.PolicyAlreadyGranted):
            policies.grantBySignature(grant.fields(), signature, sender=relay)

    @pytest.mark.parametrize("window", [(0, 0), (1, 0), (-200, -100)], ids=["empty", "reversed", "over"])
    def test_reverts_if_window_is_empty_or_over(
        self, policies: Any, owner: Any, relay: Any, window: tuple[int, int]
    ) -> None:
        now = owner.now() + 50
        grant = owner.grant(starts_at=now + window[0], expires_at=now + window[1])

        with ape.reverts(policies.PolicyInvalidWindow):
            policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

    @pytest.mark.parametrize("bit", [152, 255])
    def test_reverts_if_a_bit_is_above_the_windows_fields(
        self, policies: Any, owner: Any, relay: Any, bit: int
    ) -> None:
        malformed = owner.grant().window | 1 << bit
        grant = Malformed(**vars(owner.grant()), word=malformed)

        with ape.reverts(policies.PolicyMalformedWindow, window=malformed):
            policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

    def test_reverts_without_terms(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant(terms=bytes(32))

        with ape.reverts(policies.PolicyWithoutTerms):
            policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)


class TestGrant:
    def test_owner_grants_directly_and_stranger_does_not(
        self, policies: Any, owner: Any, relay: Any, stranger: Any
    ) -> None:
        grant = owner.grant(owner=relay.address)

        with ape.reverts(policies.PolicyNotOwner):
            policies.grant(grant.fields(), sender=stranger)
        policies.grant(grant.fields(), sender=relay)

        assert policies.statusOf(relay.address) == ACTIVE

    def test_reverts_if_granted_or_revoked_before(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant(owner=relay.address)
        policies.grant(grant.fields(), sender=relay)

        with ape.reverts(policies.PolicyAlreadyGranted):
            policies.grant(grant.fields(), sender=relay)
        policies.revoke(sender=relay)
        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.grant(grant.fields(), sender=relay)


class TestGrantBatch:
    def test_grants_all(self, policies: Any, owner: Any, more_owners: Any, relay: Any) -> None:
        owners = [owner, *more_owners]
        grants = [each.grant() for each in owners]
        signatures = [halves(each.sign_grant(grant)) for each, grant in zip(owners, grants, strict=True)]

        policies.grantBatch([grant.fields() for grant in grants], signatures, sender=relay)

        assert [policies.statusOf(each.address) for each in owners] == [ACTIVE] * 4

    def test_one_bad_signature_stops_all(self, policies: Any, owner: Any, more_owners: Any, relay: Any) -> None:
        owners = [owner, *more_owners]
        grants = [each.grant() for each in owners]
        signatures = [halves(owner.chain.policies.sign_grant(owner.account, grant)) for grant in grants]

        with ape.reverts(policies.PolicyInvalidSignature):
            policies.grantBatch([grant.fields() for grant in grants], signatures, sender=relay)

        assert policies.statusOf(owner.address) == UNKNOWN

    def test_reverts_if_lengths_differ(self, policies: Any, owner: Any, relay: Any) -> None:
        with ape.reverts(policies.PolicyBatchLengths):
            policies.grantBatch([owner.grant().fields()], [], sender=relay)


class TestRevokeBySignature:
    def test_revokes_for_good_whoever_relays(self, policies: Any, owner: Any, relay: Any, stranger: Any) -> None:
        grant = owner.grant()
        policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

        receipt = policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=stranger)

        assert policies.statusOf(owner.address) == REVOKED
        assert next(iter(receipt.decode_logs(policies.PolicyRevoked))).policyId == owner.address
        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

    def test_before_the_grant_makes_the_grant_impossible(self, policies: Any, owner: Any, relay: Any) -> None:
        policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=relay)
        grant = owner.grant()

        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

    def test_never_expires(self, policies: Any, owner: Any, relay: Any, chain: Any) -> None:
        signature = owner.sign_revoke()
        chain.mine(deltatime=10 * 365 * 86_400)

        policies.revokeBySignature(owner.address, signature, sender=relay)

        assert policies.statusOf(owner.address) == REVOKED

    def test_reverts_for_anybody_elses_signature(self, policies: Any, owner: Any, more_owners: Any, relay: Any) -> None:
        grant = owner.grant()
        for signature in (more_owners[0].sign_revoke(), owner.sign_grant(grant), bytes(64), b""):
            with ape.reverts(policies.PolicyInvalidSignature):
                policies.revokeBySignature(owner.address, signature, sender=relay)

    def test_reverts_for_the_zero_owner(self, policies: Any, relay: Any) -> None:
        with ape.reverts(policies.PolicyInvalidSignature):
            policies.revokeBySignature(NOBODY, bytes(65), sender=relay)

    def test_reverts_if_repeated(self, policies: Any, owner: Any, relay: Any) -> None:
        policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=relay)

        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=relay)


class TestRevoke:
    def test_touches_the_callers_policy_only(self, policies: Any, owner: Any, relay: Any, stranger: Any) -> None:
        grant = owner.grant(owner=relay.address)
        policies.grant(grant.fields(), sender=relay)

        policies.revoke(sender=stranger)
        assert policies.statusOf(relay.address) == ACTIVE
        policies.revoke(sender=relay)

        assert policies.statusOf(relay.address) == REVOKED
        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.revoke(sender=relay)


class TestRevokeBatch:
    def test_revokes_all_or_none(self, policies: Any, owner: Any, more_owners: Any, relay: Any) -> None:
        owners = [owner, *more_owners]
        addresses = [each.address for each in owners]
        signatures = [halves(each.sign_revoke()) for each in owners]

        with ape.reverts(policies.PolicyInvalidSignature):
            policies.revokeBatch(addresses, list(reversed(signatures)), sender=relay)
        with ape.reverts(policies.PolicyBatchLengths):
            policies.revokeBatch(addresses, signatures[1:], sender=relay)
        policies.revokeBatch(addresses, signatures, sender=relay)

        assert [policies.statusOf(address) for address in addresses] == [REVOKED] * 4


class TestStatusOf:
    def test_follows_the_window(self, policies: Any, owner: Any, relay: Any, chain: Any) -> None:
        start = owner.now() + 1000
        grant = owner.grant(starts_at=start, expires_at=start + 500)
        assert policies.statusOf(owner.address) == UNKNOWN
        policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)

        found = [policies.statusOf(owner.address)]
        for time in (start - 1, start, start + 499, start + 500):
            chain.mine(timestamp=time)
            found.append(policies.statusOf(owner.address))

        assert found == [NOT_YET, NOT_YET, ACTIVE, ACTIVE, EXPIRED]


class TestPolicyOf:
    def test_tells_window_and_revocation(self, policies: Any, owner: Any, relay: Any, chain: Any) -> None:
        assert tuple(policies.policyOf(owner.address)) == (UNKNOWN, 0, 0, 0)
        grant = owner.grant()
        policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)
        assert tuple(policies.policyOf(owner.address)) == (ACTIVE, grant.starts_at, grant.expires_at, 0)

        receipt = policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=relay)

        revoked_at = chain.blocks[receipt.block_number].timestamp
        assert tuple(policies.policyOf(owner.address)) == (REVOKED, grant.starts_at, grant.expires_at, revoked_at)


class TestAllowedAt:
    def test_counts_the_window_and_the_second_of_the_revocation(
        self, policies: Any, owner: Any, relay: Any, chain: Any
    ) -> None:
        grant = owner.grant()
        assert not policies.allowedAt(owner.address, grant.starts_at)
        policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)
        times = (grant.starts_at - 1, grant.starts_at, grant.expires_at - 1, grant.expires_at)
        assert [policies.allowedAt(owner.address, time) for time in times] == [False, True, True, False]

        receipt = policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=relay)

        revoked_at = chain.blocks[receipt.block_number].timestamp
        assert [policies.allowedAt(owner.address, revoked_at + after) for after in (-1, 0, 1)] == [True, True, False]
