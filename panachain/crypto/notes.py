"""Signed notes: short texts under Ed25519 signatures of named keys, and cosignatures that state a time.

Knows nothing of logs, and reads no clock. A signature line that isn't of a known kind is kept and means nothing.
Follows C2SP signed-note 1.0.0 and tlog-cosignature 1.0.0 (`cosignature/v1`), and RFC 8032 (Ed25519).

    note             = text ‖ LF ‖ one line per signature
    line             = "— " name " " base64(key ID ‖ signature) LF
    key ID           = first 4 bytes of SHA-256(name ‖ LF ‖ kind ‖ key)
    kind             = 1 (Ed25519), 4 (Ed25519 with a time), 255 (another one, which its bytes name)
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from panachain.errors import IntegrityError
from panachain.model.sizes import HASH_SIZE

ED25519: Final = 1
"""Kind of a signature of the text."""
COSIGNATURE: Final = 4
"""Kind of a signature of the text and of a time."""
OTHER: Final = 255
"""Kind of what this specification doesn't define."""
MAX_NOTE: Final = 16_384
"""Bytes of a note that is looked at."""
_MAX_SIGNATURES: Final = 64
"""Signature lines of a note that is looked at."""
_DASH: Final = "\u2014 "
_ID_SIZE: Final = 4
_TIME_SIZE: Final = 8
_SIGNATURE_SIZE: Final = 64


@dataclass(frozen=True)
class Signature:
    """One signature line."""

    name: str
    """Of the key: no blank and no plus."""
    key_id: bytes
    """4 bytes: a hint which key it was, and no more."""
    value: bytes = field(repr=False)
    """What follows the key ID."""

    def line(self) -> str:
        """Return the line, without its end."""
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.value).decode()}"


@dataclass(frozen=True)
class Note:
    """A text and its signatures, none of which is checked yet."""

    text: str
    """With its last line's end."""
    signatures: tuple[Signature, ...]

    def encode(self) -> str:
        """Return the note as it travels."""
        return self.text + "\n" + "".join(f"{one.line()}\n" for one in self.signatures)

    def of(self, name: str, key_id: bytes) -> Iterator[bytes]:
        """Yield what stands in the signatures of one key."""
        return (one.value for one in self.signatures if one.name == name and one.key_id == key_id)


class NoteKey:
    """An Ed25519 key that signs notes under a name. Its `repr` shows nothing of it."""

    def __init__(self, name: str, secret: bytes) -> None:
        """Take the key's name and its 32 secret bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"NoteKey({self.name!r})"

    def sign(self, text: str) -> Signature:
        """Return a signature of a text."""
        return Signature(self.name, key_id(self.name, ED25519, self.public), self._key.sign(text.encode()))

    def cosign(self, text: str, *, at: int) -> Signature:
        """Return a cosignature: that this text was seen at a time, in Unix seconds, and none that contradicts it."""
        signed = at.to_bytes(_TIME_SIZE, "big") + self._key.sign(_cosigned(text, at))
        return Signature(self.name, key_id(self.name, COSIGNATURE, self.public), signed)


def key_id(name: str, kind: int, key: bytes) -> bytes:
    """Return a key's ID, 4 bytes."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:_ID_SIZE]


def verifier_key(name: str, kind: int, public: bytes) -> str:
    """Return a public key as tools read it: name, key ID and key (C2SP signed-note, section "Verifier keys")."""
    return f"{name}+{key_id(name, kind, public).hex()}+{b64encode(bytes([kind]) + public).decode()}"


def check_signed(note: Note, *, name: str, public: bytes) -> None:
    """Check that a key signed a note's text.

    Raises:
        IntegrityError: it didn't.
    """
    values = note.of(name, key_id(name, ED25519, public))
    if not any(_is_signature(public, value, note.text.encode()) for value in values):
        raise IntegrityError(f"the note isn't signed by {name}")


def cosigned_at(note: Note, *, name: str, public: bytes) -> int | None:
    """Return when a key cosigned a note's text, the latest, in Unix seconds; None where it didn't."""
    times = []
    for value in note.of(name, key_id(name, COSIGNATURE, public)):
        at = int.from_bytes(value[:_TIME_SIZE], "big")
        if _is_signature(public, value[_TIME_SIZE:], _cosigned(note.text, at)):
            times.append(at)
    return max(times, default=None)


def parse_note(content: bytes) -> Note:
    """Return a note as it came, from whomever; its signatures are unchecked.

    Raises:
        IntegrityError: it is none, or too large.
    """
    if len(content) > MAX_NOTE:
        raise IntegrityError(f"a note of {len(content)} bytes isn't looked at")
    try:
        decoded = content.decode()
    except UnicodeDecodeError:
        raise IntegrityError("the note isn't UTF-8") from None
    if any(ord(letter) < 0x20 and letter != "\n" for letter in decoded):
        raise IntegrityError("the note has a control character")
    # The last empty line ends the text: a text may have others.
    text, found, lines = decoded.rpartition("\n\n")
    if not found or not lines.endswith("\n"):
        raise IntegrityError("the note has no signatures")
    return Note(text + "\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Return signature lines, each with its end.

    Raises:
        IntegrityError: one of them is none, or there are too many.
    """
    found = lines.removesuffix("\n").split("\n")
    if len(found) > _MAX_SIGNATURES:
        raise IntegrityError(f"a note with {len(found)} signatures isn't looked at")
    return tuple(map(_signature, found))


def _signature(line: str) -> Signature:
    name, separator, value = line.removeprefix(_DASH).partition(" ")
    try:
        raw = b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not line.startswith(_DASH) or not separator or not is_name(name) or len(raw) <= _ID_SIZE:
        raise IntegrityError("a line of the note is no signature")
    return Signature(name, raw[:_ID_SIZE], raw[_ID_SIZE:])


def is_name(text: str) -> bool:
    """Tell whether a text can be a key's name."""
    return bool(text) and "+" not in text and not any(letter.isspace() for letter in text)


def unique(signatures: Sequence[Signature]) -> tuple[Signature, ...]:
    """Return signatures without repetitions."""
    return tuple({one.line(): one for one in signatures}.values())


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _is_signature(public: bytes, value: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(public) != HASH_SIZE or len(value) != _SIGNATURE_SIZE:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(value, message)
    except (InvalidSignature, ValueError):
        return False
    return True
