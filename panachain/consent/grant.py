"""Grant: from an offer to a policy's keys, kfrags and sealed terms.

Does no I/O: sdk/grants.py writes down, stores, relays and hands out what is made here.
Follows design section 8 (Grant) and security rules 2 and 8: one delegating key per lane, 2 <= t <= n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from panachain.consent.offer import Offer
from panachain.consent.terms import seal_terms
from panachain.crypto import keys, notice, umbral
from panachain.ethereum import checksum_address
from panachain.model.actors import Address, PolicyId
from panachain.model.emergencies import waiting_account
from panachain.model.policy import GrantedLane, Terms
from panachain.model.scope import Generations


@dataclass(frozen=True)
class PreparedGrant:
    """A policy that is ready to be stored, granted on chain and deposited."""

    index: int
    """Number of the policy among the patient's: its one-time keys are derived from it."""
    terms: Terms
    sealed_terms: bytes
    account_key: bytes = field(repr=False)
    """The policy's one-time account key, 32 bytes."""
    kfrags: tuple[tuple[bytes, ...], ...] = field(repr=False)
    """For each proxy of the terms, one kfrag for each lane of the terms."""
    announcement: bytes
    """The notice's one-time key, as the chain shows it, 32 bytes."""
    view_tag: int


def prepare_grant(
    seed: keys.Seed,
    offer: Offer,
    *,
    index: int,
    patient: Address,
    generations: Generations,
    hospitals: Sequence[Address] = (),
) -> PreparedGrant:
    """Make a policy's one-time keys, its kfrags and its sealed terms.

    Args:
        seed: the patient's.
        offer: what to grant, and to whom; the grantee comes with their keys.
        index: number of the policy; never used before.
        patient: the patient's account.
        generations: of the patient's lanes; a policy covers all of them, since each holds the records of its time.
        hospitals: whom the patient is or was paired with.
    """
    # 1. The policy's own keys: an account that owns it on chain, and a signer of its kfrags.
    account_key = seed.policy_account(index)
    signer = seed.policy_signer(index)
    grantee, shares = offer.grantee, len(offer.proxies)
    # 2. Kfrags: each lane, at each of its generations, is delegated by itself.
    lanes: list[GrantedLane] = []
    secrets: list[umbral.SecretKey] = []
    for scope, generation in [(one, number) for one in offer.scopes for number in generations.of(one)]:
        # A key for each lane: whoever colludes with t proxies computes the delegating key, so it must open this lane
        # only.
        secret = seed.lane(scope, generation)
        locator_key, pepper = seed.locator_key(scope, generation), seed.pepper(scope, generation)
        lanes.append(GrantedLane(scope, generation, secret.public, locator_key, pepper))
        secrets.append(secret)
    by_lane = umbral.delegate_many(secrets, grantee.receiving_key, signer, threshold=offer.threshold, shares=shares)
    # Turned around, because a proxy gets its share of every lane in one deposit.
    kfrags = tuple(tuple(lane[share] for lane in by_lane) for share in range(shares))
    # 3. The terms, signed by the patient and sealed to the grantee and to the patient.
    terms = Terms(
        policy_id=PolicyId(keys.address_of(account_key)),
        patient=patient,
        grantee=_named(offer, patient),
        key_digest=grantee.key_digest,
        receiving_key=grantee.receiving_key,
        verifying_key=signer.public,
        purposes=offer.purposes,
        starts_at=offer.starts_at,
        expires_at=offer.expires_at,
        threshold=offer.threshold,
        proxies=offer.proxies,
        lanes=tuple(lanes),
        audit_key=seed.audit().public,
        kfrag_digests=tuple(hashlib.sha256(kfrag).digest() for lane in by_lane for kfrag in lane),
        hospitals=tuple(hospitals),
    )
    sealed = seal_terms(terms, grantee_key=grantee.sealing_key, patient_key=seed.sealing().public, signer=seed.signer())
    # 4. The notice, by which the grantee finds the policy on chain.
    announcement, view_tag = notice.announce(grantee.receiving_key, terms.policy_id)
    return PreparedGrant(index, terms, sealed, account_key, kfrags, announcement, view_tag)


def _named(offer: Offer, patient: Address) -> Address:
    """Return to whom the terms say that it is granted."""
    if not offer.emergency:
        return offer.grantee.address
    # In an emergency nobody reads by name: whoever the sidechain names as acting for this patient does.
    return checksum_address(waiting_account(patient, offer.delay)) if offer.delay else patient
