"""Revocations: a policy is taken back, and how far that has come.

Never waits: a revocation that is asked for is sent at once (security rule 3), and each step that was missed is done by
the next call. Follows design section 8 (Revoke), whose steps are

    R1  the chain says revoked, and honest proxies refuse from that block on;
    R2  each proxy deletes its share and signs that it did: with n - t + 1 receipts the revocation is final;
    R3  the policy's lanes get a new generation, which hospitals are told, and the remaining grantees new policies:
        so that also colluding proxies can't help the grantee to anything that isn't opened yet;
    R4  hospitals move what is in the old lanes to the new ones, and delete the old headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from panachain.errors import PolicyUnknownError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import ReceiptKind, Terms
from panachain.model.progress import Progress
from panachain.model.scope import Generations
from panachain.sdk.deletion_receipts import DeletionReceipts
from panachain.sdk.grants import Grants
from panachain.sdk.lanes import OwnLanes
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicies, OwnPolicy
from panachain.sdk.proxies import Proxies
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import RevocationReport


class Revocations:
    """The revocations of one patient."""

    def __init__(
        self,
        network: Network,
        *,
        policies: OwnPolicies,
        grants: Grants,
        lanes: OwnLanes,
        proxies: Proxies,
        receipts: DeletionReceipts,
    ) -> None:
        """Take what a revocation touches; all of it is the patient's own."""
        self._network = network
        self._policies = policies
        self._grants = grants
        self._lanes = lanes
        self._proxies = proxies
        self._receipts = receipts

    def revoke(self, policy_id: PolicyId, *, rotate: bool, progress: Progress | None = None) -> RevocationReport:
        """Take a policy back, as far as it goes now; a grant that still waits to be sent is forgotten.

        Args:
            policy_id: which one.
            rotate: do R3 too, and ask for R4.
            progress: is told how many policies of others R3 has granted again.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        try:
            own = self._policies.find(policy_id)
        except PolicyUnknownError:
            # A grant that still waits isn't on chain: taking it back is forgetting it, and costs no gas.
            if not self._grants.withdraw(policy_id):
                raise
            return RevocationReport(policy_id, tx="", gas=0, receipts=(), needed=0, shares=0)
        # R1 and R2.
        taken = self._policies.take_back(own)
        # R3, and the orders for R4.
        told, regranted = self._rotate(own.terms, progress) if rotate else ([], {})
        return replace(
            self._report(own.terms, self._lanes.generations()),
            tx=taken.tx,
            gas=taken.gas,
            unreachable=taken.unreachable,
            hospitals=tuple(told),
            regranted=regranted,
        )

    def status(self, policy_id: PolicyId) -> RevocationReport:
        """Return how far a revocation has come, by what the proxies and the store say now; nothing is changed.

        Raises:
            PolicyUnknownError: the policy isn't this patient's, or isn't revoked.
        """
        own = self._policies.find(policy_id)
        if not own.is_revoked:
            raise PolicyUnknownError(
                f"policy {policy_id} isn't revoked: it is {own.on_chain.status.name.lower()}",
                hint="panachain revoke without --status takes it back",
            )
        signed, _ = self._proxies.receipts(own.terms, self._policies.account(own.index))
        self._receipts.add(policy_id, [one for one in signed if one.kind is ReceiptKind.DELETED])
        report = self._report(own.terms, self._lanes.generations())
        # R4: nobody signs it, but the old headers are gone or they aren't.
        if report.rotated and not report.rewrapped and not self._lanes.still_there(own.terms.lanes):
            self._receipts.rewrapped(policy_id)
            return replace(report, rewrapped=True)
        return report

    def views(self, lacking: Mapping[PolicyId, int]) -> list[PolicyView]:
        """Return all policies on chain, oldest first, those that were taken back with the step that is reached.

        Args:
            lacking: for each unfinished policy how many proxies lack their share.
        """
        generations = cache(self._lanes.generations)
        return [
            replace(
                own.view(),
                stage=self._report(own.terms, generations()).stage if own.is_revoked else "",
                lacking=lacking.get(own.policy_id, 0),
            )
            for own in self._policies
        ]

    def delete_missed(self, progress: Progress | None = None) -> list[PolicyView]:
        """Ask those proxies again that were down at R2, and return the policies that were looked after."""
        generations = cache(self._lanes.generations)
        found = []
        everything = list(self._policies)
        for number, own in enumerate(everything, start=1):
            if progress is not None:
                progress(number, len(everything), unit="policies")
            if own.is_revoked and len(self._receipts.of(own.policy_id)[0]) < len(own.terms.proxies):
                self._policies.take_back(own)
                found.append(replace(own.view(), stage=self._report(own.terms, generations()).stage))
        return found

    def _rotate(self, terms: Terms, progress: Progress | None) -> tuple[list[Address], Mapping[PolicyId, PolicyId]]:
        """Do R3: give a policy's lanes a new generation, unless they have one, and bring everybody up to it."""
        generations = self._lanes.generations()
        # The grantee's earlier policies count too: their lanes would lead to the same records by another path.
        lost = [
            terms,
            *(own.terms for own in self._policies if own.terms.grantee == terms.grantee and own.has_ended),
        ]
        lanes = [lane for one in lost for lane in one.lanes]
        scopes = [lane.scope for lane in lanes if lane.generation == generations.current(lane.scope)]
        if scopes:
            generations = generations.rotated(dict.fromkeys(scopes))
        # Renewals that were interrupted at their end; what else proxies lack, `Patient.policies` shows.
        self._grants.finish_all()
        # Hospitals first: from here on nothing new goes into the old lanes. R4 is what they are asked for with it.
        told = self._lanes.pair_again(generations)
        regranted = {}
        lagging = [own for own in self._policies if not own.has_ended and own.lags(generations)]
        for number, own in enumerate(lagging, start=1):
            proxies = self._still_active(own)
            made = self._grants.reissue(own.policy_id, threshold=None, proxies=proxies, any_operator=True)
            regranted[own.policy_id] = made.policy_id
            if progress is not None:
                progress(number, len(lagging), unit="policies")
        return told, regranted

    def _still_active(self, own: OwnPolicy) -> list[str]:
        """Return the proxies of a policy that still serve, or nobody when they are too few to go on with."""
        active = {proxy.address for proxy in self._network.proxies()}
        # The patient chose these before, whatever rule holds now.
        names = [str(proxy.address) for proxy in own.terms.proxies if proxy.address in active]
        return names if len(names) >= own.terms.threshold else []

    def _report(self, terms: Terms, generations: Generations) -> RevocationReport:
        """Return how far a revocation has come, by what this machine knows and the lanes' generations."""
        receipts, rewrapped = self._receipts.of(terms.policy_id)
        rotated = all(lane.generation < generations.current(lane.scope) for lane in terms.lanes)
        return RevocationReport(
            policy_id=terms.policy_id,
            tx="",
            gas=0,
            receipts=receipts,
            # With so many shares deleted, fewer than the threshold are left, whatever the others do.
            needed=len(terms.proxies) - terms.threshold + 1,
            shares=len(terms.proxies),
            rotated=rotated,
            rewrapped=rotated and rewrapped,
        )
