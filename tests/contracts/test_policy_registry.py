"""PolicyRegistry: who may grant and revoke, and what can't come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ape
import pytest

UNKNOWN, NOT_YET, ACTIVE, EXPIRED, REVOKED = range(5)


class TestGrantBySignature:
    def test_grants_what_the_owner_signed_whoever_relays(self, policies: Any, owner: Any, relay: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100

        receipt = policies.grantBySignature(grant.fields(), deadline, owner.sign_grant(grant, deadline), sender=relay)

        assert policies.statusOf(owner.address) == ACTIVE
        event = next(iter(receipt.decode_logs(policies.PolicyGranted)))
        assert (event.policyId, event.terms) == (owner.address, grant.terms)

    @pytest.mark.parametrize(
        "change", [{"terms": b"u" * 32}, {"purposes": 1}, {"categories": 1}, {"data_use": 1}, {"study": "0x" + "11" * 20}]
    )
    def test_reverts_if_one_field_was_changed(self, policies: Any, owner: Any, relay: Any, change: dict[str, Any]) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        signature = owner.sign_grant(grant, deadline)

        with ape.reverts(policies.PolicyInvalidSignature):
            policies.grantBySignature(replace(grant, **change).fields(), deadline, signature, sender=relay)

    def test_reverts_if_deadline_was_changed_or_is_over(self, policies: Any, owner: Any, relay: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        signature = owner.sign_grant(grant, deadline)

        with ape.reverts(policies.PolicyInvalidSignature):
            policies.grantBySignature(grant.fields(), deadline + 1, signature, sender=relay)
        with ape.reverts(policies.PolicySignatureExpired):
            policies.grantBySignature(grant.fields(), 1, owner.sign_grant(grant, 1), sender=relay)

    def test_reverts_for_the_zero_owner(self, policies: Any, owner: Any, relay: Any) -> None:
        grant = owner.grant(owner="0x" + "00" * 20)

        with ape.reverts(policies.PolicyInvalidSignature):
            policies.grantBySignature(grant.fields(), owner.now() + 100, bytes(65), sender=relay)

    def test_reverts_if_repeated(self, policies: Any, owner: Any, relay: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        signature = owner.sign_grant(grant, deadline)
        policies.grantBySignature(grant.fields(), deadline, signature, sender=relay)

        with ape.reverts(policies.PolicyAlreadyGranted):
            policies.grantBySignature(grant.fields(), deadline, signature, sender=relay)

    def test_reverts_if_window_is_empty_or_over_or_without_terms(self, policies: Any, owner: Any, relay: Any) -> None:
        deadline = owner.now() + 100
        start = owner.grant().starts_at
        for change in ({"expires_at": start}, {"starts_at": 1, "expires_at": 2}):
            grant = owner.grant(**change)
            with ape.reverts(policies.PolicyInvalidWindow):
                policies.grantBySignature(grant.fields(), deadline, owner.sign_grant(grant, deadline), sender=relay)
        grant = owner.grant(terms=bytes(32))
        with ape.reverts(policies.PolicyWithoutTerms):
            policies.grantBySignature(grant.fields(), deadline, owner.sign_grant(grant, deadline), sender=relay)


class TestGrant:
    def test_owner_grants_directly_and_stranger_does_not(self, policies: Any, owner: Any, relay: Any, stranger: Any) -> None:
        grant = owner.grant(owner=relay.address)

        with ape.reverts(policies.PolicyNotOwner):
            policies.grant(grant.fields(), sender=stranger)
        policies.grant(grant.fields(), sender=relay)

        assert policies.statusOf(relay.address) == ACTIVE


class TestRevoke:
    def test_revoked_policy_never_becomes_active_again(self, policies: Any, owner: Any, relay: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        signature = owner.sign_grant(grant, deadline)
        policies.grantBySignature(grant.fields(), deadline, signature, sender=relay)

        policies.revokeBySignature(owner.address, deadline, owner.sign_revoke(deadline), sender=relay)

        assert policies.statusOf(owner.address) == REVOKED
        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.grantBySignature(grant.fields(), deadline, signature, sender=relay)
        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.revokeBySignature(owner.address, deadline, owner.sign_revoke(deadline), sender=relay)

    def test_revocation_before_the_grant_makes_it_impossible(self, policies: Any, owner: Any, relay: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        policies.revokeBySignature(owner.address, deadline, owner.sign_revoke(deadline), sender=relay)

        with ape.reverts(policies.PolicyAlreadyRevoked):
            policies.grantBySignature(grant.fields(), deadline, owner.sign_grant(grant, deadline), sender=relay)

    def test_nobody_else_revokes(self, policies: Any, owner: Any, relay: Any, stranger: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        signature = owner.sign_grant(grant, deadline)
        policies.grantBySignature(grant.fields(), deadline, signature, sender=relay)

        # A stranger's own revocation concerns his own policy only; a grant's signature is no revocation.
        policies.revoke(sender=stranger)
        for bad in (signature, bytes(65), b""):
            with ape.reverts(policies.PolicyInvalidSignature):
                policies.revokeBySignature(owner.address, deadline, bad, sender=stranger)

        assert policies.statusOf(owner.address) == ACTIVE


class TestStatusOf:
    def test_follows_the_window(self, policies: Any, owner: Any, relay: Any, chain: Any) -> None:
        assert policies.statusOf(owner.address) == UNKNOWN
        assert policies.statusOf("0x" + "00" * 20) == UNKNOWN
        start = owner.now() + 500
        grant, deadline = owner.grant(starts_at=start, expires_at=start + 500), owner.now() + 100
        policies.grantBySignature(grant.fields(), deadline, owner.sign_grant(grant, deadline), sender=relay)

        assert policies.statusOf(owner.address) == NOT_YET
        chain.mine(timestamp=start)
        assert policies.statusOf(owner.address) == ACTIVE
        chain.mine(timestamp=start + 500)
        assert policies.statusOf(owner.address) == EXPIRED
        assert tuple(policies.policyOf(owner.address)) == (EXPIRED, start, start + 500)


class TestBatches:
    def test_all_or_none(self, policies: Any, owner: Any, relay: Any) -> None:
        grant, deadline = owner.grant(), owner.now() + 100
        signature = owner.sign_grant(grant, deadline)

        with ape.reverts(policies.PolicyBatchLengths):
            policies.grantBatch([grant.fields()], [], [signature], sender=relay)
        with ape.reverts(policies.PolicyAlreadyGranted):
            policies.grantBatch([grant.fields()] * 2, [deadline] * 2, [signature] * 2, sender=relay)
        assert policies.statusOf(owner.address) == UNKNOWN

        policies.grantBatch([grant.fields()], [deadline], [signature], sender=relay)
        policies.revokeBatch([owner.address], [deadline], [owner.sign_revoke(deadline)], sender=relay)
        assert policies.statusOf(owner.address) == REVOKED
        with ape.reverts(policies.PolicyBatchLengths):
            policies.revokeBatch([owner.address], [], [], sender=relay)
