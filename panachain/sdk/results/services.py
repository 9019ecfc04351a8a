"""How the public services of a network are, as anybody sees them."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.model.actors import Address


@dataclass(frozen=True)
class ProxyState:
    """One registered proxy."""

    address: Address
    operator: Address | None
    """Who runs it, as the registry says."""
    endpoint: str
    active: bool
    """Whether the registrar didn't suspend it."""
    anchored: int
    """Receipts of its log up to which the head is anchored on the mainchain; 0 for none."""
    convictions: int
    """Proofs on chain that it served what it mustn't, or keeps two histories."""
    problem: str = ""
    """Why it is of no use now, or isn't believed; empty if it is ready."""
    sequence: int | None = None
    """Receipts in its log, as its signed head says; None if it gives none that can be believed."""
    head: str = ""
    """Hex of that head."""
    head_age: int | None = None
    """Seconds since the newest block that it sees; None if it doesn't say."""
    served: int | None = None
    """cfrags that it handed out since it was started; None if it doesn't say."""
    refused: int | None = None
    """Requests that it refused since it was started; None if it doesn't say."""

    @property
    def is_ready(self) -> bool:
        """Whether it can serve."""
        return self.active and not self.problem


@dataclass(frozen=True)
class RelayState:
    """One relay, which pays for what others signed."""

    url: str
    kind: str
    """`policies` for grants and revocations, `sidechain` for what persons do there."""
    problem: str = ""
    """Why it is of no use now; empty if it is ready."""
    gas_left: int | None = None
    """Of its budget; None if it doesn't say."""
    waiting: int | None = None
    """Orders that aren't mined yet; None if it doesn't say."""


@dataclass(frozen=True)
class GateState:
    """The door before one node of the sidechain."""

    url: str
    refuses: bool
    """Whether a stranger gets no answer, as it must be."""
    detail: str


@dataclass(frozen=True)
class StoreState:
    """The store that this machine uses."""

    name: str
    problem: str
    """Why it is of no use now; empty if it answers."""
    holds: bool
    """Whether it holds any block."""


@dataclass(frozen=True)
class ServicesView:
    """All public services of a network."""

    at: int
    """When they were asked, Unix seconds."""
    proxies: tuple[ProxyState, ...]
    relays: tuple[RelayState, ...]
    gates: tuple[GateState, ...]
    store: StoreState
    threshold: int
    """Proxies that are needed for an opening."""

    @property
    def ready(self) -> int:
        """How many proxies can serve."""
        return sum(one.is_ready for one in self.proxies)
