"""A patient's own policies: found again from the seed, the chains and the store alone, and taken back.

Decides nothing: sdk/grants.py makes policies, sdk/revocations.py says when one is taken back. Shows only terms that the
patient signed. Follows design section 8 (Grant; Revoke, R1 and R2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from panachain.chain.signing import Account
from panachain.consent.life import has_ended
from panachain.consent.terms import open_terms
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed, address_of
from panachain.errors import ConfigurationError, DiskError, IntegrityError, PolicyUnknownError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import SEALED, OnChainPolicy, PolicyStatus, Terms
from panachain.model.progress import Progress
from panachain.model.scope import Generations, Scope
from panachain.model.transactions import Revocation
from panachain.records.findings import UNREADABLE
from panachain.sdk.deletion_receipts import DeletionReceipts
from panachain.sdk.kept_terms import KeptTerms
from panachain.sdk.network import Network
from panachain.sdk.proxies import Proxies
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.revocation_orders import RevocationOrders
from panachain.sdk.taking_back import LOOKING, SENDING, Background, TakenBack, proof_of, take_back

POLICY_GAP: Final = 20
"""Unused one-time keys in a row after which a search stops."""
SEARCHED: Final = 3000
"""One-time keys that are compared with a policy's ID: a grant a day for eight years, in well under a second."""
_MOST_SEARCHED: Final = 30_000
"""One-time keys that are compared where this machine knows that more are used: some seconds, whatever a file says."""
_LOG: Final = logging.getLogger("panachain.revocations")


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


class OwnPolicies:
    """The policies of one patient."""

    def __init__(
        self,
        network: Network,
        seed: Seed,
        proxies: Proxies,
        receipts: DeletionReceipts,
        orders: RevocationOrders,
        kept: KeptTerms,
    ) -> None:
        """Take what policies are found with, and taken back with.

        Args:
            network: with the mainchain, the store and the relay.
            seed: the patient's.
            proxies: as this patient talks to them.
            receipts: where the proxies' deletion receipts are kept.
            orders: where it is written down what is taken back.
            kept: the sealed terms that are on this machine.
        """
        self._network = network
        self._seed = seed
        self._proxies = proxies
        self._receipts = receipts
        self._orders = orders
        self._kept = kept
        self._opened: dict[tuple[int, bytes], Terms] = {}
        """Terms that this session opened and verified, by number and by the digest that the chain has: they never
        change."""
        self._known_ids: dict[int, PolicyId] = {}

    @property
    def patient(self) -> Address:
        """Whose these are."""
        return Address(address_of(self._seed.account_key()))

    def __iter__(self) -> Iterator[OwnPolicy]:
        """Yield all policies, oldest first.

        Raises:
            IntegrityError: the terms of one aren't this patient's.
            BlockNotFoundError: the store lost the terms of one.
        """
        for index, policy in self._on_chain():
            yield self._open(index, policy)

    def readable(self) -> Listing[OwnPolicy]:
        """Return all policies, oldest first, whose terms can be read; one that a store lost takes no other with it."""
        found, left_out = [], []
        for index, policy in self._on_chain():
            try:
                found.append(self._open(index, policy))
            except UNREADABLE as exc:
                why = f"its terms can't be read: {exc}"
                left_out.append(LeftOut("policy", policy.policy_id, why, over=has_ended(policy)))
        return Listing(found, left_out)

    def scopes(self) -> list[Scope]:
        """Return what was ever granted to somebody, each once, as far as terms can be read."""
        return list(dict.fromkeys(lane.scope for own in self.readable() for lane in own.terms.lanes))

    def _on_chain(self) -> list[tuple[int, OnChainPolicy]]:
        """Return number and state of each policy, oldest first, all as of one block."""
        found = []
        missing, start = 0, 0
        with self._network.mainchain.source.pinned():
            while missing < POLICY_GAP:
                ids = self._ids(start)
                known = self._network.mainchain.policies.policies_of(ids)
                for index, policy_id in enumerate(ids, start=start):
                    policy = known.get(policy_id)
                    missing = 0 if policy else missing + 1
                    # One that was revoked before it was granted has no terms.
                    if policy and policy.terms:
                        found.append((index, policy))
                start += POLICY_GAP
        return found

    def find(self, policy_id: PolicyId) -> OwnPolicy:
        """Return one policy.

        Raises:
            PolicyUnknownError: it isn't this patient's.
        """
        # No other policy's terms are looked for: one that a store lost doesn't hide those after it.
        for index, policy in self._on_chain():
            if policy.policy_id == policy_id:
                return self._open(index, policy)
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

    def index_of(self, policy_id: PolicyId, *, used: int = 0) -> int:
        """Return a policy's number by the seed alone; nobody is asked, and the policy needn't be on chain.

        Args:
            policy_id: which one.
            used: how many numbers this machine knows to be used, where those are more than are searched anyway.

        Raises:
            PolicyUnknownError: none of the first `SEARCHED` one-time keys is this policy's, nor of those that are used.
        """
        for index in range(max(SEARCHED, min(used, _MOST_SEARCHED))):
            if PolicyId(address_of(self._seed.policy_account(index))) == policy_id:
                return index
        raise PolicyUnknownError(f"policy {policy_id} isn't one of this patient's", hint="panachain policies")

    def ids(self, count: int) -> list[PolicyId]:
        """Return the IDs of the first numbers, by the seed alone; not all of them need be on chain."""
        return [PolicyId(address_of(self._seed.policy_account(index))) for index in range(count)]

    def at(self, index: int) -> OwnPolicy:
        """Return the policy of one number.

        Raises:
            PolicyUnknownError: the chain doesn't know it, or nobody granted it before it was revoked.
            IntegrityError: its terms aren't this patient's.
            BlockNotFoundError: the store lost them.
        """
        policy_id = PolicyId(address_of(self._seed.policy_account(index)))
        policy = self._network.mainchain.policies.policy_of(policy_id)
        if not policy.terms:
            raise PolicyUnknownError(f"policy {policy_id} was revoked before it was granted")
        return self._open(index, policy)

    def sign_revocation(self, index: int, *, heir: PolicyId | None = None) -> Revocation:
        """Return the signed revocation of the policy of one number; it needs the seed, and nobody else.

        Args:
            index: the policy's number.
            heir: the policy that takes its place, if one does: it is another signature then (ADR 85).
        """
        account = self.account(index)
        signature = self._network.mainchain.policies.sign_revoke(account, heir=heir)
        return Revocation(PolicyId(account.address), signature)

    def take_back(self, own: OwnPolicy, *, heir: PolicyId | None = None) -> TakenBack:
        """Revoke a policy on chain, and have each proxy delete what it holds; both may have been done before.

        Args:
            own: the policy.
            heir: the policy that takes its place, if one does.
        """
        return self.revoke(own.index, terms=own.terms, heir=heir)

    def is_revoked_for(self, own: OwnPolicy, heir: PolicyId) -> bool | None:
        """Tell whether a policy was revoked by the grant of the policy that takes its place, and by nobody else.

        Its signature says so: the chain takes one revocation of a policy, whoever sends it. None where the chain shows
        none yet.

        Raises:
            ChainUnavailableError: no node shows the transaction.
        """
        policies = self._network.mainchain.policies
        event = next(policies.events(policy_ids=[own.policy_id], kind="PolicyRevoked"), None)
        if event is None:
            return None
        return policies.revoked_with(event) == self.sign_revocation(own.index, heir=heir).signature

    def revoke(
        self,
        index: int,
        *,
        terms: Terms | None = None,
        heir: PolicyId | None = None,
        seconds: float = SENDING,
        progress: Progress | None = None,
    ) -> TakenBack:
        """Revoke the policy of one number, whatever anybody says of it, and have its proxies delete.

        Args:
            index: its number.
            terms: its terms, where they are known; else they are looked for while the revocation is on its way.
            heir: the policy that takes its place, if one does; None takes what was written down, so that what is sent
                again is what was sent before.
            seconds: as `take_back` takes it.
            progress: as `take_back` takes it.
        """
        policy_id = self._id(index)
        # Written down before it leaves. A full disk keeps nothing at home: then this call alone knows of it.
        try:
            order = self._orders.begin(policy_id, index, heir=heir)
            proven, heir = order.proven, heir or order.heir
        except (ConfigurationError, DiskError) as exc:
            _LOG.warning("the revocation of policy %s is sent, and couldn't be written down: %s", policy_id, exc)
            proven = False
        revocation = self.sign_revocation(index, heir=heir)
        # Proven before, and still: a block can be replaced.
        done = proven and Background(lambda: proof_of(self._network, revocation)).result(LOOKING) is not None
        taken = take_back(
            self._network,
            self._proxies,
            revocation,
            terms=lambda: terms or self.terms_at(index),
            on_chain=not done,
            seconds=seconds,
            progress=progress,
        )
        self._receipts.add(policy_id, taken.receipts)
        # The file may be damaged: what was done stays done.
        with suppress(ConfigurationError, DiskError):
            self._orders.refused(policy_id, taken.alarms)
            if taken.proven:
                self._orders.prove(policy_id)
        return taken

    def fall(self, index: int, *, terms: Terms | None, why: str) -> None:
        """Take back a policy that nobody wants any more before it was finished.

        Args:
            index: its number.
            terms: its terms; None where the chain doesn't know it. Then it is only written down that nobody gets a
                share, and it is revoked if a relay brings it after all.
            why: in words, for the patient: it is written down with it, until `told` is called.
        """
        if terms is None:
            self._orders.begin(self._id(index), index, fell=why)
            return
        # A full disk keeps no revocation at home.
        with suppress(ConfigurationError, DiskError):
            self._orders.begin(self._id(index), index, fell=why)
        self.revoke(index, terms=terms)

    def fallen(self) -> dict[PolicyId, str]:
        """Return why policies fell before they were finished, of which the patient wasn't told yet."""
        return {policy_id: order.fell for policy_id, order in self._orders.all().items() if order.fell}

    def told(self, policy_id: PolicyId) -> None:
        """Note that the patient was told why a policy fell; what can't be noted is told once more."""
        with suppress(ConfigurationError, DiskError):
            self._orders.told(policy_id)

    def let_go(self, policy_id: PolicyId, index: int) -> None:
        """Forget the revocation of a policy that was never granted, and can't be any more."""
        if self.is_taken_back(policy_id):
            self._orders.withdraw(policy_id, index)

    def is_taken_back(self, policy_id: PolicyId) -> bool:
        """Tell whether this machine was asked to revoke a policy, whether or not the chain shows it yet.

        Raises:
            ConfigurationError: the file that says so is damaged.
        """
        order = self._orders.of(policy_id)
        return order is not None and not order.withdrawn

    def is_revoked(self, policy_id: PolicyId) -> bool:
        """Tell whether the chain shows a policy as revoked, or this machine was asked to revoke it.

        Raises:
            ConfigurationError: the chain doesn't, and the file that says what this machine was asked is damaged.
        """
        known = self._network.mainchain.policies.policies_of([policy_id]).get(policy_id)
        return (known is not None and known.status is PolicyStatus.REVOKED) or self.is_taken_back(policy_id)

    def keep(self, index: int, sealed_terms: bytes) -> None:
        """Keep the sealed terms of a policy that is being made."""
        self._kept.keep(index, sealed_terms)

    def terms_at(self, index: int) -> Terms:
        """Return the terms of the policy of one number: those that are kept here, else as `at` does."""
        sealed = self._kept.get(index)
        if sealed is not None:
            # What somebody changed on the disk isn't the patient's, and is looked for elsewhere.
            with suppress(IntegrityError):
                return self._verified(index, sealed)
        return self.at(index).terms

    def _open(self, index: int, policy: OnChainPolicy) -> OwnPolicy:
        terms = self._opened.get((index, policy.terms))
        if terms is None:
            sealed = self._kept.get(index)
            if sealed is None or CID.of(RAW, sealed).digest != policy.terms:
                sealed = self._network.store.get_block(CID(RAW, policy.terms))
                terms = self._verified(index, sealed)
                self._kept.keep(index, sealed)
            else:
                terms = self._verified(index, sealed)
            self._opened[index, policy.terms] = terms
        return OwnPolicy(index, terms, policy)

    def _verified(self, index: int, sealed: bytes) -> Terms:
        secret, public = self._keys
        return open_terms(sealed, secret, own=True).verified(
            policy_id=PolicyId(address_of(self._seed.policy_account(index))), patient_verifying_key=public
        )

    @cached_property
    def _keys(self) -> tuple[SealingKey, bytes]:
        """What opens the patient's terms, and what their signature is checked by: derived once for all policies."""
        return self._seed.sealing(), self._seed.signer().public

    def _ids(self, start: int) -> list[PolicyId]:
        return [self._id(start + place) for place in range(POLICY_GAP)]

    def _id(self, index: int) -> PolicyId:
        if index not in self._known_ids:
            self._known_ids[index] = PolicyId(address_of(self._seed.policy_account(index)))
        return self._known_ids[index]


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
        grantee=terms.shown_grantee,
        scopes=tuple(dict.fromkeys(lane.scope.text for lane in terms.lanes)),
        purposes=tuple(purpose.value for purpose in terms.purposes),
        starts_at=terms.starts_at,
        expires_at=terms.expires_at,
        threshold=terms.threshold,
        proxies=len(terms.proxies),
        terms_cid=str(CID(RAW, policy.terms)),
        disclosed=policy.disclosure != SEALED,
        emergency_delay=terms.emergency_delay,
    )
