"""Grant: from a choice (who, what, why, until when) to a policy's keys, kfrags and sealed terms.

Does no I/O: sdk/patient.py stores, relays and deposits what is made here.
Follows design section 8 (Grant) and security rules 2 and 8: one delegating key per lane, 2 <= t <= n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from panachain.consent.terms import seal_terms
from panachain.crypto import keys, notice, umbral
from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, PolicyId
from panachain.model.policy import Disclosure, GrantedLane, ProxyRef, Terms
from panachain.model.scope import EMERGENCY, RESTRICTED, Category, Generations, Purpose, Scope


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
    announcement: bytes = bytes(32)
    """The notice's one-time key, as the chain shows it, 32 bytes."""
    view_tag: int = 0


def scopes_of(categories: Iterable[str], years: Sequence[int] = ()) -> tuple[Scope, ...]:
    """Return the scopes that a choice of categories and years means.

    Args:
        categories: category names, or `all`, or `emergency`.
        years: narrows each category to these years; empty means every year, past and future.

    Raises:
        UsageError: an unknown category, nothing chosen, or years together with `all`.
    """
    scopes: list[Scope] = []
    for name in categories:
        if name in ("all", "emergency"):
            if years:
                raise UsageError(f"years can't narrow {name!r}: name the categories")
            scopes.append(Scope.parse(name))
        elif years:
            scopes += [Scope.of(Category.parse(name), year) for year in years]
        else:
            scopes.append(Scope.of(Category.parse(name)))
    if not scopes:
        raise UsageError("a grant needs at least one category")
    return tuple(dict.fromkeys(scopes))


def prepare_grant(
    seed: keys.Seed,
    *,
    index: int,
    patient: Address,
    grantee: Actor,
    scopes: Sequence[Scope],
    generations: Generations,
    purposes: Sequence[Purpose],
    starts_at: int,
    expires_at: int,
    threshold: int,
    proxies: Sequence[ProxyRef],
) -> PreparedGrant:
    """Make a policy's one-time keys, its kfrags and its sealed terms.

    Args:
        seed: the patient's.
        index: number of the policy; never used before.
        patient: the patient's account.
        grantee: who shall read.
        scopes: which lanes.
        generations: of the patient's lanes; a policy covers all of them, since each holds the records of its time.
        purposes: for what.
        starts_at: Unix seconds, inclusive.
        expires_at: Unix seconds, exclusive.
        threshold: how many proxies must help, 2 <= threshold <= len(proxies).
        proxies: who gets kfrags.

    Raises:
        UsageError: the window is empty, or the threshold doesn't fit.
    """
    if not starts_at < expires_at:
        raise UsageError(f"the window is empty: it starts at {starts_at} and ends at {expires_at} (Unix seconds)")
    if not 2 <= threshold <= len(proxies):
        raise UsageError(f"threshold {threshold} doesn't fit {len(proxies)} proxies: 2 <= threshold <= proxies")
    account_key = seed.policy_account(index)
    signer = seed.policy_signer(index)
    lanes: list[GrantedLane] = []
    by_lane: list[list[bytes]] = []
    for scope, generation in [(one, number) for one in scopes for number in generations.of(one)]:
        secret = seed.lane(scope, generation)
        lanes.append(GrantedLane(scope, generation, secret.public, seed.locator_key(scope, generation)))
        by_lane.append(umbral.delegate(secret, grantee.receiving_key, signer, threshold=threshold, shares=len(proxies)))
    kfrags = tuple(tuple(lane[share] for lane in by_lane) for share in range(len(proxies)))
    terms = Terms(
        policy_id=PolicyId(keys.address_of(account_key)),
        patient=patient,
        grantee=grantee.address,
        receiving_key=grantee.receiving_key,
        verifying_key=signer.public,
        purposes=tuple(purposes),
        starts_at=starts_at,
        expires_at=expires_at,
        threshold=threshold,
        proxies=tuple(proxies),
        lanes=tuple(lanes),
        audit_key=seed.audit().public,
        kfrag_digests=tuple(hashlib.sha256(kfrag).digest() for lane in by_lane for kfrag in lane),
    )
    sealed = seal_terms(terms, patient_key=seed.receiving().public, signer=seed.signer())
    announcement, view_tag = notice.announce(grantee.receiving_key, terms.policy_id)
    return PreparedGrant(index, terms, sealed, account_key, kfrags, announcement, view_tag)


def disclosure_of(
    scopes: Iterable[Scope], purposes: Iterable[Purpose], *, data_use: int = 0, study: Address | None = None
) -> Disclosure:
    """Return what an open policy tells everybody: purposes and categories, never years or people.

    Args:
        scopes: of the policy.
        purposes: of the policy.
        data_use: DUO codes as bits (docs/spec/formats.md).
        study: a study's account.
    """
    categories: set[Category] = set()
    for scope in scopes:
        if scope == Scope.all():
            categories |= set(Category) - RESTRICTED
        elif scope == Scope.emergency():
            categories |= EMERGENCY
        else:
            categories.add(Category.parse(scope.text.partition("/")[0]))
    return Disclosure(
        purposes=sum(purpose.bit for purpose in set(purposes)),
        categories=sum(category.bit for category in categories),
        data_use=data_use,
        study=study,
    )
