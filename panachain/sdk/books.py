"""Books: what a patient keeps on their machine alone, sealed into the store, where a restored machine finds it.

Names of people and whom the patient blocks; no key, no record, nothing of anybody else's. The sidechain names the block
by a pairing of the patient with their own account, which is no hospital's and lets nobody publish.
Follows docs/spec/recovery.md, section "Books", and ADR 52.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.crypto import kdf, labels, padding, stream
from panachain.errors import BlockNotFoundError, IntegrityError, TooLargeError, UsageError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.plain import count
from panachain.sdk.contacts import NAME, Contact, add_contact, list_contacts, looks_like_an_actor
from panachain.sdk.results.recovery import BooksReport
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.crypto.keys import Seed
    from panachain.sdk.blocked import BlockList
    from panachain.sdk.network import Network

_LEAST: Final = 1 << 12
"""Bytes that short ones are padded to: some fifty names look like none."""
_MOST: Final = 1 << 20
"""Bytes of the sealed block at most; some 12,000 names."""
_MOST_ENTRIES: Final = 20_000


class Books:
    """The books of one patient.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     first, again = patient.books.keep(), patient.books.keep()
        ...     (first.tx != "", again.tx, patient.books.restore().contacts == first.contacts)
        (True, '', True)
    """

    def __init__(self, network: Network, home: Path, address: Address, seed: Seed, blocked: BlockList) -> None:
        """Take the patient's account and seed, and the books that are on this machine."""
        self._network = network
        self._home = home
        self._address = address
        self._seed = seed
        self._blocked = blocked
        self._key = kdf.derive(seed.store_key(), labels.BOOKS)

    def keep(self) -> BooksReport:
        """Seal the books of this machine into the store, and let the sidechain name them.

        The same books once more send nothing. Whoever sees the sidechain learns that this patient keeps books, and when
        they changed.

        Raises:
            TooLargeError: there are more names than a block holds.
            StoreUnavailableError: the store doesn't take the block; the earlier books stay.
        """
        contacts, blocked = list_contacts(self._home), sorted(self._blocked.accounts())
        content = {
            "v": 1,
            "contacts": [[one.name, _raw(one.address), one.role.value if one.role else ""] for one in contacts],
            "blocked": [_raw(one) for one in blocked],
        }
        cid = self._cid()
        if cid is not None and self._is(cid, content):
            return BooksReport(len(contacts), len(blocked), str(cid), "")
        sealed = stream.seal(padding.pad(dagcbor.encode(content), _LEAST), self._key, labels.BOOKS)
        if len(sealed) > _MOST:
            raise TooLargeError(
                f"{count(len(contacts), 'name')} would take {len(sealed):,} bytes, and {_MOST:,} are kept",
                size=len(sealed),
                limit=_MOST,
            )
        kept = keep(self._network.store, sealed)
        sender = self._network.person(self._seed.account_key())
        receipt = self._network.sidechain.identities.pair(sender, self._address, kept.digest)
        return BooksReport(len(contacts), len(blocked), str(kept), receipt.tx_hash)

    def restore(self) -> BooksReport:
        """Enter what the newest books have into those of this machine, and count it. What is here already stays.

        A name that stands for somebody else here, and a person who has another name here, are passed over.

        Raises:
            IntegrityError: the block isn't this patient's books.
            StoreUnavailableError: no store has it.
        """
        cid = self._cid()
        if cid is None:
            return BooksReport(0, 0, "", "")
        contacts, blocked = self._open(cid)
        here = {contact.name: contact.address for contact in list_contacts(self._home)}
        passed = 0
        for contact in contacts:
            if here.get(contact.name) == contact.address:
                continue
            try:
                add_contact(self._home, contact.name, contact.address, contact.role)
            except UsageError:
                # Theirs is the machine: what somebody entered here meanwhile counts.
                passed += 1
        for account in blocked - self._blocked.accounts():
            self._blocked.add(account)
        return BooksReport(len(contacts) - passed, len(blocked), str(cid), "", passed_over=passed)

    def _cid(self) -> CID | None:
        digest = self._network.sidechain.identities.pairing_of(self._address, self._address)
        return None if digest is None else CID(RAW, digest)

    def _is(self, cid: CID, content: object) -> bool:
        """Tell whether a block holds this; one that can't be read doesn't."""
        try:
            return bool(self._plain(cid) == content)
        except (IntegrityError, BlockNotFoundError):
            return False

    def _plain(self, cid: CID) -> Any:
        sealed = self._network.store.get_block(cid)
        if len(sealed) > 2 * _MOST:
            raise IntegrityError(f"books of {len(sealed)} bytes, where {_MOST} are kept at most")
        return dagcbor.decode(padding.unpad(stream.open_(sealed, self._key, labels.BOOKS), _LEAST), limit=2 * _MOST)

    def _open(self, cid: CID) -> tuple[list[Contact], set[Address]]:
        try:
            content = self._plain(cid)
            if content["v"] != 1 or len(content["contacts"]) + len(content["blocked"]) > _MOST_ENTRIES:
                raise ValueError("other books")
            contacts = [_contact(*entry) for entry in content["contacts"]]
            return contacts, {checksum_address(one) for one in content["blocked"]}
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise IntegrityError(f"block {cid} isn't books that can be read") from exc


def _raw(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def _contact(name: str, address: bytes, role: str) -> Contact:
    if not NAME.fullmatch(name) or looks_like_an_actor(name):
        raise ValueError("no name")
    return Contact(name, checksum_address(address), Role(role) if role else None)
