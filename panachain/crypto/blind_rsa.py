"""Blind RSA signatures: an issuer signs what it can't read, and can't know again.

RSABSSA-SHA384-PSS-Deterministic of RFC 9474, with RSA keys of 2,048 bits and the exponent 65,537, as RFC 9578 section 6
takes them. Keys are made and signatures verified by `cryptography`; ours are the encoding EMSA-PSS (RFC 8017 section
9.1.1) and the powers of what is blinded, since no kept implementation is on PyPI (ADR 19). The issuer's power is taken
of a number and by an exponent that are random for each call, so its time tells nothing of the key.
"""

from __future__ import annotations

import hashlib
import secrets
from math import gcd
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from panachain.errors import IntegrityError

SIZE: Final = 256
"""Bytes of a modulus, of what is blinded, and of a signature."""
_BITS: Final = 8 * SIZE
_EXPONENT: Final = 65_537
_SALT: Final = 48
"""Bytes, as long as the hash (RFC 9474 section 5)."""
_HASH: Final = 48
"""Bytes of SHA-384."""
_SPKI_HEAD: Final = bytes.fromhex(
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d010108300b06096086480165"
    "03040202a2030201300382010f003082010a0282010100"
)
"""SubjectPublicKeyInfo of id-RSASSA-PSS with SHA-384 and 48 bytes of salt (RFC 9578 section 6.5), up to the modulus."""
_SPKI_TAIL: Final = bytes.fromhex("0203010001")
_PADDING: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=_SALT)


class TokenKey:
    """An issuer's public key."""

    def __init__(self, modulus: int) -> None:
        """Take the modulus.

        Raises:
            IntegrityError: it isn't of 2,048 bits, or is even.
        """
        if modulus.bit_length() != _BITS or modulus % 2 == 0:
            raise IntegrityError(f"an issuer's key has {modulus.bit_length()} bits, expected {_BITS}")
        self._n = modulus
        self._key = rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
        self.encoded = _SPKI_HEAD + modulus.to_bytes(SIZE, "big") + _SPKI_TAIL
        """SubjectPublicKeyInfo, 342 bytes of DER."""
        self.id = hashlib.sha256(self.encoded).digest()
        """The token key ID of RFC 9578, 32 bytes."""

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Return the key in a SubjectPublicKeyInfo.

        Raises:
            IntegrityError: it isn't one of this kind.
        """
        modulus = encoded[len(_SPKI_HEAD) : -len(_SPKI_TAIL)]
        if len(modulus) != SIZE or encoded != _SPKI_HEAD + modulus + _SPKI_TAIL:
            raise IntegrityError("an issuer's key isn't RSASSA-PSS of 2,048 bits with SHA-384")
        return cls(int.from_bytes(modulus, "big"))

    def blind(self, message: bytes, *, salt: bytes | None = None, blind: int | None = None) -> tuple[bytes, int]:
        """Return a message as the issuer gets it, and what takes the blinding away (RFC 9474 section 4.2).

        Args:
            message: what is to be signed.
            salt: 48 bytes; None draws them. Given by test vectors only.
            blind: the blinding factor; None draws it. Given by test vectors only.
        """
        encoded = int.from_bytes(_encode(message, salt if salt is not None else secrets.token_bytes(_SALT)), "big")
        if gcd(encoded, self._n) != 1:
            raise IntegrityError("the issuer's key divides what is to be signed")
        while True:
            factor = blind if blind is not None else 1 + secrets.randbelow(self._n - 1)
            if gcd(factor, self._n) == 1:
                break
        blinded = encoded * pow(factor, _EXPONENT, self._n) % self._n
        return blinded.to_bytes(SIZE, "big"), pow(factor, -1, self._n)

    def finalize(self, message: bytes, blind_signature: bytes, inverse: int) -> bytes:
        """Return the signature of a message from the issuer's answer (RFC 9474 section 4.4).

        Raises:
            IntegrityError: the issuer didn't sign what it was sent.
        """
        if len(blind_signature) != SIZE:
            raise IntegrityError(f"the issuer's answer has {len(blind_signature)} bytes, expected {SIZE}")
        signature = int.from_bytes(blind_signature, "big") * inverse % self._n
        signed = signature.to_bytes(SIZE, "big")
        self.verify(message, signed)
        return signed

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a signature (RSASSA-PSS, RFC 8017 section 8.1.2).

        Raises:
            IntegrityError: the issuer didn't sign this message.
        """
        try:
            self._key.verify(signature, message, _PADDING, hashes.SHA384())
        except InvalidSignature:
            raise IntegrityError("the issuer didn't sign this") from None


class IssuerKey:
    """An issuer's secret key. Its `repr` shows nothing of it."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        """Take a key of the library; `random` and `from_pem` make it."""
        numbers = key.private_numbers()
        if numbers.public_numbers.e != _EXPONENT:
            raise IntegrityError(f"an issuer's exponent is {numbers.public_numbers.e}, expected {_EXPONENT}")
        self._key = key
        self._n, self._d = numbers.public_numbers.n, numbers.d
        self._order = (numbers.p - 1) * (numbers.q - 1)
        self.public = TokenKey(self._n)

    @classmethod
    def random(cls) -> Self:
        """Return a fresh key."""
        return cls(rsa.generate_private_key(_EXPONENT, _BITS))

    @classmethod
    def from_pem(cls, content: bytes) -> Self:
        """Return the key in a PEM file (PKCS #8, without a password).

        Raises:
            IntegrityError: it isn't an RSA key of this kind.
        """
        try:
            key = serialization.load_pem_private_key(content, None)
        except (ValueError, TypeError):
            # Without its cause, which could quote the file.
            raise IntegrityError("the issuer's key file holds no key in PEM without a password") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise IntegrityError("the issuer's key isn't RSA")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key as a PEM file holds it."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign_blinded(self, blinded: bytes) -> bytes:
        """Return the blind signature of what a client blinded (RFC 9474 section 4.3).

        Raises:
            IntegrityError: it isn't a number below the modulus, or this machine computed wrongly.
        """
        message = int.from_bytes(blinded, "big")
        if len(blinded) != SIZE or not 0 < message < self._n or gcd(message, self._n) != 1:
            raise IntegrityError("what is to be signed isn't a number below the issuer's modulus")
        # Python's power takes a time that depends on its numbers. Neither base nor exponent is the same twice, so what
        # a client measures has nothing to do with what it sent.
        factor = 1 + secrets.randbelow(self._n - 1)
        base = message * pow(factor, _EXPONENT, self._n) % self._n
        exponent = self._d + secrets.randbits(64) * self._order
        signature = pow(base, exponent, self._n) * pow(factor, -1, self._n) % self._n
        # A wrong power gives the key away (Boneh, DeMillo, Lipton 1997), so none leaves unchecked.
        if pow(signature, _EXPONENT, self._n) != message:
            raise IntegrityError("this machine made a signature that doesn't verify")
        return signature.to_bytes(SIZE, "big")

    def __repr__(self) -> str:
        """Show that it is one, and nothing of it."""
        return "IssuerKey(…)"


def _encode(message: bytes, salt: bytes) -> bytes:
    """Return EMSA-PSS-ENCODE of a message for one bit less than the modulus has (RFC 8017 section 9.1.1)."""
    digest = hashlib.sha384(bytes(8) + hashlib.sha384(message).digest() + salt).digest()
    db = bytes(SIZE - len(salt) - _HASH - 2) + b"\x01" + salt
    mask = _mgf1(digest, len(db))
    masked = bytearray(one ^ other for one, other in zip(db, mask, strict=True))
    masked[0] &= 0x7F
    return bytes(masked) + digest + b"\xbc"


def _mgf1(seed: bytes, size: int) -> bytes:
    """Return MGF1 with SHA-384 (RFC 8017 appendix B.2.1)."""
    blocks = range(-(-size // _HASH))
    return b"".join(hashlib.sha384(seed + block.to_bytes(4, "big")).digest() for block in blocks)[:size]
