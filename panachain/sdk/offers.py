"""Offers from a patient's words: names become accounts, times become a window, and proxies are chosen.

Makes no policy: sdk/grants.py does. Follows design section 8 (Grant) and section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from panachain.consent import proxy_sets
from panachain.consent.offer import Offer, disclosure_of, scopes_of
from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.model.policy import SEALED, ProxyRef
from panachain.records.jitter import coarse_window
from panachain.sdk.desks import keys_grantee
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicy
from panachain.sdk.times import Moment, duration, seconds
from panachain.sdk.words import Categories, Purposes, category_words, purpose_list

GRANTEES: Final = (Role.PRACTITIONER, Role.GROUP, Role.RESEARCHER)
"""Who can be granted a policy."""


class Offers:
    """Makes offers of one network's actors and proxies."""

    def __init__(self, network: Network) -> None:
        """Take the network, whose registries know everybody."""
        self._network = network

    def first(
        self,
        grantee: str,
        categories: Categories,
        years: Iterable[int],
        purpose: Purposes,
        *,
        until: Moment,
        starts: Moment | None = None,
        threshold: int | None = None,
        proxies: Sequence[str] = (),
        any_operator: bool = False,
        disclose: bool = False,
        data_use: int = 0,
        study: str = "",
        request: int | None = None,
        jitter: int | timedelta = 0,
    ) -> Offer:
        """Return the offer that a patient means; see `Patient.grant` for the arguments.

        Raises:
            UsageError: the choice doesn't fit.
            UnknownActorError: nobody has a name that was given.
        """
        scopes, purposes = scopes_of(category_words(categories), tuple(years)), purpose_list(purpose)
        if not purposes or ((data_use or study) and not disclose):
            raise UsageError("a grant needs a purpose, and only an open one has data-use codes or a study")
        now, wait = int(self._network.clock()), duration(jitter, name="jitter")
        # A grant that begins now begins by the mainchain, whose clock decides what is active.
        begins = self._network.chain_time()
        begins = begins if starts is None else seconds(starts, at=now, name="starts")
        expires_at = seconds(until, at=now, name="until")
        coarse = max(wait, self._network.config.jitter)
        if coarse:
            # Exact seconds would tell when the patient signed.
            begins, expires_at = coarse_window(begins, expires_at, jitter=coarse)
        who = self._network.resolve(grantee, *GRANTEES)
        threshold = threshold or self._network.threshold
        disclosure = SEALED
        if disclose:
            about = self._address_of(study) if study else None
            disclosure = disclosure_of(scopes, purposes, data_use=data_use, study=about)
        return Offer(
            grantee=who,
            scopes=scopes,
            purposes=purposes,
            starts_at=begins,
            expires_at=expires_at,
            threshold=threshold,
            proxies=self._choose(who, threshold, proxies, any_operator),
            disclosure=disclosure,
            request=request,
            jitter=wait,
        )

    def again(self, own: OwnPolicy, *, threshold: int | None, proxies: Sequence[str], any_operator: bool) -> Offer:
        """Return the offer that replaces a policy, to the same grantee's key of today.

        Args:
            own: an active policy, or one that is still to begin.
            threshold: how many proxies must help; None keeps the policy's.
            proxies: who holds shares; empty takes all that may.
            any_operator: take the named proxies although one operator could open alone.
        """
        terms = own.terms
        grantee = self._network.resolve(keys_grantee(self._network, terms), *GRANTEES)
        threshold = threshold or terms.threshold
        return Offer(
            grantee=grantee,
            scopes=tuple(dict.fromkeys(lane.scope for lane in terms.lanes)),
            purposes=terms.purposes,
            starts_at=terms.starts_at,
            expires_at=terms.expires_at,
            threshold=threshold,
            proxies=self._choose(grantee, threshold, proxies, any_operator),
            disclosure=own.on_chain.disclosure,
            replaces=own.policy_id,
            emergency=terms.is_for_emergencies,
            delay=terms.emergency_delay or 0,
        )

    def _choose(self, grantee: Actor, threshold: int, names: Sequence[str], any_operator: bool) -> tuple[ProxyRef, ...]:
        if names:
            named = [self._network.resolve(name, Role.PROXY) for name in dict.fromkeys(names)]
            return tuple(proxy_sets.check(named, grantee=grantee, threshold=threshold, any_operator=any_operator))
        registered = self._network.mainchain.actors.find(Role.PROXY)
        return tuple(proxy_sets.choose(registered, grantee=grantee, threshold=threshold))

    def _address_of(self, text: str) -> Address:
        """Return the address that a user named, also of somebody whom no registry knows."""
        return Address(text) if text.startswith("0x") else self._network.resolve(text).address
