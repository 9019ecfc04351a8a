"""Checkpoints: how long a proxy's log is and what is in it, signed by the proxy and cosigned by the others.

A checkpoint names its own keys: a signature line of the proxy's account says which Ed25519 key speaks for it, so that
whoever knows the account from the registry needs nothing else. Believes no proxy and no witness.
Follows C2SP tlog-checkpoint 1.0.0, tlog-cosignature 1.0.0, tlog-proof 1.0.0 and docs/spec/log.md.

    text = origin LF size LF base64(root) LF "panachain-maps " epochs " " base64(tree of the maps) LF
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.chain.receipts import log_key_signer, sign_log_key
from panachain.chain.signing import Account
from panachain.consent.log_map import EPOCH
from panachain.crypto import labels, notes
from panachain.crypto.notes import Note, NoteKey, Signature
from panachain.errors import IntegrityError
from panachain.ethereum import parse_address
from panachain.model.actors import Address
from panachain.model.sizes import HASH_SIZE, SIGNATURE_SIZE

_MAPS: Final = "panachain-maps"
_END: Final = 1 << 53
_KEY: Final = notes.OTHER
_NETWORK: Final = 8
"""Bytes of the access log's domain that name the network."""
_MAX_PATH: Final = 64
"""Hashes of a path or a proof of growth: as many as for more receipts than a log can have."""
_DIGITS: Final = 16
_PROOF: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Checkpoint:
    """What a proxy says of its log."""

    origin: str
    size: int
    """Receipts in the log."""
    root: bytes
    """Of their tree, 32 bytes."""
    maps: bytes
    """Tree hash of the maps of all epochs, 32 bytes; of an empty log, zeros."""

    @property
    def epochs(self) -> int:
        """How many maps there are."""
        return -(-self.size // EPOCH)

    def text(self) -> str:
        """Return the note's text."""
        root, maps = b64encode(self.root).decode(), b64encode(self.maps).decode()
        return f"{self.origin}\n{self.size}\n{root}\n{_MAPS} {self.epochs} {maps}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return what a note's text says.

        Raises:
            IntegrityError: it is no checkpoint of a proxy's log.
        """
        lines = text.split("\n")
        try:
            origin, size, root, extension, end = lines
            name, epochs, maps = extension.split(" ")
            found = cls(origin, int(size), b64decode(root, validate=True), b64decode(maps, validate=True))
        except (ValueError, binascii.Error):
            raise IntegrityError("the note is no checkpoint of a proxy's log") from None
        # Each checkpoint has one text: numbers have no signs, blanks or zeros in front.
        if found.text() != text or not 0 <= found.size < _END or len(found.root) != HASH_SIZE:
            raise IntegrityError("the checkpoint isn't written as one is")
        if name != _MAPS or len(found.maps) != HASH_SIZE or not epochs or end or not notes.is_name(origin):
            raise IntegrityError("the checkpoint isn't written as one is")
        return found


@dataclass(frozen=True)
class Cosigned:
    """A checkpoint whose signature was checked, and who cosigned it."""

    checkpoint: Checkpoint
    note: Note
    witnesses: Mapping[Address, int]
    """When each account's key cosigned it, Unix seconds; of whoever it may be."""


def origin_of(domain: bytes, proxy: Address) -> str:
    """Return the name of a proxy's log, and of the key that signs its checkpoints.

    Args:
        domain: of the access log that judges the proxy (`chain.receipts.log_domain`): it stands for the network.
        proxy: whose.
    """
    return f"panachain/{domain[:_NETWORK].hex()}/{proxy.lower()}"


def witness_of(domain: bytes, proxy: Address) -> str:
    """Return the name of the key by which a proxy cosigns the checkpoints of others."""
    return f"{origin_of(domain, proxy)}/witness"


def proxy_of(domain: bytes, origin: str) -> Address:
    """Return whose log has a name.

    Raises:
        IntegrityError: it is no proxy's of this network.
    """
    try:
        proxy = parse_address(origin.rpartition("/")[2])
    except ValueError:
        raise IntegrityError("the checkpoint isn't of a proxy's log") from None
    if origin != origin_of(domain, proxy):
        raise IntegrityError("the checkpoint isn't of a log of this network")
    return proxy


def key_line(account: Account, domain: bytes, key: NoteKey) -> Signature:
    """Return the signature line by which an account says that a key speaks for it.

    Args:
        account: the proxy's.
        domain: of the access log (`chain.receipts.log_domain`).
        key: which.
    """
    signed = sign_log_key(account, domain, name=key.name, public=key.public)
    return Signature(key.name, notes.key_id(key.name, _KEY, labels.LOG_KEY), key.public + signed)


def key_of(note: Note, *, name: str, account: Address, domain: bytes) -> bytes:
    """Return the Ed25519 key that an account says speaks for it under a name, 32 bytes.

    Raises:
        IntegrityError: the note doesn't have it.
    """
    for value in note.of(name, notes.key_id(name, _KEY, labels.LOG_KEY)):
        if len(value) != HASH_SIZE + SIGNATURE_SIZE:
            continue
        public, signature = value[:HASH_SIZE], value[HASH_SIZE:]
        if log_key_signer(domain, name=name, public=public, signature=signature) == account:
            return public
    raise IntegrityError(f"the note doesn't say by which key {account} signs for {name}")


def open_checkpoint(content: bytes, *, proxy: Address, domain: bytes) -> Cosigned:
    """Return a checkpoint that a proxy signed, and who cosigned it.

    Args:
        content: the note as it came.
        proxy: whose log it must be.
        domain: of the access log.

    Raises:
        IntegrityError: it isn't that proxy's.
    """
    note = notes.parse_note(content)
    checkpoint = Checkpoint.parse(note.text)
    origin = origin_of(domain, proxy)
    if checkpoint.origin != origin:
        raise IntegrityError(f"the checkpoint is of another log than that of proxy {proxy}")
    public = key_of(note, name=origin, account=proxy, domain=domain)
    notes.check_signed(note, name=origin, public=public)
    return Cosigned(checkpoint, note, dict(_witnesses(note, proxy, domain)))


def _witnesses(note: Note, proxy: Address, domain: bytes) -> Iterator[tuple[Address, int]]:
    for name in dict.fromkeys(one.name for one in note.signatures):
        try:
            account = proxy_of(domain, name.removesuffix("/witness"))
            if name != witness_of(domain, account) or account == proxy:
                continue
            public = key_of(note, name=name, account=account, domain=domain)
        except IntegrityError:
            # Anybody can add a line. What isn't a witness's says nothing, and takes nothing from the others.
            continue
        at = notes.cosigned_at(note, name=name, public=public)
        if at is not None:
            yield account, at


def proof_text(note: Note, *, index: int, path: Iterable[bytes]) -> str:
    """Return a proof that anybody checks without asking: that a receipt stands at a place of a cosigned log.

    Follows C2SP tlog-proof 1.0.0.
    """
    hashes = "".join(f"{b64encode(one).decode()}\n" for one in path)
    return f"{_PROOF}\nindex {index}\n{hashes}\n{note.encode()}"


def _hashes(lines: Sequence[str]) -> list[bytes]:
    try:
        found = [b64decode(line, validate=True) for line in lines]
    except (binascii.Error, ValueError):
        raise IntegrityError("the proof's path isn't made of hashes") from None
    if any(len(one) != HASH_SIZE for one in found) or len(found) > _MAX_PATH:
        raise IntegrityError("the proof's path isn't made of hashes")
    return found


def growth_request(note: Note, *, before: int, proof: Iterable[bytes]) -> str:
    """Return what a witness is asked: to cosign a checkpoint, given that the log grew from a size that it knows.

    Follows C2SP tlog-witness 1.0.0 (`add-checkpoint`).
    """
    hashes = "".join(f"{b64encode(one).decode()}\n" for one in proof)
    return f"old {before}\n{hashes}\n{note.encode()}"


def parse_growth_request(content: bytes) -> tuple[int, list[bytes], bytes]:
    """Return the size, the proof and the checkpoint of a question to a witness; nothing of them is checked.

    Raises:
        IntegrityError: it is none.
    """
    head, found, note = content.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise IntegrityError("the question to the witness isn't readable") from None
    number = first.removeprefix("old ")
    if not found or number == first or not number.isdecimal() or len(number) > _DIGITS:
        raise IntegrityError("the question to the witness names no size")
    return int(number), _hashes(lines), note
