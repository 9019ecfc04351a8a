"""Taking a policy back: the signed revocation goes to everybody who can act on it, at once and side by side.

Asks nobody before it sends, and believes nobody who says that it is done: that takes a proof. A recipient that fails,
lies or hangs holds up no other. Follows security rule 19 and ADR 15, design section 8 (Revoke, R1 and R2).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from panachain.chain.evm import Receipt as Mined
from panachain.errors import PanaChainError, PolicyUnknownError, RelaysUnavailableError, UnavailableError
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import PolicyStatus, ProxyRef, Receipt, Terms
from panachain.model.progress import Progress
from panachain.model.transactions import Revocation
from panachain.proxy.race import Failure
from panachain.sdk.network import Network
from panachain.sdk.proxies import Proxies

LOOKING: Final = 15.0
"""Seconds that reading the terms, or the registry, may take while the revocation is on its way already."""
PROVING: Final = 45.0
"""Seconds that reading the proof may take, once everybody has been told."""
SENDING: Final = 60.0
"""Seconds that relays and nodes get at most."""
_LOG: Final = logging.getLogger("panachain.revocations")
T = TypeVar("T")


@dataclass(frozen=True)
class TakenBack:
    """What taking a policy back has brought about."""

    tx: str = ""
    """Hash of the transaction; empty if this call sent none, or none is known yet."""
    gas: int = 0
    receipts: tuple[Receipt, ...] = ()
    """Of the proxies that deleted their shares, this time."""
    unreachable: tuple[str, ...] = ()
    """Why each of the others gave none, one line each."""
    proven: bool = False
    """Whether the chain proves the revocation."""
    unsent: tuple[str, ...] = ()
    """Why relays and nodes didn't take it, one line each, where the chain doesn't prove it."""
    taken: int = 0
    """How many relays, nodes and proxies say they took it."""
    alarms: Mapping[Address, str] = field(default_factory=dict)
    """Proxies that answered, and wouldn't delete."""

    def check_taken(self, policy_id: PolicyId, *, hint: str) -> None:
        """Check that somebody took the revocation, or that the chain proves it.

        Args:
            policy_id: whose revocation it is.
            hint: what to do next if nobody did.

        Raises:
            RelaysUnavailableError: nobody did.
        """
        if not self.proven and not self.taken:
            why = "; ".join((*self.unsent, *self.unreachable))
            raise RelaysUnavailableError(f"nobody took the revocation of policy {policy_id}: {why}", hint=hint)


class Background(Generic[T]):
    """One piece of work on its own thread, for which nobody waits longer than they say."""

    def __init__(self, work: Callable[[], T]) -> None:
        """Begin it."""
        self._result: list[T] = []
        self.error: PanaChainError | None = None

        def run() -> None:
            try:
                self._result.append(work())
            except PanaChainError as exc:
                self.error = exc
            except Exception as exc:  # noqa: BLE001 - a fault of one way must not close the others.
                _LOG.error("unforeseen %s", type(exc).__name__)
                self.error = UnavailableError(f"unforeseen {type(exc).__name__}")

        # The program's end doesn't wait for it: whom it asks may hang for as long as it likes.
        self._thread = threading.Thread(target=run, name="revocation", daemon=True)
        self._thread.start()

    def result(self, seconds: float) -> T | None:
        """Return what came of it, or None if it failed, or isn't done in time."""
        self._thread.join(seconds)
        return self._result[0] if self._result else None

    @property
    def is_over(self) -> bool:
        """Whether it succeeded or failed."""
        return not self._thread.is_alive()


def results(works: Collection[Background[T]], seconds: float) -> list[T | None]:
    """Return what came of each piece of work, None as `Background.result` says; all of them share the same seconds."""
    until = time.monotonic() + seconds
    return [work.result(max(until - time.monotonic(), 0)) for work in works]


def take_back(
    network: Network,
    proxies: Proxies,
    revocation: Revocation,
    *,
    terms: Callable[[], Terms],
    on_chain: bool = True,
    seconds: float = SENDING,
    progress: Progress | None = None,
) -> TakenBack:
    """Send a signed revocation to every relay, node and proxy, and look whether the chain proves it.

    Args:
        network: with the relays and the chain.
        proxies: as whoever submits it talks to them.
        revocation: signed by the policy's one-time key.
        terms: returns the policy's terms, which say who holds shares; where nobody can tell, all proxies are asked.
        on_chain: send it to relays and nodes too; False where the chain has proven it.
        seconds: that relays and nodes get; what they do later counts too, and nobody waits for it.
        progress: is told the proxies that deleted, once all of them were asked, and then the proof.
    """
    # R1: on its way before anything is asked.
    policy_id = revocation.policy_id
    sent = Background(lambda: network.relay().revoke(policy_id, revocation.signature)) if on_chain else None
    # R2: each proxy deletes its share by the signature itself, and signs that it did.
    receipts, failures = proxies.delete(_holders(network, terms), revocation)
    if progress is not None:
        progress(len(receipts), len(receipts) + len(failures), unit="proxies")
    mined = sent.result(seconds) if sent is not None else None
    looking = Background(lambda: proof_of(network, revocation))
    proof = looking.result(PROVING)
    if progress is not None:
        progress(int(proof is not None), 1, unit="proofs")
    alarms = {failure.proxy.address: str(failure.error) for failure in failures if _is_alarm(failure)}
    made = mined or proof
    return TakenBack(
        tx=made.tx_hash if made is not None and on_chain else "",
        gas=made.gas_used if made is not None and on_chain else 0,
        receipts=tuple(receipts),
        unreachable=tuple(map(str, failures)),
        proven=proof is not None,
        unsent=() if proof is not None else tuple(_reasons(sent, looking)),
        taken=len(receipts) + _taken(sent),
        alarms=alarms,
    )


def proof_of(network: Network, revocation: Revocation) -> Mined | None:
    """Return the transaction that revoked a policy, if the chain proves that one did.

    Raises:
        PanaChainError: the chain can't be read, or a node lies.
    """
    policies, policy_id = network.mainchain.policies, revocation.policy_id
    try:
        if policies.policy_of(policy_id).status is not PolicyStatus.REVOKED:
            return None
    except PolicyUnknownError:
        return None
    event = next(policies.events(policy_ids=[policy_id], kind="PolicyRevoked"), None)
    if event is None:
        return None
    # The event by its block's receipts, and the slot by the state: both under a head that is agreed on.
    network.revocations.check(event)
    return Mined(event.tx_hash, event.block, 0)


def _holders(network: Network, terms: Callable[[], Terms]) -> Sequence[ProxyRef]:
    """Return the proxies of a policy where they answer now, or all proxies, as far as that can be told in time."""
    found = Background(terms).result(LOOKING)
    if found is None:
        return Background(lambda: _everybody(network)).result(LOOKING) or ()
    # The registry may say where a proxy went; without it the terms say where it was.
    return Background(lambda: network.reachable(found.proxies)).result(LOOKING) or found.proxies


def _everybody(network: Network) -> list[ProxyRef]:
    """Return all proxies that are registered, also those that are suspended: they may hold a share from before."""
    return [ProxyRef.of(actor) for actor in network.mainchain.actors.find(Role.PROXY)]


def _is_alarm(failure: Failure) -> bool:
    """Tell whether a proxy answered and wouldn't delete; one that is down, or never had a share, did nothing wrong."""
    return not isinstance(failure.error, UnavailableError | PolicyUnknownError)


def _reasons(sent: Background[Mined] | None, looking: Background[Mined | None]) -> Iterator[str]:
    """Yield why a revocation isn't proven."""
    if sent is not None:
        if sent.error is not None:
            yield str(sent.error)
        else:
            yield (
                "a relay says it is done, but the chain doesn't prove it"
                if sent.is_over
                else "no relay answered in time"
            )
    if looking.error is not None:
        yield f"no proof: {looking.error}"
    elif not looking.is_over:
        yield f"no proof within {PROVING:.0f} s"


def _taken(sent: Background[Mined] | None) -> int:
    if sent is None or not sent.is_over:
        return 0
    return sent.error.taken if isinstance(sent.error, RelaysUnavailableError) else int(sent.error is None)
