"""What an authenticator is asked so that its answer opens a lock of a key store, and the answer.

Nouns alone: nothing here asks, opens or keeps anything. Follows docs/spec/formats.md, section "Key stores".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SECURITY_KEY: Final = "security-key"
"""Kind of a lock that a security key opens, asked by a program of this machine (CTAP's `hmac-secret`)."""
PASSKEY: Final = "passkey"
"""Kind of a lock that a passkey opens, asked by a browser for a page of the portal (WebAuthn's PRF)."""
MAX_CREDENTIAL: Final = 512
"""Bytes of a credential's ID: those in use have 16 to some 300, and eight of this size fit into a file."""
MAX_LABEL: Final = 64
"""Bytes of what a person calls a lock, as UTF-8."""


@dataclass(frozen=True)
class Credential:
    """What an authenticator has to be asked, so that its answer opens a lock. Nothing of it is the answer."""

    kind: str
    """SECURITY_KEY or PASSKEY."""
    id: bytes
    """Of the credential, as the authenticator gave it: 1 to MAX_CREDENTIAL bytes."""
    salt: bytes
    """What the authenticator computes its answer over: 32 random bytes of this lock."""
    verified: bool = True
    """Whether it is asked to check by PIN or fingerprint whose hand it is in; else it asks for a touch alone. The two
    have different answers."""
    host: str = ""
    """Whose pages may ask for a passkey: the portal's own name. Empty for a security key."""
    label: str = ""
    """What its owner calls it."""
    mark: str = ""
    """Of its lock; empty where there is none yet."""


@dataclass(frozen=True)
class Answer:
    """What an authenticator answered. Its `repr` shows nothing of it."""

    kind: str
    """SECURITY_KEY or PASSKEY."""
    credential: bytes
    """ID of the one that answered."""
    secret: bytes = field(repr=False)
    """32 bytes, which no other credential, salt or name gives."""
