"""Actors: who takes part, under which public keys.

Never holds a secret. Follows design sections 2, 3 and 5.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NewType, Self

from panachain.errors import IntegrityError
from panachain.model.key_block import PublicKeys

Address = NewType("Address", str)
"""An EIP-55 checksummed account address."""

PolicyId = NewType("PolicyId", str)
"""A policy's ID: the checksummed address of its one-time key (docs/adr/0002)."""


class Role(Enum):
    """What an actor is. Its number on a chain is its registry's: `ROLES` in the adapter of each (panachain/chain).

    Examples:
        >>> Role("patient")
        <Role.PATIENT: 'patient'>
    """

    HOSPITAL = "hospital"
    PROXY = "proxy"
    RESEARCHER = "researcher"
    REGISTRAR = "registrar"
    PATIENT = "patient"
    PRACTITIONER = "practitioner"
    GROUP = "group"
    """A care team or department: a receiving key that its members share."""


class Status(Enum):
    """Whether an actor may act.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.whoami().status is Status.ACTIVE
        True
    """

    UNKNOWN = 0
    ACTIVE = 1
    SUSPENDED = 2
    REPLACED = 3
    """For good: guardians moved a patient to another account."""


@dataclass(frozen=True)
class KeyChange:
    """One change of an actor's key block, as the chain tells it; Unix seconds."""

    valid_from: int
    """The time of its block."""
    earlier_ends_at: int
    """From when on nothing that is published counts under the block before."""

    @property
    def compromised(self) -> bool:
        """Whether an end lies in the past: others may know the keys of every block that was in force then."""
        return self.earlier_ends_at < self.valid_from


@dataclass(frozen=True)
class KeyEnd:
    """When a key block ended that was replaced."""

    at: int
    """Unix seconds from when on nothing that is published counts under it."""
    compromised: bool
    """Whether its owner said that others may know its keys."""


@dataclass(frozen=True)
class Actor:
    """A public actor (mainchain) or a genuine identity (sidechain).

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     clinic = hospital.whoami()
        >>> clinic.handle[:4], clinic.role.value
        ('hos-', 'hospital')
    """

    address: Address
    role: Role
    status: Status
    key_digest: bytes
    """SHA-256 of the actor's key block, 32 bytes: what the chain keeps of the keys."""
    keys: PublicKeys | None = field(default=None, compare=False, repr=False)
    """What the block holds; None where it wasn't fetched. They fit `key_digest`, or the actor can't be made."""
    endpoint: str = ""
    """A proxy's base URL; empty for others."""
    organisation: Address | None = None
    """A practitioner's hospital, or a proxy's operator."""
    earlier_keys: tuple[bytes, ...] = ()
    """Digests of the key blocks before this one, oldest first: before a group's renewals, or an actor's changes."""
    key_changes: tuple[KeyChange, ...] = ()
    """When each of `earlier_keys` was replaced; empty for a group, whose renewals end nothing."""

    def __post_init__(self) -> None:
        if self.keys is not None and self.keys.digest != self.key_digest:
            raise IntegrityError(f"the keys of {self.handle} aren't those that the chain names; none was used")

    @classmethod
    def of(
        cls, address: Address, role: Role, keys: PublicKeys, *, status: Status = Status.UNKNOWN, endpoint: str = ""
    ) -> Self:
        """Return an actor with these keys, whom no registry has to know yet."""
        return cls(address, role, status, keys.digest, keys, endpoint)

    def changed(self, digest: bytes, change: KeyChange) -> Self:
        """Return the same actor after a change of their key block.

        Args:
            digest: SHA-256 of the new block, 32 bytes.
            change: when, and when the block before ends.
        """
        earlier = (*self.earlier_keys, self.key_digest)
        return replace(
            self, key_digest=digest, keys=None, earlier_keys=earlier, key_changes=(*self.key_changes, change)
        )

    @property
    def key_digests(self) -> tuple[bytes, ...]:
        """Digests of all key blocks that the actor has and had, oldest first."""
        return (*self.earlier_keys, self.key_digest)

    def key_ends(self) -> tuple[KeyEnd, ...]:
        """Return when each of `earlier_keys` ended; none for a group.

        An end in the past ends every block that had begun by then: a theft may be noticed after a change or two. A
        block that began later is replaced, and nothing more is said of it.
        """
        found = []
        begin = 0
        for place, own in enumerate(self.key_changes):
            end = KeyEnd(own.earlier_ends_at if begin <= own.earlier_ends_at else own.valid_from, compromised=False)
            for change in self.key_changes[place:]:
                if change.compromised and begin <= change.earlier_ends_at <= end.at:
                    end = KeyEnd(change.earlier_ends_at, compromised=True)
            found.append(end)
            begin = own.valid_from
        return tuple(found)

    def is_ended(self, digest: bytes) -> bool:
        """Tell whether nothing more is sealed to a key block, 32 bytes of digest.

        The actor never had it, its owner said that others may know its keys, or it came back after it was replaced.
        """
        if not self.key_changes:
            return digest not in self.key_digests
        if digest == self.key_digest:
            return digest in self.earlier_keys
        ends = [end for one, end in zip(self.earlier_keys, self.key_ends(), strict=True) if one == digest]
        return not ends or any(end.compromised for end in ends)

    def with_keys(self, keys: PublicKeys) -> Self:
        """Return the same actor with the keys of their block.

        Raises:
            IntegrityError: they aren't those that the chain names.
        """
        return replace(self, keys=keys)

    @property
    def sealing_key(self) -> bytes:
        """The key of HPKE that others seal to, 1,216 bytes; raises as `public_keys`."""
        return self.public_keys.sealing

    @property
    def receiving_key(self) -> bytes:
        """The key of Umbral that proxies re-encrypt to, 33 bytes; raises as `public_keys`."""
        return self.public_keys.receiving

    @property
    def verifying_key(self) -> bytes:
        """The actor's Umbral signer, 33 bytes, empty for a group; raises as `public_keys`."""
        return self.public_keys.verifying

    @property
    def public_keys(self) -> PublicKeys:
        """The keys of the actor's block.

        Raises:
            IntegrityError: the block wasn't fetched; nothing can be sealed to them, and nothing of theirs be verified.
        """
        if self.keys is None:
            raise IntegrityError(f"the key block of {self.handle} wasn't fetched, so their keys aren't known here")
        return self.keys

    @property
    def handle(self) -> str:
        """A short name that can be typed and is the same everywhere, such as `hos-mfrggzdfmy2tq`."""
        return handle_of(self.address, self.role)


def handle_of(address: Address, role: Role) -> str:
    """Return the handle of an account: three letters of the role, then 8 bytes of the address in base32 (RFC 4648)."""
    return f"{role.value[:3]}-{base64.b32encode(bytes.fromhex(address[2:18])).decode().rstrip('=').lower()}"
