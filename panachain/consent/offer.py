"""Offers: what a patient offers to whom, before keys come in.

An offer that exists is one that can be granted: its window isn't empty and its threshold fits its proxies. Does no
I/O: sdk/offers.py resolves names and chooses proxies. Follows design section 8 (Grant) and security rule 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, PolicyId
from panachain.model.emergencies import DELAYS, STEP
from panachain.model.policy import SEALED, Disclosure, ProxyRef, Terms
from panachain.model.scope import EMERGENCY, RESTRICTED, Category, Purpose, Scope

_SAME_END: Final = 86_400
"""Seconds by which the ends of two offers may differ that are the same one, asked for twice: `30d` means another second
each time."""


@dataclass(frozen=True)
class Offer:
    """What a patient offers to whom."""

    grantee: Actor
    scopes: tuple[Scope, ...]
    """Which lanes."""
    purposes: tuple[Purpose, ...]
    starts_at: int
    """Unix seconds, inclusive."""
    expires_at: int
    """Unix seconds, exclusive."""
    threshold: int
    """How many proxies must help, 2 <= threshold <= len(proxies)."""
    proxies: tuple[ProxyRef, ...]
    """Who gets shares."""
    disclosure: Disclosure = SEALED
    replaces: PolicyId | None = None
    """A policy that is revoked as soon as this one serves."""
    request: int | None = None
    """A request that is answered by it."""
    jitter: int = 0
    """Seconds that it waits at most, for a time that is drawn."""
    emergency: bool = False
    """Whether it is for emergencies alone: the grantee's keys open it, and the terms name the patient as the grantee.
    So proxies serve nobody but those for whom an emergency is active on the sidechain."""
    delay: int = 0
    """Seconds after an emergency's co-signature from which it opens; 0 for at once."""

    def __post_init__(self) -> None:
        """Check that it can be granted.

        Raises:
            UsageError: the window is empty, or the threshold doesn't fit.
        """
        if not self.starts_at < self.expires_at:
            raise UsageError(
                "the window is empty: the policy would end before it begins",
                hint="an end in the future, and after the beginning",
            )
        if self.delay and self.delay not in DELAYS:
            raise UsageError(
                f"what waits in an emergency waits a quarter of an hour to {DELAYS[-1] // 60} minutes, in steps of"
                f" {STEP // 60}, not {self.delay // 60} minutes: four hours after the second signature all is closed"
            )
        if not 2 <= self.threshold <= len(self.proxies):
            raise UsageError(
                f"threshold {self.threshold} doesn't fit {len(self.proxies)} proxies: 2 <= threshold <= proxies"
            )

    def is_that_of(self, terms: Terms) -> bool:
        """Tell whether terms were made of this offer, or of the same one a moment earlier."""
        return (
            terms.key_digest == self.grantee.key_digest
            and (terms.emergency_delay == self.delay if self.emergency else terms.grantee == self.grantee.address)
            and {lane.scope for lane in terms.lanes} == set(self.scopes)
            and (terms.purposes, terms.threshold) == (self.purposes, self.threshold)
            and [proxy.address for proxy in terms.proxies] == [proxy.address for proxy in self.proxies]
            and abs(terms.expires_at - self.expires_at) <= _SAME_END
        )


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
            # Restricted categories lie outside `all`: each is granted by its own name.
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
