"""The read log: who read what of a patient's, as the proxies signed it, and what it proves against a proxy.

Believes no proxy: each receipt was checked when it came (sdk/proxies.py).
Follows design section 8 and docs/spec/proxy.md.
"""

from __future__ import annotations

from dataclasses import replace

from panachain.consent.receipts import open_detail
from panachain.crypto.umbral import SecretKey
from panachain.errors import IntegrityError, PanaChainError, ProxiesUnavailableError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind, Terms
from panachain.model.progress import Progress
from panachain.proxy.race import Failure
from panachain.sdk.names import Names
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicies, OwnPolicy
from panachain.sdk.proxies import Proxies
from panachain.sdk.readings import Reading, readings
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.log import LIED, SILENT, LogEntry


class ReadLog:
    """What the proxies of a patient's policies signed."""

    def __init__(self, network: Network, policies: OwnPolicies, proxies: Proxies, audit: SecretKey) -> None:
        """Take the patient's policies, and the audit key, which alone opens what a receipt says of people."""
        self._network = network
        self._policies = policies
        self._proxies = proxies
        self._audit = audit

    def entries(self, policy_id: PolicyId | None, progress: Progress | None = None) -> Listing[LogEntry]:
        """Return the log of one policy or of all, oldest first, without those policies whose terms can't be read.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: no proxy of any of them answered.
            IntegrityError: none did, and one of them lies.
        """
        chosen = self._policies.readable() if policy_id is None else Listing([self._policies.find(policy_id)])
        entries: list[LogEntry] = []
        left_out, failures = list(chosen.left_out), list[PanaChainError]()
        for number, own in enumerate(chosen, start=1):
            try:
                entries += self._told(own)
            except (ProxiesUnavailableError, IntegrityError) as exc:
                # One policy's proxies may all be gone, or lie: what the others tell of other policies still counts.
                failures.append(exc)
                left_out.append(LeftOut("policy", own.policy_id, str(exc)))
            if progress is not None:
                progress(number, len(chosen), unit="policies")
        if failures and not entries:
            raise failures[0]
        return Listing(sorted(entries, key=lambda entry: (entry.at, entry.proxy)), left_out)

    def readings(self, policy_id: PolicyId | None, progress: Progress | None = None) -> Listed[Reading]:
        """Return the openings of one policy or of all, oldest first, with what this machine calls the requesters.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: no proxy of any of them answered.
        """
        told = self.entries(policy_id, progress)
        found = readings(told)
        names = Names(self._network.home, self._network.resolver)
        names.learn(reading.requester for reading in found)
        named = [replace(reading, who=names.of(reading.requester)) for reading in found]
        return Listed(Listing(named, told.left_out))

    def convict(self, policy_id: PolicyId) -> list[str]:
        """Submit each receipt by which a proxy served a policy when it wasn't allowed; see `Patient.convict`."""
        # One that lies or is silent keeps no other from being convicted.
        receipts, _ = self._receipts(self._policies.find(policy_id))
        return [self._network.relay().convict(receipt).tx_hash for receipt in receipts if self._is_late(receipt)]

    def _receipts(self, own: OwnPolicy) -> tuple[list[Receipt], list[Failure]]:
        return self._proxies.receipts(own.terms, self._policies.account(own.index))

    def _told(self, own: OwnPolicy) -> list[LogEntry]:
        """Return what the proxies of one policy signed, and a line for each that lies or is silent."""
        receipts, failures = self._receipts(own)
        faults: dict[Address, PanaChainError] = {failure.proxy.address: failure.error for failure in failures}
        entries = []
        for receipt in receipts:
            try:
                entries.append(self._entry(own.terms, receipt))
            except IntegrityError as exc:
                # Signed, and nothing that a proxy writes: its other receipts still count, since it signed those too.
                faults.setdefault(receipt.proxy, exc)
        return entries + [self._fault(own.policy_id, proxy, error) for proxy, error in faults.items()]

    def _fault(self, policy_id: PolicyId, proxy: Address, error: PanaChainError) -> LogEntry:
        return LogEntry(
            at=int(self._network.clock()),
            kind=LIED if isinstance(error, IntegrityError) else SILENT,
            policy_id=policy_id,
            proxy=proxy,
            count=0,
            reason=str(error),
        )

    def _entry(self, terms: Terms, receipt: Receipt) -> LogEntry:
        detail = open_detail(receipt, self._audit)
        lane = detail.get("lane")
        scopes = (terms.lanes[lane].scope.text,) if isinstance(lane, int) and lane < len(terms.lanes) else ()
        return LogEntry(
            at=receipt.at,
            kind=receipt.kind.value,
            policy_id=receipt.policy_id,
            proxy=receipt.proxy,
            count=receipt.count,
            grantee=str(detail.get("grantee", "")),
            requester=str(detail.get("requester", "")),
            purpose=str(detail.get("purpose", "")),
            scopes=scopes,
            late=self._is_late(receipt),
        )

    def _is_late(self, receipt: Receipt) -> bool:
        """Tell whether a proxy served at a time when the policy didn't allow it, by its own word."""
        mainchain = self._network.mainchain
        return receipt.kind is ReceiptKind.REENCRYPTED and not mainchain.policies.allowed_at(
            receipt.policy_id, receipt.at
        )
