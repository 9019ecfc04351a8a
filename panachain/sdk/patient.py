"""The patient: pairs with hospitals, grants, revokes, and sees who read what.

Needs no ether: a one-time key signs, the relay pays. Everything is restored from the seed, the chains and IPFS;
the profile's folder only remembers which one-time keys were used, and what is left to do (sdk/grants.py).
Follows design section 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Final

from panachain.chain.evm import Account
from panachain.consent import grant as granting
from panachain.consent import proxy_sets
from panachain.consent.receipts import open_detail
from panachain.consent.terms import open_terms
from panachain.crypto.keys import address_of
from panachain.errors import PolicyUnknownError, UnknownActorError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, PolicyId, Role
from panachain.model.policy import (
    SEALED,
    OnChainPolicy,
    PolicyStatus,
    ProxyRef,
    Receipt,
    ReceiptKind,
    Terms,
)
from panachain.model.scope import Generations, Purpose
from panachain.records.jitter import coarse_window
from panachain.sdk.base import ActorSession
from panachain.sdk.deletion_receipts import DeletionReceipts
from panachain.sdk.grants import POLICY_GAP, Grants, Offer, has_ended, policy_view
from panachain.sdk.lanes import OwnLanes
from panachain.sdk.opening import open_records
from panachain.sdk.proxies import Proxies
from panachain.sdk.requests import open_request, seal_outcome
from panachain.sdk.results import LogEntry, OpenedRecord, PolicyView, RequestView, RevocationReport, iso
from panachain.storage.blocks import keep

GRANTEES: Final = (Role.PRACTITIONER, Role.GROUP, Role.RESEARCHER)
"""Who can be granted a policy."""


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
        generations = self._lanes.generations()
        orders = self._lanes.orders(who, generations)
        pairing, cid, receipt = self._lanes.pair(self._sender(sidechain=True), who, generations, orders)
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
            jitter: seconds that the grant waits at most, for a time that is drawn; `settle` sends it then. Who watches
                the chain can't tell by its time whom the patient saw, and what else he granted.
            dry_run: make everything, send nothing.

        Raises:
            UsageError: the choice doesn't fit.
            ProxiesUnavailableError: fewer proxies than the threshold are ready, and nothing was changed; or fewer took
                their share, and the same grant again goes on.
        """
        self._check_registered()
        purposes = (purpose,) if isinstance(purpose, Purpose) else tuple(dict.fromkeys(purpose))
        scopes = granting.scopes_of(categories, years)
        if not purposes or ((data_use or study) and not disclose):
            raise UsageError("a grant needs a purpose, and only an open one has data-use codes or a study")
        begins = int(self.network.mainchain.head_block().time) if starts_at is None else starts_at
        coarse = max(jitter, self.network.config.jitter)
        if coarse:
            # Exact seconds would tell when the patient signed.
            begins, expires_at = coarse_window(begins, expires_at, jitter=coarse)
        who = self.network.resolve(grantee, *GRANTEES)
        threshold = threshold or self.network.threshold
        offer = Offer(
            grantee=who,
            scopes=scopes,
            purposes=purposes,
            starts_at=begins,
            expires_at=expires_at,
            threshold=threshold,
            proxies=self._choose(who, threshold, proxies, any_operator),
            disclosure=SEALED
            if not disclose
            else granting.disclosure_of(
                scopes, purposes, data_use=data_use, study=self._address_of(study) if study else None
            ),
            request=request,
            jitter=jitter,
        )
        generations = self._lanes.generations()
        return self._grants.plan(offer, generations) if dry_run else self._grants.make(offer, generations)

    def settle(self) -> list[PolicyView]:
        """Finish what was interrupted, or what a proxy that was down has missed: shares of a grant, deletions.

        And send grants that have waited long enough.

        Returns:
            The policies that weren't finished, as they are now.

        Raises:
            PanaChainError: why the first of those that still aren't finished isn't; the others were looked after.
        """
        found, failed = self._grants.settle()
        generations = cache(self._lanes.generations)
        for _, terms, policy in self._walk():
            if _over(policy) and len(self._evidence.of(terms.policy_id)[0]) < len(terms.proxies):
                receipts, _ = self._proxies.delete(terms)
                self._evidence.add(terms.policy_id, receipts)
                found.append(replace(policy_view(terms, policy), stage=self._look(terms, generations()).stage))
        if failed:
            raise failed[0]
        return found

    def policies(self) -> list[PolicyView]:
        """Return all policies that this patient ever granted, oldest first, and then those that wait to be sent."""
        generations = cache(self._lanes.generations)
        lacking = self._grants.lacking()
        return [
            replace(
                policy_view(terms, policy),
                stage=self._look(terms, generations()).stage if _over(policy) else "",
                lacking=lacking.get(terms.policy_id, 0),
            )
            for _, terms, policy in self._walk()
        ] + self._grants.waiting()

    def terms_of(self, policy_id: PolicyId) -> tuple[OnChainPolicy, Terms]:
        """Return one policy of this patient, as the chain shows it and as its terms say.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        _, terms, policy = self._own_policy(policy_id)
        return policy, terms

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
        made = self._grants.resume(replaces=policy_id)
        if made is not None:
            return made
        _, terms, policy = self._own_policy(policy_id)
        if has_ended(policy):
            raise UsageError(f"policy {policy_id} is {policy.status.name.lower()}: grant a new one")
        grantee = self.network.resolve(terms.grantee, *GRANTEES)
        threshold = threshold or terms.threshold
        offer = Offer(
            grantee=grantee,
            scopes=tuple(dict.fromkeys(lane.scope for lane in terms.lanes)),
            purposes=terms.purposes,
            starts_at=terms.starts_at,
            expires_at=terms.expires_at,
            threshold=threshold,
            proxies=self._choose(grantee, threshold, proxies, any_operator),
            disclosure=policy.disclosure,
            replaces=policy_id,
        )
        return self._grants.make(offer, self._lanes.generations())

    def _choose(self, grantee: Actor, threshold: int, names: Sequence[str], any_operator: bool) -> tuple[ProxyRef, ...]:
        if names:
            named = [self.network.resolve(name, Role.PROXY) for name in dict.fromkeys(names)]
            return tuple(proxy_sets.check(named, grantee=grantee, threshold=threshold, any_operator=any_operator))
        return tuple(
            proxy_sets.choose(self.network.mainchain.actors.find(Role.PROXY), grantee=grantee, threshold=threshold)
        )

    # Revocation

    def revoke(self, policy_id: PolicyId, *, rotate: bool = False) -> RevocationReport:
        """Take a policy back: on chain first (R1), then at each proxy, each with its signed receipt (R2).

        A second call asks those proxies again that gave no receipt before, and goes on where the first one stopped. A
        grant that still waits to be sent is forgotten.

        Args:
            policy_id: from `policies`.
            rotate: give the policy's lanes a new generation too (R3), grant it to the remaining grantees, tell the
                hospitals, and ask them to re-wrap what is in the old ones (R4): so that also colluding proxies can't
                help the grantee to anything that he hasn't opened yet.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        try:
            index, terms, policy = self._own_policy(policy_id)
        except PolicyUnknownError:
            if not self._grants.withdraw(policy_id):
                raise
            return RevocationReport(policy_id, tx="", gas=0, receipts=(), needed=0, shares=0)
        tx, gas = "", 0
        if policy.status is not PolicyStatus.REVOKED:
            sent = self.network.relay().revoke(
                policy_id, self.network.mainchain.policies.sign_revoke(self._owner(index))
            )
            tx, gas = sent.tx_hash, sent.gas_used
        receipts, unreachable = self._proxies.delete(terms)
        self._evidence.add(policy_id, receipts)
        told, regranted = self._rotate(terms) if rotate else ((), {})
        return replace(
            self._look(terms, self._lanes.generations()),
            tx=tx,
            gas=gas,
            unreachable=tuple(unreachable),
            hospitals=tuple(told),
            regranted=regranted,
        )

    def revocation(self, policy_id: PolicyId) -> RevocationReport:
        """Look how far a revocation has come, and change nothing.

        Raises:
            PolicyUnknownError: the policy isn't this patient's, or isn't revoked.
        """
        index, terms, policy = self._own_policy(policy_id)
        if not _over(policy):
            raise PolicyUnknownError(f"policy {policy_id} isn't revoked: it is {policy.status.name.lower()}")
        deleted = [r for r in self._proxies.receipts(terms, self._owner(index)) if r.kind is ReceiptKind.DELETED]
        self._evidence.add(policy_id, deleted)
        report = self._look(terms, self._lanes.generations())
        if report.rotated and not report.rewrapped and not self._lanes.still_there(terms.lanes):
            self._evidence.rewrapped(policy_id)
            return replace(report, rewrapped=True)
        return report

    def _rotate(self, terms: Terms) -> tuple[list[Address], dict[PolicyId, PolicyId]]:
        """Give a policy's lanes a new generation, unless they have one, and bring everybody up to it."""
        generations = self._lanes.generations()
        # What he had under earlier policies, too: with their lanes he would find the same records by another path.
        lost = [
            terms,
            *(other for _, other, policy in self._walk() if other.grantee == terms.grantee and has_ended(policy)),
        ]
        lanes = [lane for one in lost for lane in one.lanes]
        scopes = [lane.scope for lane in lanes if lane.generation == generations.current(lane.scope)]
        if scopes:
            generations = generations.rotated(dict.fromkeys(scopes))
        # Renewals that were interrupted at their end; what else proxies lack, `policies` shows.
        self._grants.settle()
        # Hospitals first: from here on nothing new goes into the old lanes.
        told = self._lanes.pair_again(self._sender(sidechain=True), generations)
        regranted = {}
        for _, other, policy in list(self._walk()):
            if not has_ended(policy) and _lags(other, generations):
                made = self.reissue(other.policy_id, proxies=self._still_active(other), any_operator=True)
                regranted[other.policy_id] = made.policy_id
        return told, regranted

    def _still_active(self, terms: Terms) -> list[str]:
        """Return the proxies of a policy that still serve, or nobody when they are too few to go on with."""
        active = {proxy.address for proxy in self.network.proxies()}
        # The patient chose these before, whatever rule holds now.
        names = [str(proxy.address) for proxy in terms.proxies if proxy.address in active]
        return names if len(names) >= terms.threshold else []

    def _look(self, terms: Terms, generations: Generations) -> RevocationReport:
        """Return how far a revocation has come, by what this machine knows and the lanes' generations."""
        receipts, rewrapped = self._evidence.of(terms.policy_id)
        rotated = all(lane.generation < generations.current(lane.scope) for lane in terms.lanes)
        return RevocationReport(
            policy_id=terms.policy_id,
            tx="",
            gas=0,
            receipts=receipts,
            needed=len(terms.proxies) - terms.threshold + 1,
            shares=len(terms.proxies),
            rotated=rotated,
            rewrapped=rotated and rewrapped,
        )

    # Reading

    def log(self, policy_id: PolicyId | None = None) -> list[LogEntry]:
        """Return who read what, as the proxies signed it, oldest first.

        Raises:
            ProxiesUnavailableError: no proxy of a policy answered.
        """
        entries: list[LogEntry] = []
        for index, terms, _ in self._walk():
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
        index, terms, _ = self._own_policy(policy_id)
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
            for r in self.network.sidechain.requests.find(patient=self.address)
        ]

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
        asked = self._request(request_id)
        ends = asked.until if expires_at is None else expires_at
        granted = tuple(categories) or asked.categories
        if asked.state != "open":
            raise UsageError(f"request {request_id} is {asked.state}, so nothing was granted")
        if ends > asked.until or not set(granted) <= set(asked.categories):
            raise UsageError(
                f"request {request_id} asks for {', '.join(asked.categories)} until {iso(asked.until)}: more than that"
                " isn't an answer to it",
                hint="panachain grant gives more than was asked for",
            )
        purpose = Purpose.parse(asked.purpose)
        return self.grant(asked.requester, granted, purpose=purpose, expires_at=ends, request=request_id)

    def _answer(self, request_id: int, terms: Terms) -> None:
        """Tell a requester which policy answers his request, unless he was told, or it is over."""
        asked = self._request(request_id)
        if asked.state != "open":
            return
        granted = tuple(dict.fromkeys(lane.scope.text for lane in terms.lanes))
        requester = self.network.resolve(asked.requester, Role.PRACTITIONER)
        readers = [requester.receiving_key, self._seed.receiving().public]
        cid = keep(self.network.store, seal_outcome(terms.policy_id, granted, readers=readers))
        self.network.sidechain.requests.approve(self._sender(sidechain=True), request_id, cid.digest)

    def deny(self, request_id: int) -> dict[str, object]:
        """Refuse a request."""
        asked = self._request(request_id)
        receipt = self.network.sidechain.requests.deny(self._sender(sidechain=True), asked.request_id)
        return {"schema": "panachain/denial/1", "id": request_id, "state": "denied", "tx": receipt.tx_hash}

    def _request(self, request_id: int) -> RequestView:
        for request in self.requests():
            if request.request_id == request_id:
                return request
        raise UnknownActorError(f"no request {request_id} was made to this patient", hint="panachain requests")

    # Inside

    @cached_property
    def _proxies(self) -> Proxies:
        return Proxies(self.network, evidence=self.profile.folder / "evidence", ca=self.network.proxy_ca)

    @cached_property
    def _grants(self) -> Grants:
        folder, proxies = self.profile.folder, self._proxies
        return Grants(self.network, self._seed, self.address, folder, proxies, revoke=self.revoke, answer=self._answer)

    @cached_property
    def _lanes(self) -> OwnLanes:
        return OwnLanes(self.network, self._seed, self.address)

    @cached_property
    def _evidence(self) -> DeletionReceipts:
        return DeletionReceipts(self.profile.folder / "revocations.json", self.network.mainchain.log.domain)

    def _address_of(self, text: str) -> Address:
        """Return the address that a user named, also of somebody whom no registry knows."""
        return Address(text) if text.startswith("0x") else self.network.resolve(text).address

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
            requester=str(detail.get("requester", "")),
            purpose=str(detail.get("purpose", "")),
            scopes=scopes,
            late=self._is_late(receipt),
        )

    def _is_late(self, receipt: Receipt) -> bool:
        """Tell whether a proxy served at a time when the policy didn't allow it, by its own word."""
        mainchain = self.network.mainchain
        return receipt.kind is ReceiptKind.REENCRYPTED and not mainchain.policies.allowed_at(
            receipt.policy_id, receipt.at
        )

    def _own_records(self) -> Iterator[OpenedRecord]:
        for own in self._lanes.headers():
            for _, record in open_records(self.network.store, own.headers, own.envelope_keys):
                yield replace(record, provenance={"hospital": own.heads.hospital, "opened_as": "patient"})

    def _own_policy(self, policy_id: PolicyId) -> tuple[int, Terms, OnChainPolicy]:
        for index, terms, policy in self._walk():
            if terms.policy_id == policy_id:
                return index, terms, policy
        raise PolicyUnknownError(f"policy {policy_id} isn't one of this patient's", hint="panachain policies")

    def _walk(self) -> Iterator[tuple[int, Terms, OnChainPolicy]]:
        """Yield this patient's policies from seed, chain and store alone."""
        missing, start = 0, 0
        while missing < POLICY_GAP:
            ids = [PolicyId(address_of(self._seed.policy_account(start + place))) for place in range(POLICY_GAP)]
            known = self.network.mainchain.policies.policies_of(ids)
            for index, policy_id in enumerate(ids, start=start):
                policy = known.get(policy_id)
                missing = 0 if policy else missing + 1
                if policy and policy.terms:
                    block = self.network.store.get_block(CID(RAW, policy.terms))
                    yield index, open_terms(block, self._seed.receiving())[0], policy
            start += POLICY_GAP


def _over(policy: OnChainPolicy) -> bool:
    return policy.status is PolicyStatus.REVOKED


def _lags(terms: Terms, generations: Generations) -> bool:
    """Tell whether a policy lacks the newest generation of one of its lanes."""
    newest = {lane.scope: lane.generation for lane in terms.lanes}
    return any(number < generations.current(scope) for scope, number in newest.items())
