"""What happened on a chain, newest first and page by page: from this machine's checked copy, for people who look.

Never asks a node but for what is new, and for one proof that somebody wants. Follows design section 6 and
docs/spec/follower.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from panachain.errors import UsageError
from panachain.ethereum import checksum_address
from panachain.model.actors import Address
from panachain.model.block import Block
from panachain.model.storage_transactions import ProvenHead

if TYPE_CHECKING:
    from panachain.chain.bound import Contracts
    from panachain.sdk.network import Network

CHAINS: Final = ("mainchain", "sidechain")
CONTRACTS: Final = (
    *("ActorRegistry", "RecordLedger", "PolicyRegistry", "AccessLog", "Checkpoints"),
    *("IdentityRegistry", "AccessRequests", "CareGroups", "EmergencyAccess", "Wardships"),
)
"""Whose events tell people something: not those of the forwarder, which say once more what another contract says."""
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_UNTOLD: Final = frozenset({"AuthorityUpdated", "EIP712DomainChanged"})
"""Events of the deployment."""
_WINDOW: Final = 512
"""Blocks that are looked at first, from the newest on; four times as many whenever they hold too little."""


@dataclass(frozen=True)
class Happening:
    """One event, with its place on the chain."""

    chain: str
    """One of `CHAINS`."""
    contract: str
    event: str
    """Its name in the ABI, such as `RecordsStored`."""
    values: Mapping[str, Any]
    """Its fields by name; addresses are checksummed, bytes are bytes."""
    block: int
    block_hash: str
    time: int
    """Of its block, Unix seconds."""
    tx_hash: str
    index: int
    """Position within the block."""

    @property
    def people(self) -> tuple[str, ...]:
        """Whom its fields name by their accounts."""
        return tuple(value for name, value in self.values.items() if name in _ACCOUNTS and isinstance(value, str))


_ACCOUNTS: Final = frozenset(
    {"account", "hospital", "proxy", "organisation", "requester", "patient", "group", "manager", "member"}
    | {"practitioner", "cosigner", "successor", "guardian"}
)


@dataclass(frozen=True)
class ChainPage:
    """Some of what happened, newest first; whole blocks only."""

    head: Block
    """The newest block that this machine's copy has."""
    happenings: tuple[Happening, ...]
    before: int | None
    """What the next page asks for as `before`; None where there is nothing older."""


def chain_page(network: Network, chain: str, *, before: int | None = None, least: int = 50) -> ChainPage:
    """Return what happened last on a chain.

    Args:
        network: the one whose copies are read.
        chain: `mainchain` or `sidechain`.
        before: only what stands in blocks below this one; None begins at the newest.
        least: how many events a page has at least, if there are as many; whole blocks make it more.

    Raises:
        UsageError: there is no such chain.
        ChainUnavailableError: no node says what is new, or the chain's gate doesn't admit this machine.
    """
    contracts = _contracts(network, chain)
    head = contracts.head_block()
    last = head.number if before is None else min(before - 1, head.number)
    first, window = last + 1, _WINDOW
    found: list[Happening] = []
    while first > contracts.from_block and len(found) < least:
        upto, first = first - 1, max(contracts.from_block, first - window)
        found = [*_between(contracts, chain, first, upto), *found]
        window *= 4
    found.sort(key=lambda one: (one.block, one.index), reverse=True)
    if len(found) > least:
        # Whole blocks: the next page begins below one.
        end = found[least - 1].block
        return ChainPage(head, tuple(one for one in found if one.block >= end), end)
    return ChainPage(head, tuple(found), None)


def happening_at(network: Network, chain: str, block: int, index: int) -> Happening:
    """Return the event at one place of a chain.

    Raises:
        UsageError: there is no such chain, or nothing of PanaChain's stands there.
    """
    contracts = _contracts(network, chain)
    # A look for what is new: the block must be one that the copy has.
    if contracts.from_block <= block <= contracts.head_block().number:
        for found in _between(contracts, chain, block, block):
            if found.index == index:
                return found
    raise UsageError(f"nothing of PanaChain's stands at block {block}, place {index} of the {chain}")


def prove_history(network: Network, hospital: Address) -> ProvenHead:
    """Return a hospital's history as a block's state root proves it: the node is asked now, and not believed.

    Raises:
        IntegrityError: the proof doesn't fit the block.
        ChainUnavailableError: no node answers.
    """
    return network.mainchain.ledger.prove_head(hospital)


def _contracts(network: Network, chain: str) -> Contracts:
    if chain not in CHAINS:
        raise UsageError(f"there is no chain {chain!a}: the chains are {' and '.join(CHAINS)}")
    return network.mainchain if chain == "mainchain" else network.sidechain


def _between(contracts: Contracts, chain: str, first: int, last: int) -> list[Happening]:
    times: dict[int, int] = {}

    def time_of(number: int) -> int:
        if number not in times:
            times[number] = contracts.block(number).time
        return times[number]

    return [
        Happening(
            chain,
            name,
            event.name,
            {field: _spelled(field, value) for field, value in event.values.items()},
            event.block,
            event.block_hash,
            time_of(event.block),
            event.tx_hash,
            event.index,
        )
        for name in CONTRACTS
        if name in contracts.addresses
        for event in contracts.bind(name).events(from_block=first, to_block=last)
        if event.name not in _UNTOLD
    ]


def _spelled(field: str, value: Any) -> Any:
    """Return an address in its one spelling, by which this machine knows names; anything else as it is."""
    if field in _ACCOUNTS and isinstance(value, str) and _ADDRESS.fullmatch(value):
        return checksum_address(bytes.fromhex(value[2:]))
    return value
