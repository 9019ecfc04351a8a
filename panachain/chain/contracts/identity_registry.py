"""IdentityRegistry on the sidechain: patients and practitioners, and pairings with hospitals.

Persons are read from events, of which the contract keeps what is proven (chain/proven.py).
Follows design section 6 and contracts/interfaces/IIdentityRegistry.sol.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, NOBODY, Adapter, Indexed, Sends
from panachain.chain.codec import encode
from panachain.chain.evm import Receipt
from panachain.chain.logs import actor_from, changed_from
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, Role, Status

if TYPE_CHECKING:
    from panachain.model.transactions import PairingEvent

ROLES: Final = {1: Role.PATIENT, 2: Role.PRACTITIONER}
"""The numbers of `IdentityRegistry.Role`; 0 is none (docs/spec/formats.md, section "Codes")."""
_NUMBERS: Final = {role: number for number, role in ROLES.items()}
MAX_MOVES: Final = 64
"""How far the contract follows an account that guardians moved."""
_STATUS_AFTER: Final = {
    "IdentitySuspended": Status.SUSPENDED,
    "IdentityReinstated": Status.ACTIVE,
    "IdentityReplaced": Status.REPLACED,
}
"""What a person is after each event."""


class IdentityRegistry(Adapter):
    """Patients and practitioners, and whom patients paired with."""

    # Persons

    def register(self, sender: Sends, actor: Actor, *, lookup: bytes = bytes(32), personal: bytes = b"") -> Receipt:
        """Admit a patient or a practitioner; only the registrar may.

        Args:
            sender: the registrar's.
            actor: role, account and the digest of the key block.
            lookup: HMAC under a secret of the trusted nodes, or zeros for none.
            personal: encrypted personal fields, or nothing.
        """
        what = f"registering {actor.handle}"
        return sender.send(self.address, self.admission(actor, lookup=lookup, personal=personal), what=what)

    def admission(self, actor: Actor, *, lookup: bytes = bytes(32), personal: bytes = b"") -> str:
        """Return the calldata that admits a person, for a registrar who signs elsewhere; arguments as `register`."""
        if actor.role not in _NUMBERS:
            raise UsageError(f"a {actor.role.value} has no identity on the sidechain")
        role, digest, organisation = _NUMBERS[actor.role], actor.key_digest, actor.organisation or NOBODY
        return self.bound.calldata("register", actor.address, role, lookup, digest, organisation, personal)

    def suspend(self, sender: Sends, account: Address) -> Receipt:
        """Suspend a person; only the registrar may."""
        return self.bound.send(sender, "suspend", account, what="suspending an identity")

    def reinstate(self, sender: Sends, account: Address) -> Receipt:
        """Take a suspension back; only the registrar may."""
        return self.bound.send(sender, "reinstate", account, what="reinstating an identity")

    def change_keys(self, sender: Sends, known: Actor, digest: bytes, *, earlier_ends_at: int) -> Receipt:
        """Have another key block from now on; only an active practitioner's own account may.

        Args:
            sender: the practitioner's.
            known: the practitioner as the registry has them now.
            digest: SHA-256 of the new block, 32 bytes.
            earlier_ends_at: Unix seconds when the block before stops to count, at most 30 days from now.

        Raises:
            TransactionError: the keys were changed meanwhile, or the caller is no active practitioner.
        """
        what = "changing the key block"
        return self.bound.send(sender, "changeKeys", commitment_of(known), digest, earlier_ends_at, what=what)

    def identity_of(self, account: Address) -> Actor | None:
        """Return one person, or None when the account isn't registered."""
        return next(iter(self._registered([account])), None)

    def find(self, accounts: Sequence[Address] | None = None) -> list[Actor]:
        """Return everybody, or those of some accounts who are registered, with the present status."""
        if accounts is None:
            return self._registered(())
        return [
            actor
            for start in range(0, len(accounts), MANY)
            for actor in self._registered([accounts[start : start + MANY]])
        ]

    # Moves

    def moves(self, staying: Collection[Address] = ()) -> dict[Address, Address]:
        """Return for each account that guardians moved the account that stands for it now, after any number of moves.

        Args:
            staying: accounts whose own move isn't followed.

        Raises:
            IntegrityError: the moves go in a circle, or further than the contract follows them.
        """
        following = {
            Address(address(event.values["patient"])): Address(address(event.values["successor"]))
            for event in self.bound.events("IdentityReplaced")
        }
        following = {account: successor for account, successor in following.items() if account not in staying}
        return {account: _newest(account, following) for account in following}

    def newest_of(self, account: Address, staying: Collection[Address] = ()) -> Address:
        """Return the account that stands for another one now; the account itself if it never moved.

        Args:
            account: any.
            staying: as `moves`.

        Raises:
            IntegrityError: as `moves`.
        """
        return self.moves(staying).get(account, account)

    # Pairings

    def pair(self, sender: Sends, hospital: Address, pairing: bytes) -> Receipt:
        """Let a hospital publish to the sender's lanes; `pairing` is the digest of the sealed pairing's CID."""
        return self.bound.send(sender, "pair", hospital, pairing, what="pairing")

    def unpair(self, sender: Sends, hospital: Address) -> Receipt:
        """Take the assent back."""
        return self.bound.send(sender, "unpair", hospital, what="unpairing")

    def pairing_of(self, patient: Address, hospital: Address) -> bytes | None:
        """Return the digest of the sealed pairing's CID, or None when there is no pairing."""
        return self.pairings_of([patient], hospital)[0]

    def pairings_of(self, patients: Sequence[Address], hospital: Address) -> list[bytes | None]:
        """Return what `pairing_of` returns for each patient."""
        newest = {event.patient: event for event in self._paired(patients, hospital)}
        held = [newest.get(patient) for patient in patients]
        return [event.digest if event is not None and event.paired else None for event in held]

    def paired(self, *, patient: Address | None = None, hospital: Address | None = None) -> list[PairingEvent]:
        """Return the newest pairing of each patient with each hospital, taken back ones too; the newest comes last.

        Args:
            patient: only this patient's; None takes everybody's.
            hospital: only those with it; None takes all.

        Raises:
            IntegrityError: the node shows the end of a pairing without its beginning.
        """
        return self._paired(None if patient is None else [patient], hospital)

    def _paired(self, patients: Sequence[Address] | None, hospital: Address | None) -> list[PairingEvent]:
        from panachain.model.transactions import PairingEvent

        newest: dict[tuple[str, str], PairingEvent] = {}
        names = ("HospitalPaired", "HospitalUnpaired")
        if patients is None:
            events = self.bound.events(*names, where=[None, hospital])
        else:
            # In pieces, and none for nobody: an empty list would ask for everybody's.
            pieces = [patients[start : start + MANY] for start in range(0, len(patients), MANY)]
            events = (event for piece in pieces for event in self.bound.events(*names, where=[piece, hospital]))
        for event in events:
            values = event.values
            key = address(values["patient"]), address(values["hospital"])
            if event.name == "HospitalPaired":
                # At the end again: the newest pairing is the last one.
                newest.pop(key, None)
                newest[key] = PairingEvent(Address(key[0]), Address(key[1]), values["pairing"], paired=True)
            elif key not in newest:
                raise IntegrityError(f"the node hides the pairing of {key[0]} with {key[1]}, and shows its end")
            else:
                newest[key] = replace(newest[key], paired=False)
        return list(newest.values())

    def ever_paired(self, hospital: Address | None = None, *, patient: Address | None = None) -> list[PairingEvent]:
        """Return every pairing there ever was, oldest first, whether it still counts or not.

        Args:
            hospital: only those that it was given; None takes all.
            patient: only this patient's; None takes everybody's.
        """
        from panachain.model.transactions import PairingEvent

        return [
            PairingEvent(
                Address(address(event.values["patient"])),
                Address(address(event.values["hospital"])),
                event.values["pairing"],
                paired=True,
            )
            for event in self.bound.events("HospitalPaired", where=[patient, hospital])
        ]

    def times_unpaired(self, *, patient: Address, hospital: Address) -> int:
        """Return how often a patient took their assent to a hospital back."""
        return sum(1 for _ in self.bound.events("HospitalUnpaired", where=[patient, hospital]))

    def _registered(self, where: Sequence[Indexed]) -> list[Actor]:
        found: dict[str, Actor] = {}
        for event in self.bound.events(where=where):
            if event.name == "IdentityRegistered":
                actor = actor_from(event, ROLES.get(event.values["role"]))
                found[actor.address] = actor
            elif event.name in _STATUS_AFTER:
                account = address(event.values["patient" if event.name == "IdentityReplaced" else "account"])
                if account not in found:
                    raise IntegrityError(f"the node hides the registration of {account}")
                found[account] = replace(found[account], status=_STATUS_AFTER[event.name])
            elif event.name == "IdentityKeysChanged":
                account = address(event.values["account"])
                if account not in found:
                    raise IntegrityError(f"the node hides the registration of {account}")
                found[account] = changed_from(found[account], event)
        return list(found.values())


def commitment_of(actor: Actor) -> bytes:
    """Return the 32 bytes that the registry keeps of all key blocks that a person had: the digest of the only one."""
    keys, *later = actor.key_digests
    for digest, change in zip(later, actor.key_changes, strict=True):
        fields = [keys, digest, change.valid_from, change.earlier_ends_at]
        keys = keccak(encode(["bytes32", "bytes32", "uint48", "uint48"], fields))
    return keys


def _newest(account: Address, following: Mapping[Address, Address]) -> Address:
    newest = account
    for _ in range(MAX_MOVES + 1):
        if newest not in following:
            return newest
        newest = following[newest]
    raise IntegrityError(f"account {account} was moved more than {MAX_MOVES} times, or in a circle")
