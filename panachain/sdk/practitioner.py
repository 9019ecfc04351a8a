"""The practitioner: finds what was granted, opens it, and asks for more.

Follows design section 8 (Open); the steps in `open` bear its numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from panachain.chain.evm import Account
from panachain.consent.receipts import check_receipt
from panachain.consent.rules import check_access
from panachain.consent.terms import check_terms, open_terms
from panachain.crypto import umbral
from panachain.errors import IntegrityError, PolicyUnknownError, UsageError
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import GrantedLane, OnChainPolicy, ProxyRef, Receipt, ReceiptKind, Terms
from panachain.model.scope import Category, Purpose
from panachain.proxy import messages
from panachain.proxy.client import collect, post
from panachain.records import header
from panachain.records.locate import locate, open_manifests
from panachain.sdk.base import ActorSession
from panachain.sdk.opening import open_records
from panachain.sdk.patient import policy_view
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
                envelope_keys = self._envelope_keys(terms, number, lane, headers, wanted)
                # 7. Fetch content, check the CID, open. (6 is in `_envelope_keys` and `open_records`.)
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
        self._reencrypt(terms, 0, lane, {"probe": umbral.wrap(lane.delegating_key, os.urandom(32))}, terms.purposes[0])

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

    def _envelope_keys(
        self, terms: Terms, number: int, lane: GrantedLane, headers: Sequence[header.Header], purpose: Purpose
    ) -> dict[str, bytes]:
        """Return the key of each envelope that the headers need: one re-encryption for each envelope."""
        wraps: dict[str, bytes] = {}
        for found in headers:
            cid = found.info.envelope_cid
            if cid not in wraps:
                wraps[cid] = header.wrap_at(self.network.store.get_block(CID.parse(cid)), found.wrap_index)
        ordered = sorted(wraps)
        keys: dict[str, bytes] = {}
        for start in range(0, len(ordered), messages.MAX_CAPSULES):
            part = ordered[start : start + messages.MAX_CAPSULES]
            keys |= self._reencrypt(terms, number, lane, {cid: wraps[cid] for cid in part}, purpose)
        return keys

    def _reencrypt(
        self, terms: Terms, number: int, lane: GrantedLane, wraps: dict[str, bytes], purpose: Purpose
    ) -> dict[str, bytes]:
        not_before = self.network.mainchain.head_block().time
        capsules = [umbral.capsule_of(wrap) for wrap in wraps.values()]
        secret = self._seed.receiving()
        account = Account(self._seed.account_key())

        def ask(proxy: ProxyRef) -> list[bytes]:
            fields: dict[str, Any] = {
                "schema": messages.REENCRYPT,
                "proxy": proxy.address,
                "policy_id": terms.policy_id,
                "grantee": self.address,
                "purpose": purpose.value,
                "lane": number,
                "capsules": [capsule.hex() for capsule in capsules],
                "issued_at": int(time.time()),
                "nonce": os.urandom(16).hex(),
            }
            fields["signature"] = account.sign_text(messages.signed_bytes(fields)).hex()
            answer = post(proxy.endpoint, "/v1/reencrypt", fields, timeout=_TIMEOUT)
            receipt, cfrags = _check_answer(answer, proxy, capsules, terms, lane, secret.public)
            domain = self.network.mainchain.log_domain
            check_receipt(
                receipt,
                proxy=proxy.address,
                domain=domain,
                policy_id=terms.policy_id,
                kind=ReceiptKind.REENCRYPTED,
                not_before=not_before,
            )
            return cfrags

        # 5. Ask proxies in parallel until t gave cfrags for every capsule, each verified.
        answers, _ = collect(
            self.network.reachable(terms.proxies),
            needed=terms.threshold,
            ask=ask,
            what=f"opening lane {lane.scope.text} of policy {terms.policy_id}",
        )
        # 6. Recover the envelope keys; `open_records` checks each against its commitment.
        return {
            cid: umbral.unwrap_reencrypted(
                secret,
                wrap,
                [cfrags[position] for _, cfrags in answers],
                verifying=terms.verifying_key,
                delegating=lane.delegating_key,
                threshold=terms.threshold,
            )
            for position, (cid, wrap) in enumerate(wraps.items())
        }


def _check_answer(
    answer: Any, proxy: ProxyRef, capsules: Sequence[bytes], terms: Terms, lane: GrantedLane, receiving: bytes
) -> tuple[Receipt, list[bytes]]:
    try:
        cfrags = [bytes.fromhex(cfrag) for cfrag in answer["cfrags"]]
        receipt = messages.parse_receipt(answer["receipt"])
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError("the proxy's answer lacks a field or has one of the wrong type") from exc
    if len(cfrags) != len(capsules) or receipt.count != len(capsules):
        raise IntegrityError(f"the proxy answered {len(cfrags)} cfrags for {len(capsules)} capsules")
    for cfrag, capsule in zip(cfrags, capsules, strict=True):
        umbral.check_cfrag(
            cfrag,
            capsule,
            verifying=terms.verifying_key,
            delegating=lane.delegating_key,
            receiving=receiving,
        )
    return receipt, cfrags


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
