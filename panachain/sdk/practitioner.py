"""The practitioner: finds what was granted, opens it, and asks for more.

Follows design section 8 (Open); the steps in `open` bear its numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from panachain.chain.evm import Account
from panachain.consent.rules import check_access
from panachain.consent.terms import check_terms, open_terms
from panachain.crypto import umbral
from panachain.errors import IntegrityError, PolicyUnknownError, UsageError
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import GrantedLane, OnChainPolicy, Terms
from panachain.model.scope import Category, Purpose
from panachain.records import header
from panachain.records.locate import locate, open_manifests
from panachain.sdk.base import ActorSession
from panachain.sdk.opening import envelope_wraps, open_records
from panachain.sdk.patient import policy_view
from panachain.sdk.proxies import Proxies, Reader
from panachain.sdk.requests import open_request, seal_request
from panachain.sdk.results import OpenedRecord, PolicyView, RequestView
from panachain.storage.cid import CID, RAW

_TIMEOUT: Final = 15.0
"""Seconds that one proxy may take."""
_REQUEST_DAYS: Final = 30
"""Days after which a request expires."""


class Practitioner(ActorSession):
    """A practitioner at work."""

    role = Role.PRACTITIONER

    def inbox(self) -> list[PolicyView]:
        """Return the policies that were granted to this practitioner, oldest first.

        The chain doesn't name him: he tries to open the terms of each policy.
        """
        secret = self._seed.receiving()
        found: list[PolicyView] = []
        for event in self.network.mainchain.policy_events(kind="PolicyGranted"):
            cid = CID(RAW, event.terms)
            try:
                terms, _, _ = open_terms(self.network.store.get_block(cid), secret)
            except IntegrityError:
                # Somebody else's policy, and that is all that anybody learns of it.
                continue
            if terms.grantee == self.address and terms.policy_id == event.policy_id:
                status = self.network.mainchain.policy(event.policy_id).status
                found.append(policy_view(terms, status, str(cid)))
        return found

    def open(
        self, policy_id: PolicyId, since: int | None = None, purpose: Purpose | None = None
    ) -> Iterator[OpenedRecord]:
        """Yield every record that a policy opens, checked, oldest first within each lane.

        Args:
            policy_id: from `inbox`.
            since: only records stored at or after this time, Unix seconds.
            purpose: None takes the policy's first one.

        Raises:
            AccessDeniedError: revoked, expired, not yet, suspended, or not granted to this practitioner.
            IntegrityError: a byte, a signature or a proof doesn't fit; nothing wrong is handed out.
            ProxiesUnavailableError: fewer proxies than the threshold gave a good answer.
        """
        self._check_registered()
        # 1. Find the policy, read it on the mainchain.
        policy = self.network.mainchain.policy(policy_id)
        if not policy.terms:
            raise PolicyUnknownError(f"policy {policy_id} was revoked before it was granted")
        terms = self._terms(policy)
        wanted = purpose or terms.purposes[0]
        # 2. Check the rules.
        check_access(
            policy,
            grantee=terms.grantee,
            requester=self.address,
            requester_status=self.whoami().status,
            is_member=False,
            purpose=wanted,
            purposes=terms.purposes,
            terms=policy.terms,
            revocation_in_sight=self.network.mainchain.revocation_in_sight(policy_id),
        )
        seen: set[str] = set()
        for heads in self.network.hospital_heads():
            manifests = open_manifests(self.network.store, heads)
            for number, lane in enumerate(terms.lanes):
                # 3. Locate the lane's records, 4. fetch their headers, check CIDs and signatures.
                headers = [
                    found
                    for found in locate(self.network.store, heads, manifests, lane.locator_key)
                    if found.info.header_cid not in seen and (since is None or found.info.stored_at >= since)
                ]
                if any(found.patient != terms.patient for found in headers):
                    raise IntegrityError(f"hospital {heads.hospital} put another patient's record into the lane")
                seen.update(found.info.header_cid for found in headers)
                # 5. Ask proxies in parallel until t cfrags per capsule, each verified; 6. recover the envelope keys.
                wraps = envelope_wraps(self.network.store, headers)
                envelope_keys = self._proxies.unwrap(self._reader(), terms, number, wraps, wanted)
                # 7. Fetch content, check key commitment and CID, open.
                for found, record in open_records(self.network.store, headers, envelope_keys):
                    # 8. Hand out the plaintext with its provenance.
                    yield replace(record, provenance=_provenance(policy, terms, lane, found, wanted))

    def ask_proxies(self, policy_id: PolicyId) -> None:
        """Ask the proxies for a key without looking at the rules first: what a dishonest client would do.

        Raises:
            AccessDeniedError: the proxies refuse, as they must after a revocation.
        """
        terms = self._terms(self.network.mainchain.policy(policy_id))
        lane = terms.lanes[0]
        probe = {"probe": umbral.wrap(lane.delegating_key, os.urandom(32))}
        self._proxies.unwrap(self._reader(), terms, 0, probe, terms.purposes[0])

    def request(self, patient: str, categories: Sequence[str], purpose: Purpose, note: str = "") -> int:
        """Ask a patient for access, and return the request's ID.

        Args:
            patient: profile name, handle or address.
            categories: category names, or `all`.
            purpose: for what.
            note: why, in words; sealed to the patient.
        """
        self._check_registered()
        for name in categories:
            if name != "all":
                Category.parse(name)
        if not categories or len(note) > 2000:
            raise UsageError("a request needs at least one category, and its note at most 2000 characters")
        who = self.network.resolve(patient, Role.PATIENT)
        blob = seal_request(categories, purpose, note, readers=[who.receiving_key, self._seed.receiving().public])
        cid = CID.of(RAW, blob)
        self.network.store.put_block(cid, blob)
        self.network.store.pin(cid)
        expires_at = int(time.time()) + _REQUEST_DAYS * 86_400
        return self.network.sidechain.request(self._sender(sidechain=True), who.address, cid.digest, expires_at)

    def requests(self) -> list[RequestView]:
        """Return the requests that this practitioner made."""
        return [
            open_request(self.network, request, self._seed.receiving())
            for request in self.network.sidechain.requests(requester=self.address)
        ]

    def _terms(self, policy: OnChainPolicy) -> Terms:
        block = self.network.store.get_block(CID(RAW, policy.terms))
        try:
            terms, body, signature = open_terms(block, self._seed.receiving())
        except IntegrityError:
            # The block fits its CID, so it is whole: it is sealed to somebody else.
            raise PolicyUnknownError(
                f"policy {policy.policy_id} wasn't granted to {self.profile.handle}", hint="panachain inbox"
            ) from None
        patient = self.network.sidechain.identity(terms.patient)
        if patient is None:
            raise IntegrityError(
                f"the terms of policy {policy.policy_id} name a patient whom the registry doesn't know"
            )
        check_terms(terms, body, signature, policy_id=policy.policy_id, patient_verifying_key=patient.verifying_key)
        return terms

    @cached_property
    def _proxies(self) -> Proxies:
        return Proxies(self.network)

    def _reader(self) -> Reader:
        return Reader(Account(self._seed.account_key()), self.address, self._seed.receiving())


def _provenance(
    policy: OnChainPolicy, terms: Terms, lane: GrantedLane, found: header.Header, purpose: Purpose
) -> dict[str, object]:
    return {
        "patient": terms.patient,
        "hospital": found.info.hospital,
        "policy_id": policy.policy_id,
        "lane": lane.scope.text,
        "purpose": purpose.value,
        "block": policy.block,
        "block_time": policy.block_time,
        "threshold": terms.threshold,
    }
