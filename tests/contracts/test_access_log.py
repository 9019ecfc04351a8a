"""AccessLog: proxies anchor heads that only grow, and their own signatures convict them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ape
import pytest

from panachain.chain.receipts import log_domain, receipt_fields, receipt_hash, sign_head
from panachain.chain.signing import Account, compact
from panachain.crypto.keys import Seed
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from tests.contracts.conftest import HOSPITAL, KEYS, NOBODY, PROXY, halves


@pytest.fixture
def proxy(actors: Any, registrar: Any, relay: Any) -> Any:
    actors.register(relay, PROXY, KEYS, "", NOBODY, sender=registrar)
    return relay


@dataclass
class Signer:
    """A proxy that only signs; somebody else sends."""

    account: Account
    domain: bytes

    @property
    def address(self) -> str:
        return self.account.address

    def receipt(self, policy_id: str, at: int, **change: Any) -> Receipt:
        fields = {"sequence": 4, "previous": b"p" * 32, "kind": ReceiptKind.REENCRYPTED, "block": 9, "count": 1}
        body = {"proxy": Address(self.address), "policy_id": PolicyId(policy_id), "at": at, "detail": b"sealed"}
        return Receipt(**(fields | body | change), signature=b"")

    def head(self, sequence: int, head: bytes) -> bytes:
        return sign_head(self.account, self.domain, sequence=sequence, head=head)

    def anchor(self, sequence: int, head: bytes) -> tuple[bytes, bytes]:
        return halves(compact(self.head(sequence, head)))

    def sign(self, receipt: Receipt) -> bytes:
        return self.head(receipt.sequence, receipt_hash(receipt))


@pytest.fixture
def signer(actors: Any, access_log: Any, registrar: Any, chain: Any) -> Signer:
    account = Account(Seed.random().account_key())
    actors.register(account.address, PROXY, KEYS, "", NOBODY, sender=registrar)
    return Signer(account, log_domain(chain.chain_id, access_log.address))


@pytest.fixture
def revoked_at(policies: Any, owner: Any, relay: Any, chain: Any) -> int:
    """When `owner`'s policy was revoked."""
    grant = owner.grant()
    policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)
    receipt = policies.revokeBySignature(owner.address, owner.sign_revoke(), sender=relay)
    return int(chain.blocks[receipt.block_number].timestamp)


class TestAnchor:
    def test_proxy_anchors_and_stranger_does_not(
        self, actors: Any, access_log: Any, registrar: Any, signer: Signer, hospital: Any, stranger: Any
    ) -> None:
        actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar)
        for account in (stranger, hospital):
            with ape.reverts(access_log.LogNotActiveProxy):
                access_log.anchor(account, 1, b"h" * 32, signer.anchor(1, b"h" * 32), sender=account)
        signature = signer.anchor(5, b"h" * 32)
        receipt = access_log.anchor(signer.address, 5, b"h" * 32, signature, sender=stranger)

        event = next(iter(receipt.decode_logs(access_log.HeadAnchored)))
        assert (event.proxy, event.sequence, event.head) == (signer.address, 5, b"h" * 32)
        assert tuple(event.signature) == signature
        assert tuple(access_log.anchorOf(signer.address)) == (True, 5, b"h" * 32)

    def test_reverts_if_the_sequence_does_not_grow(self, access_log: Any, signer: Signer, relay: Any) -> None:
        with ape.reverts(access_log.LogSequenceNotGrowing):
            access_log.anchor(signer.address, 0, b"h" * 32, signer.anchor(0, b"h" * 32), sender=relay)
        access_log.anchor(signer.address, 5, b"h" * 32, signer.anchor(5, b"h" * 32), sender=relay)
        for sequence in (4, 5):
            with ape.reverts(access_log.LogSequenceNotGrowing):
                access_log.anchor(signer.address, sequence, b"i" * 32, signer.anchor(sequence, b"i" * 32), sender=relay)

    def test_reverts_for_the_zero_head(self, access_log: Any, signer: Signer, relay: Any) -> None:
        with ape.reverts(access_log.LogWithoutHead):
            access_log.anchor(signer.address, 1, bytes(32), signer.anchor(1, bytes(32)), sender=relay)

    def test_reverts_for_what_the_proxy_did_not_sign(self, access_log: Any, signer: Signer, relay: Any) -> None:
        for signature in (signer.anchor(2, b"h" * 32), signer.anchor(1, b"i" * 32), (bytes(32), bytes(32))):
            with ape.reverts(access_log.LogInvalidSignature):
                access_log.anchor(signer.address, 1, b"h" * 32, signature, sender=relay)

    def test_rejects_a_suspended_proxy(
        self, actors: Any, access_log: Any, registrar: Any, signer: Signer, relay: Any
    ) -> None:
        actors.suspend(signer.address, sender=registrar)
        with ape.reverts(access_log.LogNotActiveProxy):
            access_log.anchor(signer.address, 1, b"h" * 32, signer.anchor(1, b"h" * 32), sender=relay)


class TestProveLateService:
    def test_a_receipt_after_the_revocation_suspends(
        self, actors: Any, access_log: Any, signer: Any, owner: Any, revoked_at: int, stranger: Any
    ) -> None:
        receipt = signer.receipt(owner.address, revoked_at + 1)

        sent = access_log.proveLateService(
            signer.address, receipt_fields(receipt), signer.sign(receipt), sender=stranger
        )

        assert not actors.isActive(signer.address, PROXY)
        event = next(iter(sent.decode_logs(access_log.LateServiceProven)))
        assert (event.proxy, event.policyId, event.sequence) == (signer.address, owner.address, 4)
        assert event.head == receipt_hash(receipt)

    def test_so_does_one_outside_the_window_or_without_a_grant(
        self, access_log: Any, signer: Any, owner: Any, policies: Any, relay: Any
    ) -> None:
        grant = owner.grant()
        policies.grantBySignature(grant.fields(), owner.sign_grant(grant), sender=relay)
        cases = [(owner.address, grant.starts_at - 1), (owner.address, grant.expires_at), (relay.address, owner.now())]
        for policy_id, at in cases:
            receipt = signer.receipt(policy_id, at)
            access_log.proveLateService(signer.address, receipt_fields(receipt), signer.sign(receipt), sender=relay)

    def test_reverts_if_the_service_was_allowed(
        self, access_log: Any, signer: Any, owner: Any, revoked_at: int, stranger: Any
    ) -> None:
        kinds = [ReceiptKind.DEPOSITED, ReceiptKind.DENIED, ReceiptKind.DELETED]
        late = [signer.receipt(owner.address, revoked_at + 1, kind=kind) for kind in kinds]
        for receipt in [signer.receipt(owner.address, revoked_at), *late]:
            with ape.reverts(access_log.LogNotLate):
                access_log.proveLateService(
                    signer.address, receipt_fields(receipt), signer.sign(receipt), sender=stranger
                )

    @pytest.mark.parametrize(
        "change",
        [{"sequence": 5}, {"previous": b"q" * 32}, {"at": 7}, {"block": 1}, {"count": 2}, {"detail": b""}],
        ids=str,
    )
    def test_reverts_if_one_field_was_changed(
        self, access_log: Any, signer: Any, owner: Any, stranger: Any, change: dict[str, Any]
    ) -> None:
        receipt = signer.receipt(owner.address, owner.now())
        changed = receipt_fields(replace(receipt, **change))
        with ape.reverts(access_log.LogInvalidSignature):
            access_log.proveLateService(signer.address, changed, signer.sign(receipt), sender=stranger)

    def test_reverts_for_who_was_never_a_proxy(self, access_log: Any, signer: Any, owner: Any, stranger: Any) -> None:
        receipt = signer.receipt(owner.address, owner.now())
        with ape.reverts(access_log.LogNotProxy):
            access_log.proveLateService(stranger, receipt_fields(receipt), signer.sign(receipt), sender=stranger)

    def test_counts_once_also_after_a_reinstatement(
        self, actors: Any, access_log: Any, signer: Any, owner: Any, registrar: Any, stranger: Any
    ) -> None:
        receipt = signer.receipt(owner.address, owner.now())
        evidence = (signer.address, receipt_fields(receipt), signer.sign(receipt))
        access_log.proveLateService(*evidence, sender=stranger)
        actors.reinstate(signer.address, sender=registrar)
        with ape.reverts(access_log.LogEvidenceUsed):
            access_log.proveLateService(*evidence, sender=stranger)
        assert actors.isActive(signer.address, PROXY)


class TestProveFork:
    def test_two_heads_for_one_sequence_suspend_once(
        self, actors: Any, access_log: Any, signer: Any, stranger: Any
    ) -> None:
        first, second = b"a" * 32, b"b" * 32
        pair = (first, signer.head(3, first), second, signer.head(3, second))

        sent = access_log.proveFork(signer.address, 3, *pair, sender=stranger)

        assert not actors.isActive(signer.address, PROXY)
        event = next(iter(sent.decode_logs(access_log.ForkProven)))
        assert (event.proxy, event.sequence, event.first, event.second) == (signer.address, 3, first, second)
        with ape.reverts(access_log.LogEvidenceUsed):
            access_log.proveFork(signer.address, 3, *pair[2:], *pair[:2], sender=stranger)

    def test_reverts_for_one_head_twice(self, access_log: Any, signer: Any, stranger: Any) -> None:
        head, signature = b"a" * 32, signer.head(3, b"a" * 32)
        with ape.reverts(access_log.LogNotFork):
            access_log.proveFork(signer.address, 3, head, signature, head, signature, sender=stranger)

    def test_reverts_if_either_signature_is_another_sequences_or_somebody_elses(
        self, access_log: Any, signer: Any, stranger: Any
    ) -> None:
        good, elsewhere = signer.head(3, b"a" * 32), signer.head(4, b"b" * 32)
        for first, second in ((good, elsewhere), (elsewhere, signer.head(3, b"b" * 32)), (good, bytes(65))):
            with ape.reverts(access_log.LogInvalidSignature):
                access_log.proveFork(signer.address, 3, b"a" * 32, first, b"b" * 32, second, sender=stranger)


class TestSetAdmitted:
    def test_rejects_everybody_but_the_registry(
        self, access_log: Any, registrar: Any, stranger: Any, admin: Any
    ) -> None:
        for caller in (stranger, registrar, admin):
            with ape.reverts(access_log.LogNotRegistry):
                access_log.setAdmitted(stranger, True, sender=caller)


class TestHashOf:
    def test_is_what_the_sdk_computes(self, access_log: Any, signer: Any, owner: Any) -> None:
        receipt = signer.receipt(owner.address, 7)
        assert access_log.hashOf(receipt_fields(receipt)) == receipt_hash(receipt)
