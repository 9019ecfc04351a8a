"""A grant on its way, with all that finishing it needs: what a patient's profile keeps of it, for them alone.

Does no I/O and takes no step: sdk/grants.py does. Follows docs/spec/formats.md (`panachain/pending-grant/2`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from panachain.consent.grant import PreparedGrant
from panachain.consent.life import State, state_of
from panachain.consent.offer import Offer
from panachain.consent.terms import open_terms
from panachain.crypto import kdf, labels, padding, stream
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Disclosure, OnChainPolicy, Terms
from panachain.model.transactions import Grant

_VERSION: Final = 2


@dataclass(frozen=True)
class PendingGrant:
    """One grant, with everything that finishing it needs."""

    index: int
    """Number of the policy among the patient's."""
    grant: Grant
    """What the policy's one-time key signs."""
    signature: bytes
    """By that key, 65 bytes."""
    terms: Terms
    """Verified: the patient signed them."""
    sealed_terms: bytes
    shares: Mapping[Address, Sequence[bytes]] = field(repr=False)
    """For each proxy that hasn't taken its share yet, a kfrag for each lane of the terms."""
    replaces: PolicyId | None = None
    request: int | None = None
    due: int = 0
    """When it may be sent, Unix seconds; 0 for at once."""
    served: bool = False
    """Whether the patient has their answer, and only shares are left: the same call then asks for another policy."""
    replacing: bool = False
    """Whether taking back what it replaces has begun, so that a revocation of that one may be this grant's own."""
    marked: bool = True
    """Whether that revocation's signature says that it is this grant's own (ADR 85); programs of before signed none."""

    @classmethod
    def of(cls, offer: Offer, prepared: PreparedGrant, *, due: int) -> PendingGrant:
        """Return the grant of an offer, still without a deadline and a signature."""
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
        return cls(prepared.index, grant, b"", terms, prepared.sealed_terms, shares, offer.replaces, offer.request, due)

    @property
    def policy_id(self) -> PolicyId:
        """The policy that it becomes."""
        return self.grant.owner

    @property
    def lacking(self) -> int:
        """How many proxies lack their share."""
        return len(self.shares)

    @property
    def held(self) -> int:
        """How many proxies took their share."""
        return len(self.terms.proxies) - len(self.shares)

    def state(self, on_chain: OnChainPolicy | None, now: int) -> State:
        """Return where it is on its way.

        Args:
            on_chain: what the chain says of its policy; None if it doesn't know it.
            now: the time of the chain's newest block, Unix seconds.
        """
        return state_of(
            on_chain,
            terms=self.grant.terms,
            due=self.due,
            deadline=self.grant.deadline,
            expires_at=self.grant.expires_at,
            held=self.held,
            threshold=self.terms.threshold,
            proxies=len(self.terms.proxies),
            answered=self.served,
            now=now,
        )

    def is_for(self, offer: Offer) -> bool:
        """Tell whether this is the grant of an offer that is made again."""
        return (
            offer.is_that_of(self.terms)
            and self.grant.disclosure.word == offer.disclosure.word
            and (self.replaces, self.request) == (offer.replaces, offer.request)
        )

    def without_shares_of(self, proxies: Collection[Address]) -> PendingGrant:
        """Return the grant after some proxies took their shares."""
        return replace(self, shares={who: kfrags for who, kfrags in self.shares.items() if who not in proxies})


def seal_pending(pending: PendingGrant, seed: Seed) -> bytes:
    """Return a grant on its way, for its patient alone."""
    grant = pending.grant
    fields = {
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
        "replacing": pending.replacing,
        "marked": pending.marked,
    }
    return stream.seal(padding.pad(dagcbor.encode(fields)), _key(seed), labels.PENDING_GRANT)


def open_pending(sealed: bytes, seed: Seed) -> PendingGrant:
    """Open a grant on its way, and check that its terms are this patient's and of this policy.

    Raises:
        IntegrityError: this patient didn't seal it, the terms aren't theirs, or a field is missing or wrong.
    """
    fields = dagcbor.decode(padding.unpad(stream.open_(sealed, _key(seed), labels.PENDING_GRANT)))
    try:
        return _from_fields(fields, seed)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise IntegrityError("the pending grant lacks a field or has one of the wrong type") from exc


def _key(seed: Seed) -> bytes:
    # What only its writer reads needs no public key: it is as good against a quantum computer, and shorter.
    return kdf.derive(seed.store_key(), labels.PENDING_GRANT)


def _from_fields(fields: Mapping[str, Any], seed: Seed) -> PendingGrant:
    if fields["v"] != _VERSION:
        raise IntegrityError(f"a pending grant of version {fields['v']}, expected {_VERSION}")
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
    terms = open_terms(fields["terms"], seed.sealing(), own=True).verified(
        policy_id=grant.owner, patient_verifying_key=seed.signer().public
    )
    return PendingGrant(
        index=fields["index"],
        grant=grant,
        signature=fields["signature"],
        terms=terms,
        sealed_terms=fields["terms"],
        shares={Address(who): tuple(kfrags) for who, kfrags in fields["shares"].items()},
        replaces=None if fields["replaces"] is None else PolicyId(fields["replaces"]),
        request=fields["request"],
        due=fields["due"],
        served=fields["served"],
        # Files of before lack it: what it was to replace was then revoked by whoever revoked it.
        replacing=fields.get("replacing", False),
        marked=fields.get("marked", not fields.get("replacing", False)),
    )
