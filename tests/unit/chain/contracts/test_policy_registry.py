"""PolicyRegistry's adapter: what is signed, and that a policy is what its events and a block's time say together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from eth_utils import to_checksum_address

from panachain.chain.bound import MANY
from panachain.chain.contracts import policy_registry
from panachain.chain.contracts.policy_registry import PolicyRegistry
from panachain.chain.signing import Account, expanded
from panachain.errors import ChainUnavailableError, IntegrityError, PolicyUnknownError
from panachain.model.actors import PolicyId
from panachain.model.policy import Disclosure, PolicyStatus
from panachain.model.transactions import Grant
from tests.unit.chain.contracts.node import CHAIN_ID, NOT_OF_THE_ABI, STRANGER, WHERE, Node, Raw, Sender, low

ACCOUNT = Account(b"\x07" * 32)
OWNER, OTHER = PolicyId(ACCOUNT.address), PolicyId(STRANGER)
GRANT = Grant(OWNER, 10, 20, 15, b"t" * 32, view_tag=3, announcement=b"a" * 32, disclosure=Disclosure(purposes=5))
DOMAIN = {"name": "PanaChain PolicyRegistry", "version": "1", "chainId": CHAIN_ID, "verifyingContract": WHERE}
UNKNOWN, NOT_YET, ACTIVE, EXPIRED, REVOKED = (
    PolicyStatus.UNKNOWN,
    PolicyStatus.NOT_YET,
    PolicyStatus.ACTIVE,
    PolicyStatus.EXPIRED,
    PolicyStatus.REVOKED,
)


@pytest.fixture
def node() -> Node:
    return Node("PolicyRegistry")


def granted(node: Node, grant: Grant = GRANT, *, block: int = 7) -> None:
    values = {"policyId": grant.owner, "window": grant.window, "terms": grant.terms}
    node.emit("PolicyGranted", announcement=grant.announcement or bytes(32), block=block, **values)
    if grant.disclosure.word:
        node.emit("PolicyDisclosed", policyId=grant.owner, disclosure=grant.disclosure.word, block=block)


def signer(types: dict[str, Any], message: dict[str, Any], signature: bytes) -> str:
    """Return who signed, as eth-account has it."""
    full = signature[:32] + bytes([signature[32] & 0x7F]) + signature[33:] + bytes([27 + (signature[32] >> 7)])
    return str(EthAccount.recover_message(encode_typed_data(DOMAIN, types, message), signature=full))


class TestSigned:
    def test_a_grant_is_signed_by_the_one_time_key_in_every_field(self, node: Node) -> None:
        signature = node.adapter(PolicyRegistry).sign_grant(ACCOUNT, GRANT)
        kinds = {"owner": "address", "window": "uint256", "terms": "bytes32", "announcement": "bytes32"}
        types = {"Grant": [{"name": n, "type": t} for n, t in (kinds | {"disclosure": "uint256"}).items()]}
        message = dict(zip([*kinds, "disclosure"], GRANT.fields(), strict=True))
        assert len(signature) == 64
        assert signer(types, message, signature) == OWNER
        assert signer(types, message | {"disclosure": 6}, signature) != OWNER

    def test_a_revocation_is_signed_without_an_end(self, node: Node) -> None:
        signature = node.adapter(PolicyRegistry).sign_revoke(ACCOUNT)
        assert signer({"Revoke": [{"name": "owner", "type": "address"}]}, {"owner": OWNER}, signature) == OWNER

    def test_a_revocation_for_an_heir_counts_as_much_and_is_another_signature(self, node: Node) -> None:
        policies = node.adapter(PolicyRegistry)
        types = {"Revoke": [{"name": "owner", "type": "address"}]}
        heirs = [None, OTHER, PolicyId("0x" + "00" * 19 + "01")]
        signatures = [policies.sign_revoke(ACCOUNT, heir=heir) for heir in heirs]
        assert {signer(types, {"owner": OWNER}, one) for one in signatures} == {OWNER}
        # r, too: nobody makes one of another by s alone.
        assert len({one[:32] for one in signatures}) == 3
        assert signatures == [policies.sign_revoke(ACCOUNT, heir=heir) for heir in heirs]

    def test_what_is_relayed_is_what_was_signed(self, node: Node) -> None:
        policies, sender = node.adapter(PolicyRegistry), Sender(node)
        one, two = b"1" * 64, b"2" * 64
        halves = ((one[:32], one[32:]), (two[:32], two[32:]))
        fields = (OWNER.lower(), *GRANT.fields()[1:])

        policies.grant_by_signature(sender, GRANT, one)
        policies.grant_batch(sender, [(GRANT, one), (replace(GRANT, owner=OTHER), two)])
        policies.revoke_by_signature(sender, OWNER, one)
        policies.revoke_batch(sender, [(OWNER, one), (OTHER, two)])

        assert sender.sent == [
            ("grantBySignature", (fields, one)),
            ("grantBatch", ((fields, (OTHER.lower(), *fields[1:])), halves)),
            ("revokeBySignature", (*low(OWNER), one)),
            ("revokeBatch", (low(OWNER, OTHER), halves)),
        ]


def test_many_policies_are_asked_for_in_bounded_questions_and_each_is_found(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panachain.chain.contracts.policy_registry.MANY", 2)
    owners = [PolicyId(to_checksum_address(f"0x{number:040x}")) for number in range(1, 6)]
    for owner in owners[:4]:
        granted(node, replace(GRANT, owner=owner))
    found = node.adapter(PolicyRegistry).policies_of(owners)
    assert list(found) == owners[:4]
    assert node.adapter(PolicyRegistry).policies_of([]) == {}


class TestTheSignatureOfARevocation:
    """Found in the transaction, whoever sent it and beside whichever others."""

    ONE, OTHERS = bytes(range(64)), b"\x05" * 64

    def shown(self, monkeypatch: pytest.MonkeyPatch, node: Node, data: str) -> bytes:
        policies = node.adapter(PolicyRegistry)
        node.emit("PolicyRevoked", policyId=OWNER)
        (event,) = policies.events(kind="PolicyRevoked")
        asked = {event.tx_hash: bytes.fromhex(data[2:])}
        monkeypatch.setattr(policy_registry, "calldata_of", lambda _, tx_hash: asked.get(tx_hash))
        return policies.revoked_with(event)

    def test_is_found_alone_and_in_a_batch(self, monkeypatch: pytest.MonkeyPatch, node: Node) -> None:
        policies = node.adapter(PolicyRegistry)
        assert self.shown(monkeypatch, node, policies.revoke_by_signature_calldata(OWNER, self.ONE)) == self.ONE
        batch = policies.revoke_batch_calldata([(OTHER, self.OTHERS), (OWNER, self.ONE)])
        monkeypatch.setattr(policy_registry, "calldata_of", lambda *_: bytes.fromhex(batch[2:]))
        assert policies.revoked_with(next(policies.events(kind="PolicyRevoked"))) == self.ONE

    def test_is_found_in_its_longer_form(self, monkeypatch: pytest.MonkeyPatch, node: Node) -> None:
        short = node.adapter(PolicyRegistry).sign_revoke(ACCOUNT, heir=OTHER)
        data = node.adapter(PolicyRegistry).revoke_by_signature_calldata(OWNER, expanded(short))
        assert self.shown(monkeypatch, node, data) == short

    @pytest.mark.parametrize("cut", [0, 4, 40])
    def test_is_none_where_something_else_was_called(
        self, monkeypatch: pytest.MonkeyPatch, node: Node, cut: int
    ) -> None:
        policies = node.adapter(PolicyRegistry)
        others = policies.revoke_by_signature_calldata(OTHER, self.ONE)
        assert self.shown(monkeypatch, node, others) == b""
        data = policies.revoke_by_signature_calldata(OWNER, self.ONE)[: 2 + 2 * cut]
        monkeypatch.setattr(policy_registry, "calldata_of", lambda *_: bytes.fromhex(data[2:]))
        assert policies.revoked_with(next(policies.events(kind="PolicyRevoked"))) == b""

    def test_is_asked_for_again_where_no_node_shows_the_transaction(
        self, monkeypatch: pytest.MonkeyPatch, node: Node
    ) -> None:
        policies = node.adapter(PolicyRegistry)
        node.emit("PolicyRevoked", policyId=OWNER)
        monkeypatch.setattr(policy_registry, "calldata_of", lambda *_: None)
        with pytest.raises(ChainUnavailableError, match="no node shows the transaction"):
            policies.revoked_with(next(policies.events(kind="PolicyRevoked")))


class TestPolicy:
    def test_is_what_the_grant_says_at_the_time_of_one_block(self, node: Node) -> None:
        granted(node)
        found = node.adapter(PolicyRegistry).policy_of(OWNER)
        assert (found.policy_id, found.terms) == (OWNER, GRANT.terms)
        assert (found.starts_at, found.expires_at, found.disclosure) == (10, 20, GRANT.disclosure)
        assert (found.block, found.block_time) == (node.block, 1000 + node.block)
        assert node.asked == []

    @pytest.mark.parametrize(
        ("starts_at", "expires_at", "status"),
        [(1101, 1200, NOT_YET), (1100, 1200, ACTIVE), (1000, 1101, ACTIVE), (1000, 1100, EXPIRED)],
    )
    def test_is_in_force_from_its_start_until_before_its_end(
        self, node: Node, starts_at: int, expires_at: int, status: PolicyStatus
    ) -> None:
        granted(node, replace(GRANT, starts_at=starts_at, expires_at=expires_at))
        assert node.adapter(PolicyRegistry).policy_of(OWNER).status is status
        node.emit("PolicyRevoked", policyId=OWNER)
        found = node.adapter(PolicyRegistry).policy_of(OWNER)
        assert (found.status, found.starts_at, found.terms) == (REVOKED, starts_at, GRANT.terms)

    @pytest.mark.parametrize("claimed", [UNKNOWN, ACTIVE, REVOKED])
    def test_no_word_of_the_node_changes_it(self, node: Node, claimed: PolicyStatus) -> None:
        node.results["statusOf"] = claimed.value
        policies = node.adapter(PolicyRegistry)
        with pytest.raises(PolicyUnknownError):
            policies.policy_of(OWNER)
        granted(node, replace(GRANT, expires_at=2000))
        assert policies.policy_of(OWNER).status is ACTIVE
        node.emit("PolicyRevoked", policyId=OWNER)
        assert policies.policy_of(OWNER).status is REVOKED

    def test_what_nobody_granted_is_unknown(self, node: Node) -> None:
        policies = node.adapter(PolicyRegistry)
        with pytest.raises(PolicyUnknownError, match=f"no policy {OWNER} is granted on the mainchain at block 100"):
            policies.policy_of(OWNER)
        assert policies.policies_of([OWNER]) == policies.policies_of([]) == {}

    def test_a_revocation_without_a_grant_is_a_revoked_policy(self, node: Node) -> None:
        node.emit("PolicyRevoked", policyId=OWNER)
        found = node.adapter(PolicyRegistry).policy_of(OWNER)
        assert (found.status, found.starts_at, found.expires_at, found.terms) == (REVOKED, 0, 0, b"")

    def test_many_are_asked_in_bounded_questions(self, node: Node) -> None:
        granted(node)
        many = [OWNER, *(PolicyId(f"0x{number:040x}") for number in range(MANY))]
        assert list(node.adapter(PolicyRegistry).policies_of(many)) == [OWNER]


class TestConfirmed:
    def test_a_grant_is_as_deep_as_blocks_follow_it(self, node: Node) -> None:
        granted(node, block=98)
        policies = node.adapter(PolicyRegistry)
        assert [policies.is_confirmed(OWNER, deep) for deep in range(5)] == [True, True, True, False, False]
        settled = policies.settled(OWNER, 2)
        assert settled is not None
        assert (settled.block, settled.block_time) == (98, 1098)

    def test_before_the_deployment_nothing_is_confirmed(self, node: Node) -> None:
        granted(node, block=98)
        policies = node.adapter(PolicyRegistry, from_block=99)
        assert not policies.is_confirmed(OWNER, 2)
        # In the deployment's own block there may be one.
        assert node.adapter(PolicyRegistry, from_block=98).is_confirmed(OWNER, 2)
        assert not policies.is_confirmed(OWNER, 200)


class TestQuestions:
    def test_a_revocation_that_waits_is_in_sight(self, node: Node) -> None:
        node.results["statusOf"] = ACTIVE.value
        policies = node.adapter(PolicyRegistry)
        assert not policies.revocation_in_sight(OWNER)
        node.results["statusOf"] = REVOKED.value
        assert policies.revocation_in_sight(OWNER)
        assert {block for _, _, block in node.asked} == {"pending"}

    def test_one_that_is_mined_is_in_sight_whatever_the_node_says(self, node: Node) -> None:
        node.results["statusOf"] = ACTIVE.value
        node.emit("PolicyRevoked", policyId=OWNER)
        assert node.adapter(PolicyRegistry).revocation_in_sight(OWNER)
        assert node.asked == []

    @pytest.mark.parametrize("answer", [*NOT_OF_THE_ABI, Raw("0x" + "00" * 31 + "63")])
    def test_what_is_no_status_is_an_integrity_error(self, node: Node, answer: Any) -> None:
        node.results["statusOf"] = answer
        with pytest.raises(IntegrityError):
            node.adapter(PolicyRegistry).revocation_in_sight(OWNER)

    def test_a_time_was_allowed_from_the_start_until_before_the_end_or_up_to_the_revocation(self, node: Node) -> None:
        policies = node.adapter(PolicyRegistry)
        assert not policies.allowed_at(OWNER, 1010)
        granted(node, replace(GRANT, starts_at=1005, expires_at=1020))
        assert [at for at in range(1000, 1030) if policies.allowed_at(OWNER, at)] == list(range(1005, 1020))
        # In block 12, whose time is 1012: that second counts still, as the contract has it.
        node.emit("PolicyRevoked", policyId=OWNER, block=12)
        assert [at for at in range(1000, 1030) if policies.allowed_at(OWNER, at)] == list(range(1005, 1013))
        assert node.asked == []
