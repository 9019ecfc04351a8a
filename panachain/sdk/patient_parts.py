"""What a patient's session consists of, from the lowest part to the highest: each stands on those before it.

No part knows the session or one above it, so that no step of one can come back into another from below (the grants'
lock would be taken twice). A part is imported when it is first used: `whoami` has no use for any of them.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from panachain.sdk.base import ActorSession

if TYPE_CHECKING:
    from panachain.sdk.deletion_receipts import DeletionReceipts
    from panachain.sdk.grants import Grants
    from panachain.sdk.kept_headers import KeptHeaders
    from panachain.sdk.lanes import OwnLanes
    from panachain.sdk.policies import OwnPolicies
    from panachain.sdk.proxies import Proxies
    from panachain.sdk.read_log import ReadLog
    from panachain.sdk.requests import ReceivedRequests
    from panachain.sdk.revocation_orders import RevocationOrders
    from panachain.sdk.revocations import Revocations


class PatientParts(ActorSession):
    """A patient's session, with its parts; sdk/patient.py says what it can do."""

    @cached_property
    def _proxies(self) -> Proxies:
        from panachain.sdk.proxies import Proxies

        return Proxies(self.network, evidence=self.profile.folder / "evidence", ca=self.network.proxy_ca)

    @cached_property
    def _receipts(self) -> DeletionReceipts:
        from panachain.sdk.deletion_receipts import DeletionReceipts

        return DeletionReceipts(self.profile.folder / "revocations.json", self.network.mainchain.log.domain)

    @cached_property
    def _orders(self) -> RevocationOrders:
        from panachain.sdk.revocation_orders import RevocationOrders

        return RevocationOrders(self.profile.orders)

    @cached_property
    def _policies(self) -> OwnPolicies:
        from panachain.sdk.kept_terms import KeptTerms
        from panachain.sdk.policies import OwnPolicies

        kept = KeptTerms(self.profile.folder / "terms")
        return OwnPolicies(self.network, self._seed, self._proxies, self._receipts, self._orders, kept)

    @cached_property
    def _lanes(self) -> OwnLanes:
        from panachain.sdk.lanes import OwnLanes

        # Those of terms that no store has are looked through where others cover them.
        return OwnLanes(self.network, self._seed, self.address, granted=lambda: self._policies.scopes())

    @cached_property
    def _kept_headers(self) -> KeptHeaders:
        from panachain.sdk.kept_headers import KeptHeaders

        return KeptHeaders(self.profile.folder, self._seed)

    @cached_property
    def _requests(self) -> ReceivedRequests:
        from panachain.sdk.requests import ReceivedRequests

        return ReceivedRequests(self.network, self._seed, self.address, self.blocked)

    @cached_property
    def _log(self) -> ReadLog:
        from panachain.sdk.kept_receipts import KeptReceipts
        from panachain.sdk.log_proving import LogProving
        from panachain.sdk.read_log import ReadLog
        from panachain.sdk.receipt_reading import ReceiptReading

        kept = KeptReceipts(self.profile.folder, self._seed, domain=self.network.mainchain.log.domain)
        audit = self._seed.audit()
        reading = ReceiptReading(self.network, self._policies, self._proxies, kept, audit)

        proving = partial(LogProving, self.network, self._policies, self._proxies, kept, audit)
        return ReadLog(self.network, self._policies, reading, proving)

    @cached_property
    def _grants(self) -> Grants:
        from panachain.sdk.grants import Grants

        return Grants(
            self.network,
            self._seed,
            self.address,
            profile=self.profile.folder,
            proxies=self._proxies,
            policies=self._policies,
            requests=self._requests,
            lanes=self._lanes,
        )

    @cached_property
    def _revocations(self) -> Revocations:
        from panachain.sdk.revocations import Revocations

        return Revocations(
            self.network,
            policies=self._policies,
            grants=self._grants,
            lanes=self._lanes,
            proxies=self._proxies,
            receipts=self._receipts,
            orders=self._orders,
        )
