"""A patient's own policies: found again from the seed, the chains and the store alone, and taken back.

Decides nothing: sdk/grants.py makes policies, sdk/revocations.py says when one is taken back. Shows only terms that the
patient signed. Follows design section 8 (Grant; Revoke, R1 and R2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from panachain.chain.signing import Account
from panachain.consent.life import has_ended
from panachain.consent.terms import open_terms
from panachain.crypto.keys import Seed, address_of
from panachain.errors import PolicyUnknownError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId
from panachain.model.policy import SEALED, OnChainPolicy, PolicyStatus, Receipt, Terms
from panachain.model.scope import Generations
from panachain.sdk.deletion_receipts import DeletionReceipts
from panachain.sdk.network import Network
from panachain.sdk.proxies import Proxies
from panachain.sdk.results.policies import PolicyView

POLICY_GAP: Final = 20
"""Unused one-time keys in a row after which a search stops."""


@dataclass(frozen=True)
class OwnPolicy:
    """One policy of a patient's."""

    index: int
    """Its number: the one-time keys are derived from it."""
    terms: Terms
    on_chain: OnChainPolicy

    @property
    def policy_id(self) -> PolicyId:
        """Its ID, which is the address of its one-time account."""
        return self.terms.policy_id

    @property
    def is_revoked(self) -> bool:
        """Whether the patient took it back."""
        return self.on_chain.status is PolicyStatus.REVOKED

    @property
    def has_ended(self) -> bool:
        """Whether it opens nothing, now or later."""
        return has_ended(self.on_chain)

    def lags(self, generations: Generations) -> bool:
        """Tell whether it lacks the newest generation of one of its lanes."""
        newest = {lane.scope: lane.generation for lane in self.terms.lanes}
        return any(number < generations.current(scope) for scope, number in newest.items())

    def view(self) -> PolicyView:
        """Return it as its patient sees it."""
        return policy_view(self.terms, self.on_chain)


@dataclass(frozen=True)
class TakenBack:
    """What taking a policy back has brought about."""

    tx: str
    """Hash of the transaction; empty if the chain said revoked before."""
    gas: int
    receipts: tuple[Receipt, ...]
    """Of the proxies that deleted their shares, this time."""
    unreachable: tuple[str, ...]
    """Why each of the others gave none, one line each."""


class OwnPolicies:
    """The policies of one patient."""

    def __init__(self, network: Network, seed: Seed, proxies: Proxies, receipts: DeletionReceipts) -> None:
        """Take what policies are found with, and taken back with.

        Args:
            network: with the mainchain, the store and the relay.
            seed: the patient's.
            proxies: as this patient talks to them.
            receipts: where the proxies' deletion receipts are kept.
        """
        self._network = network
        self._seed = seed
        self._proxies = proxies
        self._receipts = receipts

    def __iter__(self) -> Iterator[OwnPolicy]:
        """Yield all policies, oldest first.

        Raises:
            IntegrityError: the terms of one aren't this patient's.
            BlockNotFoundError: the store lost the terms of one.
        """
        secret, verifying_key = self._seed.receiving(), self._seed.signer().public
        missing, start = 0, 0
        while missing < POLICY_GAP:
            ids = self._ids(start)
            known = self._network.mainchain.policies.policies_of(ids)
            for index, policy_id in enumerate(ids, start=start):
                policy = known.get(policy_id)
                missing = 0 if policy else missing + 1
                # One that was revoked before it was granted has no terms.
                if policy and policy.terms:
                    opened = open_terms(self._network.store.get_block(CID(RAW, policy.terms)), secret)
                    terms = opened.verified(policy_id=policy_id, patient_verifying_key=verifying_key)
                    yield OwnPolicy(index, terms, policy)
            start += POLICY_GAP

    def find(self, policy_id: PolicyId) -> OwnPolicy:
        """Return one policy.

        Raises:
            PolicyUnknownError: it isn't this patient's.
        """
        for own in self:
            if own.policy_id == policy_id:
                return own
        raise PolicyUnknownError(f"policy {policy_id} isn't one of this patient's", hint="panachain policies")

    def account(self, index: int) -> Account:
        """Return the one-time account that owns a policy."""
        return Account(self._seed.policy_account(index))

    def next_index(self, start: int) -> int:
        """Return the first number from `start` on that the chain hasn't seen, nor one after it.

        Args:
            start: the first number that this machine hasn't used. Another device of the patient's may have gone on.
        """
        following = start
        while True:
            ids = self._ids(start)
            known = self._network.mainchain.policies.policies_of(ids)
            if not known:
                return following
            following = start + max(ids.index(policy_id) for policy_id in known) + 1
            start += POLICY_GAP

    def take_back(self, own: OwnPolicy) -> TakenBack:
        """Revoke a policy on chain, then have each proxy delete what it holds; both may have been done before."""
        tx, gas = "", 0
        # R1: the chain says so, and honest proxies refuse from that block on.
        if not own.is_revoked:
            signature = self._network.mainchain.policies.sign_revoke(self.account(own.index))
            sent = self._network.relay().revoke(own.policy_id, signature)
            tx, gas = sent.tx_hash, sent.gas_used
        # R2: each proxy deletes its share, and signs that it did.
        receipts, unreachable = self._proxies.delete(own.terms)
        self._receipts.add(own.policy_id, receipts)
        return TakenBack(tx, gas, tuple(receipts), tuple(unreachable))

    def _ids(self, start: int) -> list[PolicyId]:
        return [PolicyId(address_of(self._seed.policy_account(start + place))) for place in range(POLICY_GAP)]


def policy_view(terms: Terms, policy: OnChainPolicy) -> PolicyView:
    """Return a policy as patient and grantee see it.

    Args:
        terms: verified.
        policy: what the mainchain says of it.
    """
    return PolicyView(
        policy_id=terms.policy_id,
        status=policy.status,
        patient=terms.patient,
        grantee=terms.grantee,
        scopes=tuple(dict.fromkeys(lane.scope.text for lane in terms.lanes)),
        purposes=tuple(purpose.value for purpose in terms.purposes),
        starts_at=terms.starts_at,
        expires_at=terms.expires_at,
        threshold=terms.threshold,
        proxies=len(terms.proxies),
        terms_cid=str(CID(RAW, policy.terms)),
        disclosed=policy.disclosure != SEALED,
    )
