"""Which proxies may hold the shares of a policy: no operator alone, and not the grantee's own, may open or refuse it.

Knows no network. Follows design section 3 and ADR 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Status
from panachain.model.policy import ProxyRef


def operator_of(proxy: Actor) -> Address:
    """Return who runs a proxy: its operator organisation, or itself where the registry names none."""
    return proxy.organisation or proxy.address


def choose(proxies: Sequence[Actor], *, grantee: Actor, threshold: int) -> list[ProxyRef]:
    """Return those of the active proxies that may hold shares, in their order.

    At most threshold - 1 of one operator, so that none can open alone; none of the grantee's own organisation, which
    has an interest.

    Args:
        proxies: the registered ones.
        grantee: who shall read.
        threshold: how many must help.

    Raises:
        UsageError: fewer than the threshold are left.
    """
    counts: Counter[Address] = Counter()
    chosen: list[Actor] = []
    # A grantee without an organisation may run proxies under the very same account.
    own = grantee.organisation or grantee.address
    for proxy in proxies:
        operator = operator_of(proxy)
        if proxy.status is not Status.ACTIVE or operator == own or counts[operator] >= threshold - 1:
            continue
        counts[operator] += 1
        chosen.append(proxy)
    if len(chosen) < threshold:
        raise UsageError(
            f"{len(chosen)} of {len(proxies)} proxies may hold shares, {threshold} are needed: at most {threshold - 1}"
            " of one operator, and none of the grantee's own organisation",
            hint="choose a lower --threshold, or name proxies with --proxy and --any-operator",
        )
    return refs(chosen)


def check(proxies: Sequence[Actor], *, grantee: Actor, threshold: int, any_operator: bool = False) -> list[ProxyRef]:
    """Check proxies that the patient named.

    Args:
        proxies: the named ones.
        grantee: who shall read.
        threshold: how many must help.
        any_operator: the patient knows that one operator could open alone, or is the grantee's own, and wants it.

    Raises:
        UsageError: one is suspended, or they break the rule of `choose`.
    """
    for proxy in proxies:
        if proxy.status is not Status.ACTIVE:
            raise UsageError(f"proxy {proxy.address} is {proxy.status.name.lower()}")
    # The same rule for named proxies: it must leave every one of them.
    if not any_operator and len(choose(proxies, grantee=grantee, threshold=threshold)) < len(proxies):
        raise UsageError(
            f"{threshold} or more of the named proxies have one operator, or one is of the grantee's own organisation",
            hint="name others, or add --any-operator if you trust them with it",
        )
    return refs(proxies)


def refs(proxies: Sequence[Actor]) -> list[ProxyRef]:
    """Return what a policy keeps of its proxies."""
    return [ProxyRef.of(one) for one in proxies]
