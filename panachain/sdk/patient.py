"""The patient: pairs with hospitals, grants, revokes, and sees who read what.

Needs no ether: a one-time key signs, the relay pays. Everything is restored from the seed, the chains and IPFS;
the file `policies.json` only remembers which one-time keys were used. Follows design section 8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from panachain.chain.evm import Account
from panachain.chain.mainchain import Grant
from panachain.consent import grant as granting
from panachain.consent.receipts import open_detail
from panachain.consent.terms import open_terms
from panachain.crypto import umbral
from panachain.crypto.keys import address_of
from panachain.errors import (
    DiskError,
    PolicyUnknownError,
    UnknownActorError,
)
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import PolicyStatus, Receipt, ReceiptKind, Terms
from panachain.model.scope import Category, Purpose, Scope
from panachain.records.lanes import make_pairing, seal_pairing
from panachain.records.locate import locate, open_manifests
from panachain.sdk.base import ActorSession
from panachain.sdk.opening import envelope_wraps, open_records
from panachain.sdk.profiles import write_private
from panachain.sdk.proxies import Proxies
from panachain.sdk.requests import open_request
from panachain.sdk.results import LogEntry, OpenedRecord, PolicyView, RequestView, RevocationReport
from panachain.storage.cid import CID, RAW

GENERATION: Final = 0
"""The generation of every lane until lanes are rotated."""
_DEADLINE: Final = 3600
"""Seconds for which a relay may submit what was signed."""
_TIMEOUT: Final = 10.0
"""Seconds that one proxy may take."""
_GAP: Final = 20
"""Unused one-time keys in a row after which a restore stops looking."""


class Patient(ActorSession):
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
        pairing = make_pairing(
            self._seed,
            patient=self.address,
            hospital=who.address,
            generation=GENERATION,
            last_year=datetime.now(UTC).year + 2,
        )
        blob = seal_pairing(pairing, receiving_key=who.receiving_key, signer=self._seed.signer())
        cid = CID.of(RAW, blob)
        self.network.store.put_block(cid, blob)
        self.network.store.pin(cid)
        receipt = self.network.sidechain.pair(self._sender(sidechain=True), who.address, cid.digest)
        return {
            "schema": "panachain/pairing/1",
            "hospital": who.address,
            "pairing_cid": str(cid),
            "lanes": len(pairing.lanes),
            "tx": receipt.tx_hash,
        }

    # Grants

    def grant(
        self,
        grantee: str,
        categories: Sequence[str],
        years: Sequence[int] = (),
        purpose: Purpose = Purpose.TREAT,
        starts_at: int | None = None,
        expires_at: int = 0,
        *,
        dry_run: bool = False,
    ) -> PolicyView:
        """Let a practitioner read parts of the record, past and future, until `expires_at`.

        Args:
            grantee: profile name, handle or address.
            categories: category names, `all` or `emergency`.
            years: narrows the categories; empty means every year.
            purpose: for what.
            starts_at: Unix seconds, inclusive; None means now, by the mainchain's newest block.
            expires_at: Unix seconds, exclusive.
            dry_run: make everything, send nothing.

        Raises:
            ProxiesUnavailableError: fewer proxies than the threshold are ready; nothing was changed.
        """
        self._check_registered()
        who = self.network.resolve(grantee, Role.PRACTITIONER)
        proxies = self.network.proxies()
        head = self.network.mainchain.head_block()
        index = self._next_index()
        prepared = granting.prepare_grant(
            self._seed,
            index=index,
            patient=self.address,
            grantee=who,
            scopes=granting.scopes_of(categories, years),
            generation=GENERATION,
            purposes=(purpose,),
            starts_at=head.time if starts_at is None else starts_at,
            expires_at=expires_at,
            threshold=self.network.threshold,
            proxies=proxies,
        )
        terms = prepared.terms
        cid = CID.of(RAW, prepared.sealed_terms)
        if dry_run:
            return policy_view(terms, PolicyStatus.UNKNOWN, str(cid), dry_run=True)
        self._proxies.check_ready(proxies, terms.threshold)
        # The one-time key counts as used before anything is signed with it.
        self._use_index(index)
        self.network.store.put_block(cid, prepared.sealed_terms)
        self.network.store.pin(cid)
        account = Account(prepared.account_key)
        deadline = int(head.time) + _DEADLINE
        on_chain = Grant(terms.policy_id, terms.starts_at, terms.expires_at, deadline, cid.digest)
        signature = self.network.mainchain.sign_grant(account, on_chain)
        receipt = self.network.relay().grant(on_chain, signature)
        deposited = len(self._proxies.deposit(prepared, account, cid.digest))
        status = self.network.mainchain.policy(terms.policy_id).status
        return policy_view(terms, status, str(cid), tx=receipt.tx_hash, gas=receipt.gas_used, deposited=deposited)

    def policies(self) -> list[PolicyView]:
        """Return all policies that this patient ever granted, oldest first."""
        return [policy_view(terms, status, cid) for terms, status, cid in self._all_policies()]

    def revoke(self, policy_id: PolicyId) -> RevocationReport:
        """Take a policy back: on chain first, then at each proxy, each with its signed receipt.

        A second call asks those proxies again that gave no receipt before.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        index, terms = self._own_policy(policy_id)
        account = self._owner(index)
        tx, gas = "", 0
        if self.network.mainchain.policy(policy_id).status is not PolicyStatus.REVOKED:
            signature = self.network.mainchain.sign_revoke(account)
            sent = self.network.relay().revoke(policy_id, signature)
            tx, gas = sent.tx_hash, sent.gas_used
        receipts, unreachable = self._proxies.delete(terms)
        return RevocationReport(
            policy_id=policy_id,
            tx=tx,
            gas=gas,
            receipts=tuple(receipts),
            needed=len(terms.proxies) - terms.threshold + 1,
            shares=len(terms.proxies),
            unreachable=tuple(unreachable),
        )

    # Reading

    def log(self, policy_id: PolicyId | None = None) -> list[LogEntry]:
        """Return who read what, as the proxies signed it, oldest first.

        Raises:
            ProxiesUnavailableError: no proxy of a policy answered.
        """
        entries: list[LogEntry] = []
        for index, terms, _, _ in self._walk():
            if policy_id is not None and terms.policy_id != policy_id:
                continue
            entries += [self._entry(terms, receipt) for receipt in self._proxies.receipts(terms, self._owner(index))]
        if policy_id is not None and not entries:
            self._own_policy(policy_id)
        return sorted(entries, key=lambda entry: (entry.at, entry.proxy))

    def convict(self, policy_id: PolicyId) -> list[str]:
        """Submit each receipt by which a proxy served this policy when it wasn't allowed; each suspends its proxy.

        Returns:
            The hashes of the transactions, which the relay pays.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: none of its proxies answered.
            TransactionError: the evidence was used before.
        """
        index, terms = self._own_policy(policy_id)
        receipts = self._proxies.receipts(terms, self._owner(index))
        return [self.network.relay().convict(receipt).tx_hash for receipt in receipts if self._is_late(receipt)]

    def records(self) -> list[OpenedRecord]:
        """Return every record of this patient in every category, opened with his own keys."""
        return list(self._own_records())

    def get(self, record_id: str) -> OpenedRecord:
        """Return one record by the CID of its header.

        Raises:
            UnknownActorError: no record of this patient has this ID.
        """
        for record in self._own_records():
            if record.info.header_cid == record_id:
                return record
        raise UnknownActorError(f"no record {record_id} is in this patient's lanes", hint="panachain records list")

    # Requests

    def requests(self) -> list[RequestView]:
        """Return the requests that were made to this patient."""
        return [
            open_request(self.network, r, self._seed.receiving())
            for r in self.network.sidechain.requests(patient=self.address)
        ]

    def approve(self, request_id: int, *, expires_at: int) -> PolicyView:
        """Grant what a request asks for, until `expires_at`, and tell the requester."""
        asked = self._request(request_id)
        policy = self.grant(
            asked.requester, asked.categories, purpose=Purpose.parse(asked.purpose), expires_at=expires_at
        )
        self.network.sidechain.approve(self._sender(sidechain=True), request_id)
        return policy

    def deny(self, request_id: int) -> dict[str, object]:
        """Refuse a request."""
        asked = self._request(request_id)
        receipt = self.network.sidechain.deny(self._sender(sidechain=True), asked.request_id)
        return {"schema": "panachain/denial/1", "id": request_id, "state": "denied", "tx": receipt.tx_hash}

    def _request(self, request_id: int) -> RequestView:
        for request in self.requests():
            if request.request_id == request_id:
                return request
        raise UnknownActorError(f"no request {request_id} was made to this patient", hint="panachain requests")

    # Inside

    @cached_property
    def _proxies(self) -> Proxies:
        return Proxies(self.network)

    def _owner(self, index: int) -> Account:
        """Return a policy's one-time account."""
        return Account(self._seed.policy_account(index))

    def _entry(self, terms: Terms, receipt: Receipt) -> LogEntry:
        detail = open_detail(receipt, self._seed.audit())
        lane = detail.get("lane")
        scopes = (terms.lanes[lane].scope.text,) if isinstance(lane, int) and lane < len(terms.lanes) else ()
        return LogEntry(
            at=receipt.at,
            kind=receipt.kind.value,
            policy_id=receipt.policy_id,
            proxy=receipt.proxy,
            count=receipt.count,
            grantee=str(detail.get("grantee", "")),
            purpose=str(detail.get("purpose", "")),
            scopes=scopes,
            late=self._is_late(receipt),
        )

    def _is_late(self, receipt: Receipt) -> bool:
        """Tell whether a proxy served at a time when the policy didn't allow it, by its own word."""
        mainchain = self.network.mainchain
        return receipt.kind is ReceiptKind.REENCRYPTED and not mainchain.allowed_at(receipt.policy_id, receipt.at)

    def _own_records(self) -> Iterator[OpenedRecord]:
        scopes = [Scope.of(category) for category in Category]
        for heads in self.network.hospital_heads():
            if self.network.sidechain.pairing(self.address, heads.hospital) is None:
                continue
            manifests = open_manifests(self.network.store, heads)
            for scope in scopes:
                lane = self._seed.lane(scope, GENERATION)
                locator = self._seed.locator_key(scope, GENERATION)
                headers = list(locate(self.network.store, heads, manifests, locator))
                wraps = envelope_wraps(self.network.store, headers)
                envelope_keys = {cid: umbral.unwrap(lane, wrap) for cid, wrap in wraps.items()}
                for _, record in open_records(self.network.store, headers, envelope_keys):
                    yield replace(record, provenance={"hospital": heads.hospital, "opened_as": "patient"})

    def _own_policy(self, policy_id: PolicyId) -> tuple[int, Terms]:
        for index, terms, _, _ in self._walk():
            if terms.policy_id == policy_id:
                return index, terms
        raise PolicyUnknownError(f"policy {policy_id} isn't one of this patient's", hint="panachain policies")

    def _all_policies(self) -> Iterator[tuple[Terms, PolicyStatus, str]]:
        for _, terms, status, cid in self._walk():
            yield terms, status, cid

    def _walk(self) -> Iterator[tuple[int, Terms, PolicyStatus, str]]:
        """Yield this patient's policies from seed, chain and store alone."""
        missing, index = 0, 0
        while missing < _GAP:
            policy_id = PolicyId(address_of(self._seed.policy_account(index)))
            try:
                policy = self.network.mainchain.policy(policy_id)
            except PolicyUnknownError:
                missing += 1
            else:
                missing = 0
                if policy.terms:
                    cid = CID(RAW, policy.terms)
                    terms, _, _ = open_terms(self.network.store.get_block(cid), self._seed.receiving())
                    yield index, terms, policy.status, str(cid)
            index += 1

    def _next_index(self) -> int:
        """Return a policy number that neither the chain nor this machine has seen."""
        used = [index for index, _, _, _ in self._walk()]
        path = self.profile.folder / "policies.json"
        remembered = json.loads(path.read_bytes())["next"] if path.exists() else 0
        return max([remembered, *(index + 1 for index in used)])

    def _use_index(self, index: int) -> None:
        content = json.dumps({"schema": "panachain/policies/1", "next": index + 1}).encode()
        try:
            write_private(self.profile.folder / "policies.json", content)
        except OSError as exc:
            raise DiskError(f"the profile can't be written: {exc.strerror}; nothing was granted") from exc


def policy_view(
    terms: Terms,
    status: PolicyStatus,
    cid: str,
    *,
    tx: str = "",
    gas: int = 0,
    deposited: int = 0,
    dry_run: bool = False,
) -> PolicyView:
    """Return a policy as patient and grantee see it."""
    return PolicyView(
        policy_id=terms.policy_id,
        status=status,
        patient=terms.patient,
        grantee=terms.grantee,
        scopes=tuple(lane.scope.text for lane in terms.lanes),
        purposes=tuple(purpose.value for purpose in terms.purposes),
        starts_at=terms.starts_at,
        expires_at=terms.expires_at,
        threshold=terms.threshold,
        proxies=len(terms.proxies),
        terms_cid=cid,
        tx=tx,
        gas=gas,
        deposited=deposited,
        dry_run=dry_run,
    )
