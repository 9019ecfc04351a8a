"""What our contracts keep, read from their storage and proven under a header, whatever a node says of them.

Registries keep the digest of each person's key block, and a commitment to a public actor's: what an event says is
compared with it. Where the
slots lie is part of the contracts' interfaces (docs/spec/formats.md, section "Storage"). Decides nothing: what a key, a
role or a status is needed for, its caller knows.
Follows EIP-1186 (eth_getProof) and Solidity's layout of state variables in storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from panachain.chain.abi import address
from panachain.chain.contracts import actor_registry, identity_registry
from panachain.chain.headers import Header
from panachain.chain.proofs import mapping_slot
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status

if TYPE_CHECKING:
    from panachain.chain.bound import Contracts

_ACTORS: Final = 1
"""`ActorRegistry`: account → one slot; slot 0 is AccessManaged's authority, here and in the sidechain's contracts."""
_IDENTITIES: Final = 1
"""`IdentityRegistry`: account → two slots."""
_GROUPS: Final = 1
"""`CareGroups`: group → two slots."""
_POLICIES: Final = 2
"""`PolicyRegistry`: policy → one slot, above the two of EIP712's names."""
_ADDRESS: Final = (1 << 160) - 1
_TIME: Final = (1 << 48) - 1
_STATUSES: Final = {status.value: status for status in Status}


@dataclass(frozen=True)
class KeptActor:
    """What a registry keeps of a public actor or a person."""

    role: Role | None
    """None for who isn't registered."""
    status: Status
    commitment: bytes
    """To the key block; see `commitment_of`."""
    organisation: Address | None = None
    """Of a person; a public actor's is in the commitment."""

    def fits(self, actor: Actor) -> bool:
        """Tell whether an actor's role, keys and organisation are those that the registry keeps."""
        return (self.role, self.commitment) == (actor.role, commitment_of(actor)) and (
            actor.role not in _PERSONS or self.organisation == actor.organisation
        )


@dataclass(frozen=True)
class KeptGroup:
    """What CareGroups keeps of a group."""

    manager: Address | None
    """None where there is no such group."""
    closed: bool
    generation: int
    """Of the keys: 0 for those that the group's address commits to."""
    organisation: Address | None

    @property
    def status(self) -> Status:
        """How a group of this kind is shown: a closed one is suspended."""
        return Status.SUSPENDED if self.closed else Status.ACTIVE

    def fits(self, group: Actor) -> bool:
        """Tell whether a group is one of as many keys, of this organisation."""
        return self.manager is not None and (
            (self.generation, self.organisation) == (len(group.earlier_keys), group.organisation)
        )


@dataclass(frozen=True)
class KeptPolicy:
    """What PolicyRegistry keeps of a policy; Unix seconds."""

    starts_at: int
    expires_at: int
    """0 where it was never granted."""
    revoked_at: int
    """0 where it isn't revoked."""


_PERSONS: Final = frozenset(identity_registry.ROLES.values())


def prove_actors(chain: Contracts, header: Header, accounts: Sequence[Address]) -> list[KeptActor]:
    """Return what the mainchain's registry keeps of some accounts.

    Raises:
        IntegrityError: no node proves it.
        ChainUnavailableError: no node answers.
    """
    slots = [mapping_slot(account, _ACTORS) for account in accounts]
    words = chain.nodes.storage(header, chain.addresses["ActorRegistry"], slots)
    return [
        KeptActor(actor_registry.ROLES.get(word & 0xFF), _status(word >> 8 & 0xFF), (word >> 16).to_bytes(30, "big"))
        for word in words
    ]


def prove_identities(chain: Contracts, header: Header, accounts: Sequence[Address]) -> list[KeptActor]:
    """Return what the sidechain's registry keeps of some accounts; it raises what `prove_actors` raises."""
    slots = [mapping_slot(account, _IDENTITIES, offset) for account in accounts for offset in (0, 1)]
    words = chain.nodes.storage(header, chain.addresses["IdentityRegistry"], slots)
    return [
        KeptActor(
            identity_registry.ROLES.get(word & 0xFF),
            _status(word >> 8 & 0xFF),
            keys.to_bytes(32, "big"),
            _account(word >> 64),
        )
        for word, keys in zip(words[::2], words[1::2], strict=True)
    ]


def prove_groups(chain: Contracts, header: Header, groups: Sequence[Address]) -> list[KeptGroup]:
    """Return what the sidechain keeps of some groups; it raises what `prove_actors` raises."""
    slots = [mapping_slot(group, _GROUPS, offset) for group in groups for offset in (0, 1)]
    words = chain.nodes.storage(header, chain.addresses["CareGroups"], slots)
    return [
        KeptGroup(_account(word), bool(word >> 160 & 0xFF), word >> 168 & 0xFFFF_FFFF, _account(organisation))
        for word, organisation in zip(words[::2], words[1::2], strict=True)
    ]


def prove_policies(chain: Contracts, header: Header, policies: Sequence[PolicyId]) -> list[KeptPolicy]:
    """Return what the mainchain keeps of some policies; it raises what `prove_actors` raises."""
    slots = [mapping_slot(policy, _POLICIES) for policy in policies]
    words = chain.nodes.storage(header, chain.addresses["PolicyRegistry"], slots)
    return [KeptPolicy(word & _TIME, word >> 48 & _TIME, word >> 96) for word in words]


def commitment_of(actor: Actor) -> bytes:
    """Return what a registry keeps of an actor's key blocks: all that they had, when each began, and when it ended.

    Raises:
        IntegrityError: no registry keeps keys of this role.
    """
    if actor.role in _PERSONS:
        return identity_registry.commitment_of(actor)
    if actor.role not in actor_registry.ROLES.values():
        raise IntegrityError(f"no registry keeps a commitment to the key block of a {actor.role.value}")
    return actor_registry.commitment_of(actor)


def _account(word: int) -> Address | None:
    found = word & _ADDRESS
    return Address(address(f"0x{found:040x}")) if found else None


def _status(code: int) -> Status:
    if code not in _STATUSES:
        raise IntegrityError(f"the registry keeps the status {code}, which is none: it is another contract")
    return _STATUSES[code]
