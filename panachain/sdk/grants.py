"""Grants on their way: written down before anything is sent, and finished by the same call after an interruption.

A grant reaches IPFS, the mainchain and every proxy, and may replace a policy or answer a request. What is left to do
lies in the profile's folder `grants`, sealed to the patient, until all of it is done: so a policy is made once, and a
proxy that was down gets its share later (security rule 5). What isn't on chain yet is sent only when the patient asks
for the same again, and is forgotten after its deadline: no consent takes place behind his back. A grant that he lets
wait (`jitter`) is sent by the first call after its time, unless he takes it back before.
Never decides who is granted what: sdk/patient.py does. Follows design section 8 (Grant) and docs/spec/formats.md
(`panachain/pending-grant/1`).
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from panachain.chain.evm import Account
from panachain.consent import grant as granting
from panachain.consent.terms import open_terms
from panachain.crypto import box, labels
from panachain.crypto.keys import Seed, address_of
from panachain.errors import ConfigurationError, DiskError, IntegrityError, PanaChainError, ProxiesUnavailableError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, PolicyId
from panachain.model.policy import SEALED, Disclosure, OnChainPolicy, PolicyStatus, ProxyRef, Terms
from panachain.model.scope import Generations, Purpose, Scope
from panachain.model.transactions import Grant
from panachain.records.jitter import coarse_deadline, delay
from panachain.sdk.network import Network
from panachain.sdk.private_files import write_private
from panachain.sdk.proxies import Proxies
from panachain.sdk.results import PolicyView, iso
from panachain.storage.blocks import keep

_LOG: Final = logging.getLogger(__name__)
POLICY_GAP: Final = 20
"""Unused one-time keys in a row after which a search stops."""
_DEADLINE: Final = 3600
"""Seconds for which a relay may submit what was signed."""
_SAME_END: Final = 86_400
"""Seconds by which the ends of two grants may differ that are the same one, asked for twice: `30d` means another second
each time."""
_VERSION: Final = 1


@dataclass(frozen=True)
class Offer:
    """What a patient offers to whom, before keys come in."""

    grantee: Actor
    scopes: tuple[Scope, ...]
    purposes: tuple[Purpose, ...]
    starts_at: int
    """Unix seconds, inclusive."""
    expires_at: int
    """Unix seconds, exclusive."""
    threshold: int
    proxies: tuple[ProxyRef, ...]
    disclosure: Disclosure = SEALED
    replaces: PolicyId | None = None
    """A policy that is revoked as soon as this one serves."""
    request: int | None = None
    """A request that is answered by it."""
    jitter: int = 0
    """Seconds that it waits at most, for a time that is drawn."""


@dataclass(frozen=True)
class PendingGrant:
    """One grant, with everything that finishing it needs."""

    index: int
    """Number of the policy among the patient's."""
    grant: Grant
    signature: bytes
    """By the policy's one-time key, 65 bytes."""
    sealed_terms: bytes
    shares: Mapping[Address, Sequence[bytes]] = field(repr=False)
    """For each proxy that hasn't taken its share yet, a kfrag for each lane of the terms."""
    replaces: PolicyId | None = None
    request: int | None = None
    due: int = 0
    """When it may be sent, Unix seconds; 0 for at once."""
    served: bool = False
    """Whether the patient has his answer, and only shares are left: the same call then asks for another policy."""


class Grants:
    """A patient's grants, from offer to finished policy."""

    def __init__(
        self,
        network: Network,
        seed: Seed,
        patient: Address,
        folder: Path,
        proxies: Proxies,
        *,
        revoke: Callable[[PolicyId], object],
        answer: Callable[[int, Terms], object],
    ) -> None:
        """Take what a grant touches.

        Args:
            network: with both chains and the store.
            seed: the patient's.
            patient: the patient's account.
            folder: the profile's.
            proxies: as this patient talks to them.
            revoke: takes back a policy that was replaced; may be called twice.
            answer: answers a request with the policy of these terms; may be called twice.
        """
        self._network = network
        self._seed = seed
        self._patient = patient
        self._profile = folder
        self._proxies = proxies
        self._revoke = revoke
        self._answer = answer

    def plan(self, offer: Offer, generations: Generations) -> PolicyView:
        """Make a policy, send nothing, and return what it would be."""
        prepared = self._prepare(offer, generations, self._next_index())
        digest = CID.of(RAW, prepared.sealed_terms).digest
        unknown = OnChainPolicy(prepared.terms.policy_id, PolicyStatus.UNKNOWN, 0, 0, digest, offer.disclosure)
        return replace(policy_view(prepared.terms, unknown), dry_run=True)

    def make(self, offer: Offer, generations: Generations) -> PolicyView:
        """Bring a policy into being, or go on with the same one where an earlier call was interrupted.

        Raises:
            ProxiesUnavailableError: too few proxies are ready, and nothing was changed; or too few took their share,
                and the same call goes on.
            RelaysUnavailableError: no relay brought it on chain; the same call tries again.
            DiskError: the profile can't be written; nothing was granted.
        """
        with self._turn():
            for pending in self._read():
                if pending.served or not self._is_for(pending, offer):
                    continue
                waits = offer.jitter and pending.due > self._now()
                made = self._view_of(pending) if waits else self._finish(pending)
                if made is not None:
                    return made
            self._proxies.check_ready(offer.proxies, offer.threshold)
            # The one-time key counts as used before anything is signed with it.
            index = self._next_index()
            self._use_index(index)
            pending = self._pending(offer, self._prepare(offer, generations, index))
            self._write(pending)
            made = self._view_of(pending) if pending.due else self._finish(pending)
        if made is None:
            raise ProxiesUnavailableError(f"policy {pending.grant.owner} ended while it was made", answered=0, needed=1)
        return made

    def resume(self, *, replaces: PolicyId | None = None, request: int | None = None) -> PolicyView | None:
        """Finish the grant that replaces a policy or answers a request, if one was interrupted, and return it."""
        with self._turn():
            for pending in self._read():
                if not pending.served and (pending.replaces, pending.request) == (replaces, request):
                    return self._finish(pending)
        return None

    def settle(self) -> tuple[list[PolicyView], list[PanaChainError]]:
        """Finish what is on chain already: shares that a proxy lacks, policies that were replaced, requests.

        And send grants that have waited long enough.

        Returns:
            The policies that serve, and why each of the others still doesn't.
        """
        found: list[PolicyView] = []
        failed: list[PanaChainError] = []
        with self._turn():
            for pending in self._read():
                on_chain = bool(self._network.mainchain.policies.policies_of([pending.grant.owner]))
                if not on_chain and not 0 < pending.due <= self._now():
                    continue
                try:
                    made = self._finish(pending)
                except PanaChainError as exc:
                    failed.append(exc)
                    continue
                found += [made] if made is not None else []
        return found, failed

    def lacking(self) -> dict[PolicyId, int]:
        """Return for each unfinished policy how many proxies lack their share."""
        return {pending.grant.owner: len(pending.shares) for pending in self._read()}

    def waiting(self) -> list[PolicyView]:
        """Return the grants that wait to be sent, oldest first."""
        left = [pending for pending in self._read() if pending.due]
        if not left:
            return []
        known = self._network.mainchain.policies.policies_of([pending.grant.owner for pending in left])
        return [self._view_of(pending) for pending in left if pending.grant.owner not in known]

    def withdraw(self, policy_id: PolicyId) -> bool:
        """Forget a grant that waits, and tell whether there was one: nobody has heard of it yet."""
        with self._turn():
            for pending in self._read():
                if pending.grant.owner == policy_id and pending.due > self._now():
                    self._forget(pending)
                    return True
        return False

    # Steps

    def _finish(self, pending: PendingGrant) -> PolicyView | None:
        """Do what is left, and return the policy; None when it has ended, so that nothing is left to do."""
        chain, policy_id = self._network.mainchain, pending.grant.owner
        terms, _, _ = open_terms(pending.sealed_terms, self._seed.receiving())
        policy, tx, gas = chain.policies.policies_of([policy_id]).get(policy_id), "", 0
        if policy is None:
            if pending.due and pending.grant.deadline < self._now():
                # It has waited for longer than it had to.
                pending = self._sign(pending, jitter=0)
                self._write(pending)
            keep(self._network.store, pending.sealed_terms)
            receipt = self._network.relay().grant(pending.grant, pending.signature)
            policy, tx, gas = chain.policies.policy_of(policy_id), receipt.tx_hash, receipt.gas_used
        if has_ended(policy):
            self._forget(pending)
            return None
        pending = self._deposit(pending, terms)
        if not pending.served:
            # The new policy serves: only now may the old one go, so that the grantee never stands without.
            if pending.replaces is not None:
                self._revoke(pending.replaces)
            if pending.request is not None:
                self._answer(pending.request, terms)
        if not pending.shares:
            self._forget(pending)
        elif not pending.served:
            self._write(replace(pending, served=True))
        view = policy_view(terms, policy)
        lacking = len(pending.shares)
        return replace(view, tx=tx, gas=gas, deposited=len(terms.proxies) - lacking, lacking=lacking)

    def _deposit(self, pending: PendingGrant, terms: Terms) -> PendingGrant:
        """Hand out the shares that are left, and return the grant with those that nobody took."""
        if not pending.shares:
            return pending
        account = Account(self._seed.policy_account(pending.index))
        taken, failures = self._proxies.deposit(terms, pending.shares, account, pending.grant.terms)
        by = {receipt.proxy for receipt in taken}
        pending = replace(pending, shares={who: kfrags for who, kfrags in pending.shares.items() if who not in by})
        self._write(pending)
        held = len(terms.proxies) - len(pending.shares)
        if held < terms.threshold:
            raise ProxiesUnavailableError(
                f"policy {terms.policy_id} is on chain, only {held} of {len(terms.proxies)} proxies took a share, "
                f"{terms.threshold} are needed: {'; '.join(map(str, failures))}",
                answered=held,
                needed=terms.threshold,
                hint="panachain settle hands out the rest, once more proxies answer",
            )
        return pending

    def _prepare(self, offer: Offer, generations: Generations, index: int) -> granting.PreparedGrant:
        return granting.prepare_grant(
            self._seed,
            index=index,
            patient=self._patient,
            grantee=offer.grantee,
            scopes=offer.scopes,
            generations=generations,
            purposes=offer.purposes,
            starts_at=offer.starts_at,
            expires_at=offer.expires_at,
            threshold=offer.threshold,
            proxies=offer.proxies,
        )

    def _pending(self, offer: Offer, prepared: granting.PreparedGrant) -> PendingGrant:
        terms = prepared.terms
        grant = Grant(
            owner=terms.policy_id,
            starts_at=terms.starts_at,
            expires_at=terms.expires_at,
            deadline=0,
            terms=CID.of(RAW, prepared.sealed_terms).digest,
            disclosure=offer.disclosure,
            view_tag=prepared.view_tag,
            announcement=prepared.announcement,
        )
        shares = dict(zip((proxy.address for proxy in terms.proxies), prepared.kfrags, strict=True))
        due = self._now() + delay(offer.jitter) if offer.jitter else 0
        pending = PendingGrant(
            prepared.index, grant, b"", prepared.sealed_terms, shares, offer.replaces, offer.request, due
        )
        return self._sign(pending, jitter=offer.jitter)

    def _sign(self, pending: PendingGrant, *, jitter: int) -> PendingGrant:
        """Return a grant that may be relayed from now on, or once it has waited."""
        now, jitter = self._now(), max(jitter, self._network.config.jitter)
        grant = replace(pending.grant, deadline=coarse_deadline(now, jitter=jitter) if jitter else now + _DEADLINE)
        account = Account(self._seed.policy_account(pending.index))
        return replace(pending, grant=grant, signature=self._network.mainchain.policies.sign_grant(account, grant))

    def _view_of(self, pending: PendingGrant) -> PolicyView:
        """Return a policy that isn't on chain yet."""
        terms, _, _ = open_terms(pending.sealed_terms, self._seed.receiving())
        grant = pending.grant
        unknown = OnChainPolicy(grant.owner, PolicyStatus.UNKNOWN, 0, 0, grant.terms, grant.disclosure)
        stage = f"waiting until {iso(pending.due)}"
        return replace(policy_view(terms, unknown), stage=stage, lacking=len(pending.shares))

    def _now(self) -> int:
        return int(self._network.mainchain.head_block().time)

    def _is_for(self, pending: PendingGrant, offer: Offer) -> bool:
        """Tell whether an unfinished grant is the one that is asked for again."""
        terms, _, _ = open_terms(pending.sealed_terms, self._seed.receiving())
        return (
            (terms.grantee, terms.receiving_key) == (offer.grantee.address, offer.grantee.receiving_key)
            and {lane.scope for lane in terms.lanes} == set(offer.scopes)
            and (terms.purposes, terms.threshold) == (offer.purposes, offer.threshold)
            and [proxy.address for proxy in terms.proxies] == [proxy.address for proxy in offer.proxies]
            and abs(terms.expires_at - offer.expires_at) <= _SAME_END
            and pending.grant.disclosure.word == offer.disclosure.word
            and (pending.replaces, pending.request) == (offer.replaces, offer.request)
        )

    # One-time keys

    def _next_index(self) -> int:
        """Return a policy number that neither the chain nor this machine has seen."""
        path = self._profile / "policies.json"
        start = int(json.loads(path.read_bytes())["next"]) if path.exists() else 0
        following = start
        # What this machine remembers isn't asked for again; another device of the patient's may have gone on.
        while True:
            ids = [PolicyId(address_of(self._seed.policy_account(start + place))) for place in range(POLICY_GAP)]
            known = self._network.mainchain.policies.policies_of(ids)
            if not known:
                return following
            following = start + max(ids.index(policy_id) for policy_id in known) + 1
            start += POLICY_GAP

    def _use_index(self, index: int) -> None:
        content = json.dumps({"schema": "panachain/policies/1", "next": index + 1}).encode()
        self._store_file(self._profile / "policies.json", content)

    # Files

    @cached_property
    def _folder(self) -> Path:
        folder = self._profile / "grants"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _path(self, pending: PendingGrant) -> Path:
        return self._folder / f"{pending.index:08d}.sealed"

    def _read(self) -> list[PendingGrant]:
        """Return the unfinished grants that may yet be finished, oldest first, and forget the others."""
        paths = sorted(self._folder.glob("*.sealed"))
        if not paths:
            return []
        found = [self._open(path) for path in paths]
        known = self._network.mainchain.policies.policies_of([pending.grant.owner for pending in found])
        now = self._now()
        left = []
        for pending in found:
            policy = known.get(pending.grant.owner)
            # One that waits can be signed anew.
            last = pending.grant.expires_at - 1 if pending.due else pending.grant.deadline
            if policy is None and last < now:
                # It never came on chain and can't any more: nobody needs its terms.
                self._network.store.unpin(CID(RAW, pending.grant.terms))
                self._forget(pending)
            elif policy is not None and policy.terms != pending.grant.terms:
                _LOG.warning(
                    "another device of this patient's used the key of policy %s: grant again", policy.policy_id
                )
                self._forget(pending)
            elif policy is not None and has_ended(policy):
                self._forget(pending)
            else:
                left.append(pending)
        return left

    def _open(self, path: Path) -> PendingGrant:
        try:
            fields = dagcbor.decode(box.open_box(self._seed.receiving(), path.read_bytes(), labels.PENDING_GRANT))
            return _from_fields(fields)
        except (OSError, IntegrityError, KeyError, TypeError, ValueError) as exc:
            raise ConfigurationError(
                f"the unfinished grant {path} can't be read", hint="move it away, then grant again"
            ) from exc

    def _write(self, pending: PendingGrant) -> None:
        plain = dagcbor.encode(_fields(pending))
        sealed = box.seal_to(self._seed.receiving().public, plain, labels.PENDING_GRANT)
        self._store_file(self._path(pending), sealed)

    def _store_file(self, path: Path, content: bytes) -> None:
        try:
            write_private(path, content)
        except OSError as exc:
            raise DiskError(f"the profile can't be written: {exc.strerror}; nothing more was granted") from exc

    def _forget(self, pending: PendingGrant) -> None:
        self._path(pending).unlink(missing_ok=True)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for this patient's other programs: one policy number is for one grant."""
        with open(self._folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def has_ended(policy: OnChainPolicy) -> bool:
    """Tell whether a policy opens nothing, now or later."""
    return policy.status not in (PolicyStatus.ACTIVE, PolicyStatus.NOT_YET)


def policy_view(terms: Terms, policy: OnChainPolicy) -> PolicyView:
    """Return a policy as patient and grantee see it."""
    return PolicyView(
        policy_id=terms.policy_id,
        status=policy.status,
        patient=terms.patient,
        grantee=terms.grantee,
        scopes=tuple(dict.fromkeys(lane.scope.text for lane in terms.lanes)),
        purposes=tuple(purpose.value for purpose in terms.purposes),
        starts_at=terms.starts_at,
        expires_at=terms.expires_at,
        threshold=terms.threshold,
        proxies=len(terms.proxies),
        terms_cid=str(CID(RAW, policy.terms)),
        disclosed=policy.disclosure != SEALED,
    )


def _fields(pending: PendingGrant) -> dict[str, Any]:
    grant = pending.grant
    return {
        "v": _VERSION,
        "index": pending.index,
        "owner": str(grant.owner),
        "times": [grant.starts_at, grant.expires_at, grant.deadline],
        "disclosure": grant.disclosure.word.to_bytes(32, "big"),
        "view_tag": grant.view_tag,
        "announcement": grant.announcement,
        "signature": pending.signature,
        "terms": pending.sealed_terms,
        "shares": {str(who): list(kfrags) for who, kfrags in pending.shares.items()},
        "replaces": pending.replaces,
        "request": pending.request,
        "due": pending.due,
        "served": pending.served,
    }


def _from_fields(fields: Mapping[str, Any]) -> PendingGrant:
    if fields["v"] != _VERSION:
        raise ValueError("version")
    starts_at, expires_at, deadline = fields["times"]
    grant = Grant(
        owner=PolicyId(fields["owner"]),
        starts_at=starts_at,
        expires_at=expires_at,
        deadline=deadline,
        terms=CID.of(RAW, fields["terms"]).digest,
        disclosure=Disclosure.from_word(int.from_bytes(fields["disclosure"], "big")),
        view_tag=fields["view_tag"],
        announcement=fields["announcement"],
    )
    return PendingGrant(
        fields["index"],
        grant,
        fields["signature"],
        fields["terms"],
        {Address(who): tuple(kfrags) for who, kfrags in fields["shares"].items()},
        None if fields["replaces"] is None else PolicyId(fields["replaces"]),
        fields["request"],
        fields["due"],
        fields["served"],
    )
