"""Tokens that say "one of the patients" and not which: issued blindly, spent once, verified by anybody.

Privacy Pass with publicly verifiable tokens, type 0x0002 (RFC 9578 section 6; challenge and token as RFC 9577 section 2
has them). No I/O and no clock: which period it is comes in as an argument.

    challenge = 0x0002 ‖ len16 ‖ issuer ‖ len8 (32) ‖ context ‖ len16 ‖ origin
    context   = SHA-256("panachain/token-period/1" ‖ period, 8 bytes)
    input     = 0x0002 ‖ nonce (32) ‖ SHA-256(challenge) ‖ key ID (32)
    token     = input ‖ signature (256)
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from panachain.crypto import labels
from panachain.crypto.blind_rsa import SIZE, TokenKey
from panachain.errors import IntegrityError

TYPE: Final = b"\x00\x02"
"""Publicly verifiable tokens, blind RSA of 2,048 bits."""
_NONCE: Final = 32
_INPUT: Final = 2 + 3 * 32
TOKEN_SIZE: Final = _INPUT + SIZE
"""Bytes of a token."""
_MOST: Final = 65_535
"""Bytes of a name in a challenge."""


@dataclass(frozen=True)
class Ask:
    """What a patient keeps of a token until its issuer has signed it."""

    key: TokenKey
    message: bytes = field(repr=False)
    """The token without its signature."""
    blinded: bytes = field(repr=False)
    """What the issuer gets."""
    inverse: int = field(repr=False)

    def token(self, blind_signature: bytes) -> bytes:
        """Return the token from the issuer's answer.

        Raises:
            IntegrityError: the issuer didn't sign what it was sent.
        """
        return self.message + self.key.finalize(self.message, blind_signature, self.inverse)


def challenge(issuer: str, origin: str, period: int) -> bytes:
    """Return the challenge that a token answers (RFC 9577 section 2.1).

    Args:
        issuer: its name.
        origin: of the relay that takes the token: no other one does.
        period: in which it was issued; a token of another period is another one's.
    """
    names = [name.encode() for name in (issuer, origin)]
    if any(len(name) > _MOST for name in names):
        raise IntegrityError(f"a name in a token's challenge has more than {_MOST} bytes")
    context = hashlib.sha256(labels.TOKEN_PERIOD + period.to_bytes(8, "big")).digest()
    first, second = (len(name).to_bytes(2, "big") + name for name in names)
    return TYPE + first + bytes([len(context)]) + context + second


def ask(key: TokenKey, asked: bytes, *, nonce: bytes | None = None) -> Ask:
    """Return a new token that is to be signed.

    Args:
        key: the issuer's.
        asked: the challenge.
        nonce: 32 bytes; None draws them.
    """
    message = TYPE + (nonce or secrets.token_bytes(_NONCE)) + hashlib.sha256(asked).digest() + key.id
    blinded, inverse = key.blind(message)
    return Ask(key, message, blinded, inverse)


def check_token(token: bytes, key: TokenKey, asked: bytes) -> None:
    """Check that a token answers a challenge, and that its issuer signed it.

    Raises:
        IntegrityError: it doesn't, or the issuer didn't.
    """
    if len(token) != TOKEN_SIZE or token[:2] != TYPE:
        raise IntegrityError(f"a token has {len(token)} bytes, expected {TOKEN_SIZE} of type 2")
    # What costs nothing comes first: a made-up token is refused without a look at its signature.
    if token[34:66] != hashlib.sha256(asked).digest() or token[66:_INPUT] != key.id:
        raise IntegrityError("the token is for another relay, issuer or period")
    key.verify(token[:_INPUT], token[_INPUT:])


def spent_as(token: bytes) -> bytes:
    """Return what a relay remembers of a token that was spent, 32 bytes: its nonce, whatever its signature."""
    return token[2:34]
