"""Revocations: a policy is taken back, and how far that has come.

Never waits: a revocation that is asked for is sent at once (security rule 3), to everybody and whatever anybody says
(security rule 19), and each step that was missed is done by the next call. Follows design section 8 (Revoke), whose
steps are

    R1  the chain proves the revocation, and honest proxies refuse from that block on;
    R2  each proxy deletes its share and signs that it did: with n - t + 1 receipts the revocation is final;
    R3  the policy's lanes get a new generation, which hospitals are told, and the remaining grantees new policies:
        so that also colluding proxies can't help the grantee to anything that isn't opened yet;
    R4  hospitals move what is in the old lanes to the new ones, and delete the old headers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from typing import Final

from panachain.consent.pending import PendingGrant
from panachain.consent.revocation_file import RevocationFile, write_file
from panachain.errors import (
    ConfigurationError,
    DiskError,
    IntegrityError,
    PanaChainError,
    PartlyDoneError,
    PolicyExpiredError,
    PolicyRevokedError,
    PolicyUnknownError,
    SuspendedError,
)
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind, Terms
from panachain.model.progress import Progress
from panachain.model.scope import Generations
from panachain.records.findings import Findings
from panachain.sdk.deletion_receipts import DeletionReceipts
from panachain.sdk.grants import Grants
from panachain.sdk.lanes import OwnLanes
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicies, OwnPolicy
from panachain.sdk.proxies import Proxies
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import ELSEWHERE, UNPROVEN, RevocationReport
from panachain.sdk.revocation_orders import Order, RevocationOrders
from panachain.sdk.taking_back import LOOKING, Background, results
from panachain.sdk.times import iso

_LOG: Final = logging.getLogger("panachain.revocations")
AGAIN: Final = 5.0
"""Seconds that relays and nodes get for a revocation that a command only goes on with."""
_FALLING: Final = AGAIN + 3 * LOOKING
"""Seconds that a command waits for all of those together."""


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
        orders: RevocationOrders,
    ) -> None:
        """Take what a revocation touches; all of it is the patient's own."""
        self._network = network
        self._policies = policies
        self._grants = grants
        self._lanes = lanes
        self._proxies = proxies
        self._receipts = receipts
        self._orders = orders

    def revoke(self, policy_id: PolicyId, *, rotate: bool, progress: Progress | None = None) -> RevocationReport:
        """Take a policy back, as far as it goes now; a grant that still waits to be sent is forgotten.

        Args:
            policy_id: which one.
            rotate: do R3 too, once the chain proves R1, and ask for R4.
            progress: is told the proxies that deleted, the proof, and how many policies of others R3 has granted again.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            RelaysUnavailableError: nobody at all took it; the next command sends it again.
        """
        # By the seed alone: no node can hide a policy from its patient, nor say that there is nothing to take back.
        index = self._index_of(policy_id)
        # A grant that still waits was seen by nobody: taking it back is forgetting it, and costs no gas.
        if self._withdrawn(policy_id, index):
            return RevocationReport(policy_id, tx="", gas=0, receipts=(), needed=0, shares=0)
        # Before grants that are to replace it are looked for: one that is written down later finds this. A full disk
        # keeps nothing at home, nor does a damaged file.
        with suppress(ConfigurationError, DiskError):
            self._orders.begin(policy_id, index)
        # R1 and R2, and the same for what was to replace it: a relay may bring that on chain whenever it likes.
        with self._falling(lambda: self._grants.heirs(policy_id=policy_id)):
            taken = self._policies.revoke(index, progress=progress)
        taken.check_taken(
            policy_id,
            hint="it is written down, and your next command sends it again; panachain revoke --offline -o FILE"
            " writes it into a file that anybody can submit",
        )
        terms = Background(lambda: self._policies.terms_at(index)).result(LOOKING)
        # R3, and the orders for R4.
        findings = Findings()
        self._find_unclear(terms, findings)
        told, regranted = self._rotate(terms, findings, progress) if rotate and taken.proven and terms else ([], {})
        # What fell meanwhile is told by the report.
        self._grants.told()
        return replace(
            self._report(policy_id, terms),
            tx=taken.tx,
            gas=taken.gas,
            proven=taken.proven,
            unsent=taken.unsent,
            unreachable=taken.unreachable,
            hospitals=tuple(told),
            regranted=regranted,
            omissions=tuple(findings.omissions),
        )

    def refuse(self, request_id: int) -> None:
        """Take back the grants that were to answer a request which the patient refused after all."""
        with self._falling(lambda: self._grants.heirs(request=request_id)):
            pass

    def veto(self) -> AbstractContextManager[None]:
        """Take back the grants for emergencies that aren't finished, beside what is done meanwhile.

        Those that are finished have a name, and `revoke`.
        """
        return self._falling(lambda: self._grants.heirs(emergencies=True))

    @contextmanager
    def _falling(self, heirs: Callable[[], Sequence[PendingGrant]]) -> Iterator[None]:
        """Take unfinished grants back beside what is done meanwhile, and wait then for all of them, once."""
        works = self._fall(heirs)
        try:
            yield
        finally:
            results(works, _FALLING)

    def _fall(self, heirs: Callable[[], Sequence[PendingGrant]]) -> list[Background[None]]:
        """Write down that unfinished grants are revoked, begin with those that somebody saw, and return what goes on.

        Nobody can read by the others: each is revoked once the chain shows it, and forgotten once it can't come there.
        """
        try:
            falling = heirs()
        except PanaChainError as exc:
            # It keeps no revocation at home, and nobody finishes what can't be read either.
            _LOG.warning("grants that aren't finished can't be looked at: %s", exc)
            return []
        for one in falling:
            # A full disk keeps nothing at home.
            with suppress(ConfigurationError, DiskError):
                self._orders.begin(one.policy_id, one.index)
        return [Background(partial(self._revoke_if_seen, one)) for one in falling]

    def _revoke_if_seen(self, pending: PendingGrant) -> None:
        # A chain that can't be read keeps nothing at home.
        with suppress(PanaChainError):
            if self._grants.unseen([pending.policy_id]):
                return
        self._policies.revoke(pending.index, seconds=AGAIN)

    def sign(self, policy_id: PolicyId) -> bytes:
        """Return a policy's signed revocation as a file's content; nobody is asked, and nothing is sent.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        mainchain = self._network.mainchain
        revocation = self._policies.sign_revocation(self._index_of(policy_id))
        return write_file(RevocationFile(mainchain.chain_id, Address(mainchain.policies.address), revocation))

    def go_on(self) -> list[PolicyId]:
        """Send every revocation again that the chain hasn't proven, side by side; return those that it still doesn't.

        Raises:
            ConfigurationError: the file that says what was sent is damaged.
        """
        left = {name: one for name, one in self._orders.all().items() if not one.proven and not one.withdrawn}
        with suppress(PanaChainError):
            for unseen in self._grants.unseen(left) if left else ():
                del left[unseen]
        numbers = {name: self._number(name, order) for name, order in left.items()}
        again = {
            name: Background(lambda index=index: self._policies.revoke(index, seconds=AGAIN))  # type: ignore[misc]
            for name, index in numbers.items()
        }
        taken = results(tuple(again.values()), _FALLING)
        return [name for name, one in zip(again, taken, strict=True) if one is None or not one.proven]

    def _number(self, policy_id: PolicyId, order: Order) -> int:
        """Return the number of a policy whose revocation is written down; that of another one is never revoked."""
        noted = PolicyId(self._policies.account(order.index).address)
        return order.index if noted == policy_id else self._index_of(policy_id)

    def status(self, policy_id: PolicyId) -> RevocationReport:
        """Return how far a revocation has come, by what the proxies and the store say now; nothing is changed.

        Raises:
            PolicyUnknownError: the policy isn't this patient's, or isn't revoked.
        """
        index = self._index_of(policy_id)
        own, order = self._policies.at(index), self._orders.of(policy_id)
        if not own.is_revoked and order is None:
            raise PolicyUnknownError(
                f"policy {policy_id} isn't revoked: it is {own.on_chain.status.name.lower()}",
                hint="panachain revoke without --status takes it back",
            )
        signed, _ = self._proxies.receipts(own.terms, self._policies.account(own.index))
        self._receipts.add(policy_id, [one for one in signed if one.kind is ReceiptKind.DELETED])
        self._watch(policy_id, signed)
        if not own.is_revoked:
            return replace(self._report(policy_id, own.terms), proven=False)
        report = self._report(policy_id, own.terms)
        # R4: nobody signs it, but the old headers are gone or they aren't.
        if report.rotated and not report.rewrapped:
            findings = Findings()
            left = self._lanes.still_there(own.terms.lanes, findings)
            if not left and not findings.omissions:
                self._receipts.rewrapped(policy_id)
                return replace(report, rewrapped=True)
            return replace(report, omissions=tuple(findings.omissions))
        return report

    def views(self, lacking: Mapping[PolicyId, int]) -> Listing[PolicyView]:
        """Return all policies on chain, oldest first, those that were taken back with the step that is reached.

        Args:
            lacking: for each unfinished policy how many proxies lack their share.
        """
        findings, orders, damaged = Findings(), dict[PolicyId, Order](), list[LeftOut]()
        try:
            orders = self._orders.all()
        except ConfigurationError as exc:
            damaged.append(LeftOut("file", "revoked.json", f"{exc}: {exc.hint}"))
        generations = cache(lambda: self._lanes.generations(findings))
        own_policies = self._policies.readable()
        views = [
            replace(
                own.view(),
                stage=self._stage(own, orders, generations),
                lacking=lacking.get(own.policy_id, 0),
                alarms=orders[own.policy_id].alarms if own.policy_id in orders else {},
            )
            for own in own_policies
        ]
        # Whoever withholds it hides how far rotations have come, and nothing else.
        lost = [LeftOut("pairing", one.hospital, f"{one.what}: {one.error}") for one in findings.omissions]
        return Listing(views, [*own_policies.left_out, *lost, *damaged])

    def settle(self, progress: Progress | None = None) -> tuple[list[PolicyView], list[PanaChainError]]:
        """Grant anew what a rotation left on the old lanes, and ask those proxies again that were down at R2.

        Policies of grantees who are suspended wait until they aren't.

        Returns:
            The policies that were granted in place of others or looked after, and why there aren't more.
        """
        # What a store withholds hides that something lags; `policies` names it.
        generations, everything = self._lanes.generations(Findings()), self._policies.readable()
        made, failed = self._bring_up(generations, everything, progress)
        errors = [error for error in failed.values() if not isinstance(error, SuspendedError)]
        if made or errors:
            # Each took another one back, or may have got as far as that.
            everything = self._policies.readable()
        looked_after = self._delete_missed(generations, everything, progress)
        return [*made.values(), *looked_after], errors

    def _delete_missed(
        self, generations: Generations, everything: Sequence[OwnPolicy], progress: Progress | None
    ) -> list[PolicyView]:
        found = []
        for number, own in enumerate(everything, start=1):
            if progress is not None:
                progress(number, len(everything), unit="policies")
            if own.is_revoked and len(self._deleted(own.policy_id, own.terms)) < len(own.terms.proxies):
                self._policies.take_back(own)
                found.append(replace(own.view(), stage=self._report(own.policy_id, own.terms, generations).stage))
        return found

    def _index_of(self, policy_id: PolicyId) -> int:
        """Return a policy's number; whoever granted more than are searched for everybody finds those, too.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        try:
            return self._policies.index_of(policy_id)
        except PolicyUnknownError:
            with suppress(ConfigurationError):
                return self._policies.index_of(policy_id, used=self._grants.granted())
            raise

    def _withdrawn(self, policy_id: PolicyId, index: int) -> bool:
        """Forget a grant that waits, if that is what it is; a chain that can't be read keeps nothing at home.

        Raises:
            PolicyUnknownError: it was forgotten before; a revocation would tell of it.
        """
        order = self._known(policy_id)
        if order is not None and order.withdrawn:
            raise PolicyUnknownError(f"policy {policy_id} was withdrawn before anybody saw it")
        try:
            withdrawn = self._grants.withdraw(policy_id)
        except PanaChainError:
            return False
        if withdrawn:
            # It is forgotten, whether or not that can be written down.
            with suppress(ConfigurationError, DiskError):
                self._orders.withdraw(policy_id, index)
        return withdrawn

    def _known(self, policy_id: PolicyId) -> Order | None:
        try:
            return self._orders.of(policy_id)
        except ConfigurationError:
            # A damaged file keeps nothing at home.
            return None

    def _is_being_revoked(self, policy_id: PolicyId) -> bool:
        order = self._known(policy_id)
        return order is not None and not order.withdrawn

    def _watch(self, policy_id: PolicyId, signed: Sequence[Receipt]) -> None:
        """Note which proxies served after the revocation, by their own signatures."""
        late = {
            receipt.proxy: f"served at {iso(receipt.at)}, when the policy was revoked; panachain convict submits that"
            for receipt in signed
            if receipt.kind is ReceiptKind.REENCRYPTED
            and not self._network.mainchain.policies.allowed_at(policy_id, receipt.at)
        }
        self._orders.served(policy_id, late)

    def _stage(self, own: OwnPolicy, orders: Mapping[PolicyId, Order], generations: Callable[[], Generations]) -> str:
        if own.is_revoked:
            report = self._report(own.policy_id, own.terms, generations())
            # Somebody else submitted it, or another device did: nobody here has heard of its proxies yet.
            asked = own.policy_id in orders or report.receipts
            return report.stage if asked else ELSEWHERE
        return UNPROVEN if own.policy_id in orders else ""

    def _rotate(
        self, terms: Terms, findings: Findings, progress: Progress | None
    ) -> tuple[list[Address], Mapping[PolicyId, PolicyId]]:
        """Do R3: give a policy's lanes a new generation, unless they have one, and bring everybody up to it."""
        generations = self._lanes.generations()
        # The grantee's earlier policies count too: their lanes would lead to the same records by another path.
        lost = [
            terms,
            *(own.terms for own in self._readable(findings) if own.terms.grantee == terms.grantee and own.has_ended),
        ]
        lanes = [lane for one in lost for lane in one.lanes]
        scopes = [lane.scope for lane in lanes if lane.generation == generations.current(lane.scope)]
        if scopes:
            generations = generations.rotated(dict.fromkeys(scopes))
        # Renewals that were interrupted at their end; what else proxies lack, `Patient.policies` shows. What can't be
        # finished keeps no lane from being rotated.
        try:
            for error in self._grants.finish_all()[1]:
                if isinstance(error, (PolicyRevokedError, PolicyExpiredError)):
                    findings.left_out("", "a grant that wasn't finished", error)
        except PanaChainError as exc:
            findings.left_out("", "grants that aren't finished", exc)
        # Hospitals first: from here on nothing new goes into the old lanes. R4 is what they are asked for with it.
        told = self._lanes.pair_again(generations, findings)
        # Another device may have rotated at the same time; where no hospital is paired nothing is stated.
        generations = Generations.merged([generations, self._lanes.generations(Findings())])
        made, failed = self._bring_up(generations, self._readable(findings), progress)
        for policy_id, error in failed.items():
            # The others get theirs; `settle`, or the same call again, tries this one once more.
            findings.left_out("", f"policy {policy_id} on the new keys", error)
        return told, {before: view.policy_id for before, view in made.items()}

    def _bring_up(
        self, generations: Generations, everything: Iterable[OwnPolicy], progress: Progress | None
    ) -> tuple[dict[PolicyId, PolicyView], dict[PolicyId, PanaChainError]]:
        """Grant each policy that isn't on the newest lanes anew; one that can't be keeps none of the others back."""
        made: dict[PolicyId, PolicyView] = {}
        failed: dict[PolicyId, PanaChainError] = {}
        # What is being revoked isn't granted anew, whether or not the chain shows that yet.
        lagging = [
            own
            for own in everything
            if not own.has_ended and own.lags(generations) and not self._is_being_revoked(own.policy_id)
        ]
        for number, own in enumerate(lagging, start=1):
            proxies = self._still_active(own)
            try:
                made[own.policy_id] = self._grants.reissue(
                    own.policy_id, threshold=None, proxies=proxies, any_operator=True
                )
            except PanaChainError as exc:
                failed[own.policy_id] = exc
                continue
            if progress is not None:
                progress(number, len(lagging), unit="policies")
        return made, failed

    def _find_unclear(self, terms: Terms | None, findings: Findings) -> None:
        """Name the policies that may have been to replace one, where that can't be read any more."""
        found = None if terms is None else Background(lambda: self._grants.unclear(terms)).result(LOOKING)
        for policy_id in found or ():
            error = PartlyDoneError(
                f"policy {policy_id} is for the same reader, and may have been to replace it: what was written down of"
                " its grant can't be read",
                hint=f"panachain revoke {policy_id} takes it back as well, if you want that",
            )
            findings.left_out("", "a grant that wasn't finished", error)

    def _readable(self, findings: Findings) -> Listing[OwnPolicy]:
        """Return the policies whose terms can be read; one that a store lost keeps no lane from being rotated."""
        listed = self._policies.readable()
        for left in listed.left_out:
            findings.left_out("", f"policy {left.item}", IntegrityError(left.reason))
        return listed

    def _still_active(self, own: OwnPolicy) -> list[str]:
        """Return the proxies of a policy that still serve, or nobody when they are too few to go on with."""
        active = {proxy.address for proxy in self._network.proxies()}
        # The patient chose these before, whatever rule holds now.
        names = [str(proxy.address) for proxy in own.terms.proxies if proxy.address in active]
        return names if len(names) >= own.terms.threshold else []

    def _deleted(self, policy_id: PolicyId, terms: Terms | None) -> tuple[Receipt, ...]:
        """Return the deletion receipts of a policy's own proxies; of all that signed one where nobody tells the terms.

        Whoever never held a share signs as well that it is gone: then every registered proxy was asked.
        """
        receipts, _ = self._receipts.of(policy_id)
        holders = None if terms is None else {proxy.address for proxy in terms.proxies}
        return tuple(one for one in receipts if holders is None or one.proxy in holders)

    def _report(
        self, policy_id: PolicyId, terms: Terms | None, generations: Generations | None = None
    ) -> RevocationReport:
        """Return how far a revocation has come, by what this machine knows and the lanes' generations.

        Args:
            policy_id: which policy.
            terms: its terms; None where nobody can tell them now.
            generations: of the patient's lanes; None asks for them.
        """
        receipts, (_, rewrapped) = self._deleted(policy_id, terms), self._receipts.of(policy_id)
        order = self._known(policy_id)
        alarms = {} if order is None else order.alarms
        if terms is None:
            return RevocationReport(policy_id, tx="", gas=0, receipts=receipts, needed=1, shares=0, alarms=alarms)
        if generations is None:
            generations = Background(lambda: self._lanes.seen()[0]).result(LOOKING)
        rotated = generations is not None and all(
            lane.generation < generations.current(lane.scope) for lane in terms.lanes
        )
        return RevocationReport(
            policy_id=policy_id,
            tx="",
            gas=0,
            receipts=receipts,
            # With so many shares deleted, fewer than the threshold are left, whatever the others do.
            needed=len(terms.proxies) - terms.threshold + 1,
            shares=len(terms.proxies),
            rotated=rotated,
            rewrapped=rotated and rewrapped,
            alarms=alarms,
        )
