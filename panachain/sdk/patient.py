"""The patient: pairs with hospitals, grants, revokes, and sees who read what.

Needs no ether: a one-time key signs, the relay pays. Everything is restored from the seed, the chains and IPFS. This
class says what a patient can do, and the parts of sdk/patient_parts.py do it. Follows design section 8.
"""

from __future__ import annotations

from collections.abc import Sequence

from panachain.model.actors import PolicyId, Role
from panachain.model.policy import OnChainPolicy, Terms
from panachain.model.scope import Purpose
from panachain.sdk.offers import Offers
from panachain.sdk.patient_parts import PatientParts
from panachain.sdk.results import LogEntry, OpenedRecord, PolicyView, RequestView, RevocationReport


class Patient(PatientParts):
    """A patient at work."""

    role = Role.PATIENT

    # Pairing

    def pair(self, hospital: str) -> dict[str, object]:
        """Assent that a hospital may publish to this patient's lanes.

        Args:
            hospital: profile name, handle or address.
        """
        self._check_registered()
        who = self.network.resolve(hospital, Role.HOSPITAL)
        generations = self._lanes.generations()
        pairing, cid, receipt = self._lanes.pair(who, generations, self._lanes.orders(who, generations))
        return {
            "schema": "panachain/pairing/1",
            "hospital": who.address,
            "pairing_cid": str(cid),
            "lanes": len(pairing.lanes),
            "epoch": pairing.generations.epoch,
            "tx": receipt.tx_hash,
        }

    # Grants

    def grant(
        self,
        grantee: str,
        categories: Sequence[str],
        years: Sequence[int] = (),
        purpose: Purpose | Sequence[Purpose] = Purpose.TREAT,
        starts_at: int | None = None,
        expires_at: int = 0,
        *,
        threshold: int | None = None,
        proxies: Sequence[str] = (),
        any_operator: bool = False,
        disclose: bool = False,
        data_use: int = 0,
        study: str = "",
        request: int | None = None,
        jitter: int = 0,
        dry_run: bool = False,
    ) -> PolicyView:
        """Let somebody read parts of the record, past and future, until `expires_at`.

        Args:
            grantee: a practitioner, a group of them or a researcher: profile name, handle or address.
            categories: category names, `all` or `emergency`.
            years: narrows the categories; empty means every year.
            purpose: for what; one or several.
            starts_at: Unix seconds, inclusive; None means now, by the mainchain's newest block.
            expires_at: Unix seconds, exclusive; with the setting `jitter` rounded up (records/jitter.py).
            threshold: how many proxies must help; None takes the network's.
            proxies: who holds shares; empty takes all that the rule of consent/proxy_sets.py allows.
            any_operator: take the named proxies although one operator could open alone.
            disclose: make the policy open: the chain shows purposes and categories, `data_use` and `study`.
            data_use: DUO codes as bits, of an open policy.
            study: a study's account, of an open policy.
            request: a request of the grantee's that this answers; `approve` checks that it does.
            jitter: seconds that the grant waits at most, for a time that is drawn; `settle` sends it then. Whoever
                watches the chain can't tell by its time whom the patient saw, nor what else was granted.
            dry_run: make everything, send nothing.

        Raises:
            UsageError: the choice doesn't fit.
            ProxiesUnavailableError: fewer proxies than the threshold are ready, and nothing was changed; or fewer took
                their share, and the same grant again goes on.
        """
        self._check_registered()
        offer = Offers(self.network).first(
            grantee,
            categories,
            years,
            (purpose,) if isinstance(purpose, Purpose) else purpose,
            starts_at=starts_at,
            expires_at=expires_at,
            threshold=threshold,
            proxies=proxies,
            any_operator=any_operator,
            disclose=disclose,
            data_use=data_use,
            study=study,
            request=request,
            jitter=jitter,
        )
        return self._grants.plan(offer) if dry_run else self._grants.make(offer)

    def settle(self) -> list[PolicyView]:
        """Finish what was interrupted or what a proxy missed, and send grants that have waited long enough.

        Returns:
            The policies that weren't finished, as they are now.

        Raises:
            PanaChainError: why the first of those that still aren't finished isn't; the others were looked after.
        """
        found, failed = self._grants.finish_all()
        found += self._revocations.delete_missed()
        if failed:
            raise failed[0]
        return found

    def policies(self) -> list[PolicyView]:
        """Return all policies that this patient ever granted, oldest first, and then those that wait to be sent."""
        return self._revocations.views(self._grants.lacking()) + self._grants.waiting()

    def terms_of(self, policy_id: PolicyId) -> tuple[OnChainPolicy, Terms]:
        """Return one policy, as the chain shows it and as its terms say.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        own = self._policies.find(policy_id)
        return own.on_chain, own.terms

    def reissue(
        self,
        policy_id: PolicyId,
        *,
        threshold: int | None = None,
        proxies: Sequence[str] = (),
        any_operator: bool = False,
    ) -> PolicyView:
        """Grant a policy again, with other proxies or newer lanes, and revoke the old one; no record is touched.

        Args:
            policy_id: an active policy, or one that is still to begin.
            threshold: how many proxies must help; None keeps the policy's.
            proxies: who holds shares; empty takes all that may.
            any_operator: as for `grant`.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            UsageError: it is over.
        """
        return self._grants.reissue(policy_id, threshold=threshold, proxies=proxies, any_operator=any_operator)

    # Revocation

    def revoke(self, policy_id: PolicyId, *, rotate: bool = False) -> RevocationReport:
        """Take a policy back: on chain first (R1), then at each proxy, each with its signed receipt (R2).

        A second call asks those proxies again that gave no receipt before, and goes on where the first one stopped. A
        grant that still waits to be sent is forgotten.

        Args:
            policy_id: from `policies`.
            rotate: give the policy's lanes a new generation too (R3), grant it to the remaining grantees, tell the
                hospitals, and ask them to re-wrap what is in the old ones (R4): so that also colluding proxies can't
                help the grantee to anything that isn't opened yet.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        return self._revocations.revoke(policy_id, rotate=rotate)

    def revocation(self, policy_id: PolicyId) -> RevocationReport:
        """Look how far a revocation has come, and change nothing.

        Raises:
            PolicyUnknownError: the policy isn't this patient's, or isn't revoked.
        """
        return self._revocations.status(policy_id)

    # Reading

    def log(self, policy_id: PolicyId | None = None) -> list[LogEntry]:
        """Return who read what, as the proxies signed it, oldest first.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: no proxy of a policy answered.
        """
        return self._log.entries(policy_id)

    def convict(self, policy_id: PolicyId) -> list[str]:
        """Submit each receipt by which a proxy served this policy when it wasn't allowed; each suspends its proxy.

        Returns:
            The hashes of the transactions, which the relay pays.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: none of its proxies answered.
            TransactionError: the evidence was used before.
        """
        return self._log.convict(policy_id)

    def records(self) -> list[OpenedRecord]:
        """Return every record of this patient in every category, opened with their own keys."""
        return list(self._lanes.records())

    def get(self, record_id: str) -> OpenedRecord:
        """Return one record by the CID of its header.

        Raises:
            UnknownActorError: no record of this patient has this ID.
        """
        return self._lanes.record(record_id)

    # Requests

    def requests(self) -> list[RequestView]:
        """Return the requests that were made to this patient."""
        return self._requests.all()

    def approve(self, request_id: int, *, expires_at: int | None = None, categories: Sequence[str] = ()) -> PolicyView:
        """Grant what a request asks for, or a part of it, and tell the requester which.

        Args:
            request_id: from `requests`.
            expires_at: Unix seconds, exclusive, not later than was asked for; None takes what was asked for.
            categories: a part of those that were asked for; empty takes them all.

        Raises:
            UsageError: the request isn't open, or asks for less than this.
        """
        made = self._grants.resume(request=request_id)
        if made is not None:
            return made
        asked, ends, granted = self._requests.open_one(request_id, expires_at, categories)
        purpose = Purpose.parse(asked.purpose)
        return self.grant(asked.requester, granted, purpose=purpose, expires_at=ends, request=request_id)

    def deny(self, request_id: int) -> dict[str, object]:
        """Refuse a request."""
        receipt = self._requests.deny(request_id)
        return {"schema": "panachain/denial/1", "id": request_id, "state": "denied", "tx": receipt.tx_hash}
