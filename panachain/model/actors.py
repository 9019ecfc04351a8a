"""Actors: who takes part, under which public keys.

Never holds a secret. Follows design sections 2, 3 and 5.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import Enum
from typing import NewType

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
    receiving_key: bytes
    """Compressed secp256k1 point, 33 bytes: what is sealed to the actor."""
    verifying_key: bytes
    """Compressed secp256k1 point, 33 bytes: the actor's Umbral signer."""
    endpoint: str = ""
    """A proxy's base URL; empty for others."""
    organisation: Address | None = None
    """A practitioner's hospital, or a proxy's operator."""
    earlier_keys: tuple[bytes, ...] = ()
    """A group's receiving keys before its renewals, oldest first; empty for others."""

    @property
    def handle(self) -> str:
        """A short name that can be typed and is the same everywhere, such as `hos-mfrggzdfmy2tq`."""
        return handle_of(self.address, self.role)


def handle_of(address: Address, role: Role) -> str:
    """Return the handle of an account: three letters of the role, then 8 bytes of the address in base32 (RFC 4648)."""
    return f"{role.value[:3]}-{base64.b32encode(bytes.fromhex(address[2:18])).decode().rstrip('=').lower()}"
