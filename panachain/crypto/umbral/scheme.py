"""Umbral on libsecp256k1, with the names and the bytes of nucypher_core 0.16.

What the wrapper (`__init__.py`) asks of an implementation, and no more. Stricter than nucypher_core from the start: one
encoding of everything, both of a kfrag's signatures checked, the base point fixed, points that cancel out refused.
Every secret scalar is a `Scalar` of panachain/secp256k1.py, so it meets only functions that take the same time for all;
`scripts/check_secret_scalars.py` proves it. Never skips a verification, never holds a nonce for a second use.
Follows Nunez, "Umbral: a threshold proxy re-encryption scheme" (2018); for tags, order of what is hashed and encoding,
which the paper leaves open, the published reference implementation, rust-umbral 0.11; RFC 5869 (HKDF);
draft-irtf-cfrg-xchacha-03 (XChaCha20-Poly1305); and ADR 63.

    H(tag, parts)  = 1 + SHA-256(length of tag (4) ‖ tag ‖ parts) mod (order - 1)
    capsule        = E, V, s              s·G = V + h·E, where h = H(CAPSULE_POINTS, E ‖ V)
    d              = H(SHARED_SECRET, X ‖ receiving ‖ x·receiving)       X = x·G, the precursor
    index of share = H(POLYNOMIAL_ARG, X ‖ receiving ‖ x·receiving ‖ id)
    rk of share    = f(index), where f(0) = delegating / d
    cfrag          = rk·E, rk·V, and a proof that the same rk stands in the commitment rk·U:
                     t·E, t·V, t·U, z = t + H(CFRAG_VERIFICATION, ...)·rk
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from threading import Lock
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from panachain.crypto import labels
from panachain.crypto.kdf import hkdf
from panachain.secp256k1 import ORDER, Point, Scalar, generator_less, total, verifies

SEED_SIZE: Final = 32
"""Bytes of a seed that keys are derived from."""
_SCALAR: Final = 32
_POINT: Final = 33
_SIGNATURE: Final = 64
_ID: Final = 32
_NONCE: Final = 24
"""Bytes of XChaCha20's nonce."""
_SEALED: Final = _NONCE + 32 + 16
"""Nonce, a key of 32 bytes, tag."""
BASE_U: Final = Point.parse(bytes.fromhex("03079390d0fbe220fc34aab8ecbf49098098036820fadb98c03143e55db8ec73cd"))
"""The second base point, whose logarithm to G nobody knows: "POINT_U" hashed to the curve under "PARAMETERS" (RFC 9380,
suite secp256k1_XMD:SHA-256_SSWU_RO_)."""
_CUBE_ROOT: Final = 0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72
"""A number whose cube is 1 modulo the order. The library splits every scalar into two halves by it (GLV), so that one
which is made of two halves of 64 bits takes less time than another of 128 bits."""
_WEIGHTS_KEPT: Final = 64
"""Sets of cfrags' sources for which a receiving key keeps what it has computed: the grants that are being read."""
_CHECKS: Final = 256
"""Checks for which a random coefficient serves, which nobody gets to see; then it is another one. So many kfrags begin
with the same one."""
_COMMITMENTS_KEPT: Final = 256
"""Kfrags of others for which a random coefficient is kept, with what it gives: the grants that are being read."""


# What the reference implementation's MessagePack says, byte by byte: each string's length stands before it.
class _Layout:
    """Marks, and how many bytes follow each."""

    def __init__(self, *parts: tuple[bytes, int]) -> None:
        self.pattern: Final = re.compile(
            b"".join(re.escape(mark) + b"(.{%d})" % size for mark, size in parts), re.DOTALL
        )
        # No mark holds a per cent sign.
        self.form: Final = b"".join(mark + b"%b" for mark, _ in parts)


_CAPSULE: Final = _Layout((b"\x93\xc4\x21", _POINT), (b"\xc4\x21", _POINT), (b"\xc4\x20", _SCALAR))
_KFRAG: Final = _Layout(
    *((b"\x95\x91\xc4\x21", _POINT), (b"\xc4\x20", _ID), (b"\xc4\x20", _SCALAR), (b"\xc4\x21", _POINT)),
    *((b"\x95\xc4\x21", _POINT), (b"\xc4\x40", _SIGNATURE), (b"\xc4\x40", _SIGNATURE), (b"\xc3\xc3", 0)),
)
_CFRAG: Final = _Layout(
    *((b"\x95\xc4\x21", _POINT), (b"\xc4\x21", _POINT), (b"\xc4\x20", _ID), (b"\xc4\x21", _POINT)),
    *((b"\x96\xc4\x21", _POINT), (b"\xc4\x21", _POINT), (b"\xc4\x21", _POINT), (b"\xc4\x21", _POINT)),
    *((b"\xc4\x20", _SCALAR), (b"\xc4\x40", _SIGNATURE)),
)
_KIT: Final = _Layout((b"MKit\x00\x03\x00\x00\x93", 105), (b"\xc4\x48", _SEALED), (b"\xc0", 0))


class VerificationError(ValueError):
    """What is checked doesn't hold."""


class PublicKey:
    """A point that is somebody's key."""

    __slots__ = ("point",)

    def __init__(self, point: Point) -> None:
        """Take a point."""
        self.point = point

    @classmethod
    def from_compressed_bytes(cls, data: bytes) -> PublicKey:
        """Read 33 bytes.

        Raises:
            ValueError: they are no compressed point.
        """
        return cls(Point.parse(data))

    def to_compressed_bytes(self) -> bytes:
        """Return the compressed point, 33 bytes."""
        return self.point.encoded


class SecretKey:
    """A secret key. Its `repr` shows nothing of it."""

    def __init__(self, secret: Scalar) -> None:
        """Take a secret scalar."""
        self._secret = secret
        self._public = PublicKey(secret.public())
        self._weights: dict[tuple[bytes, ...], list[Scalar]] = {}
        self._lock = Lock()

    @classmethod
    def random(cls) -> SecretKey:
        """Return a fresh key from the operating system's CSPRNG."""
        return cls(Scalar.random())

    @classmethod
    def from_be_bytes(cls, data: bytes) -> SecretKey:
        """Return the key with this scalar, 32 bytes.

        Raises:
            ValueError: it is no scalar of the curve.
        """
        return cls(Scalar(data))

    def to_be_bytes(self) -> bytes:
        """Return the key itself, 32 bytes."""
        return self._secret.reveal()

    def public_key(self) -> PublicKey:
        """Return the key's point."""
        return self._public

    def weights(self, precursor: bytes, ids: tuple[bytes, ...]) -> list[Scalar]:
        """Return what each cfrag of a grant counts: Lagrange's coefficient for its share, times the grant's d.

        Args:
            precursor: of the grant, 33 bytes.
            ids: of the kfrags that the cfrags were made with.

        Raises:
            ValueError: the precursor is no point, or one share is there twice.
        """
        which = (precursor, *ids)
        with self._lock:
            known = self._weights.get(which)
        if known is not None:
            return known
        shared = _Shared(self._secret, Point.parse(precursor), self._public.point, precursor)
        indices = [shared.index(ident) for ident in ids]
        made = [shared.d.by(weight) for weight in _at_zero(indices)]
        with self._lock:
            # The oldest goes: who reads many grants in turn computes once for each turn.
            while len(self._weights) >= _WEIGHTS_KEPT:
                del self._weights[next(iter(self._weights))]
            self._weights[which] = made
        return made

    def __repr__(self) -> str:
        return "SecretKey()"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret key isn't pickled")


class SecretKeyFactory:
    """Hardened derivation: nothing about one output follows from another. HKDF-SHA256 without salt."""

    def __init__(self, seed: bytes) -> None:
        """Take a seed of the right size; `from_secure_randomness` checks it."""
        self._seed = seed

    @staticmethod
    def seed_size() -> int:
        """Return how many bytes a seed has."""
        return SEED_SIZE

    @classmethod
    def from_secure_randomness(cls, seed: bytes) -> SecretKeyFactory:
        """Return the factory over a seed.

        Raises:
            ValueError: it has another size.
        """
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a seed has {SEED_SIZE} bytes")
        return cls(bytes(seed))

    def make_factory(self, label: bytes) -> SecretKeyFactory:
        """Return the factory below this one under a label."""
        return SecretKeyFactory(self._derive(b"FACTORY_DERIVATION/" + label, SEED_SIZE))

    def make_secret(self, label: bytes) -> bytes:
        """Return 64 secret bytes under a label."""
        return self._derive(b"SECRET_DERIVATION/" + label, 64)

    def make_key(self, label: bytes) -> SecretKey:
        """Return the secret key under a label."""
        info = b"KEY_DERIVATION/" + label
        return SecretKey(_secret_scalar(info, self._derive(info, 64)))

    def _derive(self, info: bytes, size: int) -> bytes:
        return hkdf(self._seed, salt=b"", info=info, size=size)

    def __repr__(self) -> str:
        return "SecretKeyFactory()"


class Signature:
    """An ECDSA signature, r ‖ s."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        """Take 64 bytes."""
        self._data = data

    @classmethod
    def from_be_bytes(cls, data: bytes) -> Signature:
        """Read 64 bytes.

        Raises:
            ValueError: another size.
        """
        if len(data) != _SIGNATURE:
            raise ValueError(f"a signature has {_SIGNATURE} bytes")
        return cls(data)

    def to_be_bytes(self) -> bytes:
        """Return r ‖ s, 64 bytes."""
        return self._data

    def verify(self, verifying: PublicKey, message: bytes) -> bool:
        """Tell whether it is the key's signature of a message, with low s."""
        return verifies(verifying.point, sha256(message).digest(), self._data)


class Signer:
    """Signs with a secret key: ECDSA with SHA-256."""

    def __init__(self, key: SecretKey) -> None:
        """Sign with `key`."""
        self._key = key

    def sign(self, message: bytes) -> Signature:
        """Return the signature of a message."""
        return Signature(self._key._secret.sign(sha256(message).digest()))

    def verifying_key(self) -> PublicKey:
        """Return the key that checks its signatures."""
        return self._key.public_key()


class Capsule:
    """An encapsulated key that contradicts itself nowhere."""

    __slots__ = ("_data", "_drawn", "e", "h", "s", "v")

    def __init__(self, data: bytes, e: Point, v: Point, s: int, h: int) -> None:
        """Take the parts of a capsule that was checked, or just made."""
        self._data, self.e, self.v, self.s, self.h = data, e, v, s, h
        self._drawn = _Drawn(v)

    @classmethod
    def from_bytes(cls, data: bytes) -> Capsule:
        """Read and check 105 bytes.

        Raises:
            ValueError: they are no capsule, or its points cancel out.
        """
        # Before it is looked up: what is no bytes may have no hash.
        _split(data, _CAPSULE)
        return _read_capsule(data)

    @classmethod
    def make(cls, public: PublicKey) -> tuple[Capsule, bytes]:
        """Return a fresh capsule for a key, and the key seed in it, 33 bytes."""
        made, of_seed = cls._drawn_anew()
        return made, of_seed.times(public.point).encoded

    @classmethod
    def of_nobody(cls) -> Capsule:
        """Return a fresh capsule for no key at all: nothing tells it from one for somebody's."""
        return cls._drawn_anew()[0]

    @classmethod
    def _drawn_anew(cls) -> tuple[Capsule, Scalar]:
        # Also returns r + u: that many times a key is the seed in it.
        while True:
            r, u = Scalar.random(), Scalar.random()
            e, v = r.public(), u.public()
            h = _public_scalar(b"CAPSULE_POINTS", e.encoded, v.encoded)
            try:
                s, of_seed = u.plus(r.by(Scalar(_bytes(h)))), r.plus(u)
            except ValueError:  # pragma: no cover - once in 2^256 times
                continue
            proof = s.reveal()
            data = _join((e.encoded, v.encoded, proof), _CAPSULE)
            return cls(data, e, v, _public_number(proof), h), of_seed

    def __bytes__(self) -> bytes:
        return self._data

    def drawn(self) -> tuple[bytes, Point]:
        """Return a random 128-bit coefficient for checks of cfrags, and it times V."""
        return self._drawn.take()

    def bound(self) -> bytes:
        """Return what the sealed key is bound to: the capsule without lengths."""
        return b"".join(_split(self._data, _CAPSULE))


# A capsule is read for itself and within its kit, one after the other: the second time it is looked up.
@lru_cache(maxsize=8)
def _read_capsule(data: bytes) -> Capsule:
    first, second, proof = _split(data, _CAPSULE)
    e, v, s = Point.parse(first), Point.parse(second), _public_number(proof)
    if first[1:] == second[1:] and first[0] != second[0]:
        raise VerificationError("the capsule's points cancel out")
    h = _public_scalar(b"CAPSULE_POINTS", first, second)
    if generator_less(s, e, h) != v:
        raise VerificationError("the capsule contradicts itself")
    return Capsule(data, e, v, s, h)


class KeyFrag:
    """One proxy's share of a re-encryption key. Its `repr` shows nothing of it."""

    __slots__ = ("_against", "_data", "_key", "commitment", "for_receiver", "id", "precursor")

    def __init__(
        self, data: bytes, key: Scalar, commitment: Point, *, ident: bytes, precursor: bytes, for_receiver: bytes
    ) -> None:
        """Take a kfrag's encoding, and what was read of it or made it."""
        self._data = data
        self._key = key
        self.commitment = commitment
        self.id, self.precursor, self.for_receiver = ident, precursor, for_receiver
        self._against = _Against(commitment)

    @classmethod
    def from_bytes(cls, data: bytes) -> KeyFrag:
        """Read 310 bytes.

        Raises:
            ValueError: they are no kfrag, one with a foreign base point, or one that doesn't say that both keys are
                signed.
        """
        base, ident, key, precursor, commitment, _, for_receiver, _ = _split(data, _KFRAG)
        if base != BASE_U.encoded:
            raise ValueError("a foreign base point")
        Point.parse(precursor)
        named = {"ident": ident, "precursor": precursor, "for_receiver": for_receiver}
        return cls(data, Scalar(key), Point.parse(commitment), **named)

    def __bytes__(self) -> bytes:
        return self._data

    def verify(self, verifying: PublicKey, delegating: PublicKey, receiving: PublicKey) -> KeyFrag:
        """Check commitment and both signatures, and return the kfrag.

        Raises:
            VerificationError: one of them doesn't hold.
        """
        if self._key.times(BASE_U) != self.commitment:
            raise VerificationError("the commitment doesn't fit")
        return self.verify_kept(verifying, delegating, receiving)

    def verify_kept(self, verifying: PublicKey, delegating: PublicKey, receiving: PublicKey) -> KeyFrag:
        """Check both signatures of a kfrag that is used here at once, and return it.

        For one whose commitment was checked when it came. If it doesn't fit any more, no cfrag of it verifies: the
        third equation of each proof says that the key which made the cfrag is the commitment's.

        Raises:
            VerificationError: one of them doesn't hold.
        """
        parts = _split(self._data, _KFRAG)
        message = _signed_message(self.id, self.commitment, self.precursor, delegating, receiving)
        for signature in parts[5:7]:
            check_signed(verifying.to_compressed_bytes(), message, signature)
        return self

    def nonce(self, capsule: Capsule) -> Scalar:
        """Return a fresh secret scalar for one proof.

        Hedged: of a machine whose random numbers are bad, it still depends on the kfrag's key and on the capsule, so
        that no two proofs share it. Two proofs with one nonce would tell the kfrag's key.
        """
        hasher = sha256(labels.UMBRAL_NONCE)
        hasher.update(os.urandom(32))
        self._key.hash_into(hasher)
        hasher.update(bytes(capsule))
        return Scalar.of_digest(hasher.digest())

    def against(self) -> tuple[bytes, Point, Point]:
        """Return a random 128-bit coefficient for checks of its cfrags, and it times base point and commitment."""
        return self._against.take()

    def __repr__(self) -> str:
        return "KeyFrag()"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a kfrag isn't pickled")


VerifiedKeyFrag = KeyFrag
"""The wrapper's own types tell a verified one apart."""


class CapsuleFrag:
    """One proxy's part of a re-encrypted capsule, with its proof."""

    __slots__ = ("_data", "_source", "commitment", "e1", "e2", "id", "pok", "precursor", "signature", "v1", "v2", "z")

    def __init__(
        self,
        data: bytes,
        points: Sequence[Point],
        z: int,
        *,
        ident: bytes,
        precursor: bytes,
        signature: bytes,
        source: KeyFrag | None = None,
    ) -> None:
        """Take its encoding, what was read of it or made it, and the kfrag that this machine made it with."""
        self._data = data
        self.id, self.precursor, self.signature = ident, precursor, signature
        self.e1, self.v1, self.e2, self.v2, self.commitment, self.pok = points
        self.z = z
        self._source = source

    @classmethod
    def from_bytes(cls, data: bytes) -> CapsuleFrag:
        """Read 381 bytes.

        Raises:
            ValueError: they are no cfrag.
        """
        parts = _split(data, _CFRAG)
        points = [Point.parse(parts[number]) for number in (0, 1, 4, 5, 6, 7)]
        Point.parse(parts[3])
        z = _public_number(parts[8])
        return cls(data, points, z, ident=parts[2], precursor=parts[3], signature=parts[9])

    def __bytes__(self) -> bytes:
        return self._data

    def unverify(self) -> CapsuleFrag:
        """Return itself: it is only ever believed after `verify`."""
        return self

    def verify(
        self, capsule: Capsule, verifying: PublicKey, delegating: PublicKey, receiving: PublicKey
    ) -> CapsuleFrag:
        """Check signature and proof, and return the cfrag.

        The proof's three equations are checked as one, added up with random coefficients of 128 bits that nobody else
        knows (Bellare, Garay and Rabin 1998, small exponents): a false proof passes once in 2^128 times. A signature
        that was found good is looked up: each cfrag of a kfrag repeats it.

        Raises:
            VerificationError: one of them doesn't hold.
        """
        message = _signed_message(self.id, self.commitment, self.precursor, delegating, receiving)
        check_signed(verifying.to_compressed_bytes(), message, self.signature)
        if not 0 < self.z < ORDER:
            raise VerificationError("no proof")
        challenge, z = _bytes(self._challenge(capsule)), _bytes(self.z)
        a, of_v = capsule.drawn()
        source = self._source
        b, of_base, of_commitment = source.against() if source else _against(self.commitment.encoded).take()
        try:
            left = total((capsule.e, of_v, of_base)).times(z)
            second = total((self.e2, self.v2.times(a), self.pok.times(b)))
            holds = left == second + total((self.e1, self.v1.times(a), of_commitment)).times(challenge)
        except ValueError:
            # Something cancels out.
            holds = False
        if not holds:
            raise VerificationError("the proof doesn't hold")
        return self

    def _challenge(self, capsule: Capsule) -> int:
        return _challenge(
            *(capsule.e, self.e1, self.e2),
            *(capsule.v, self.v1, self.v2),
            *(BASE_U, self.commitment, self.pok),
        )


VerifiedCapsuleFrag = CapsuleFrag
"""The wrapper verifies in the same step."""


class MessageKit:
    """A key of 32 bytes, sealed to a public key: what the wrapper calls a wrap, without its first byte."""

    def __init__(self, public: PublicKey, plain: bytes, _: None) -> None:
        """Seal a key; the third argument is nucypher_core's, of another use."""
        if len(plain) != 32:
            raise ValueError("a sealed key has 32 bytes")
        self.capsule, seed = Capsule.make(public)
        nonce = os.urandom(_NONCE)
        self._sealed = nonce + _cipher(seed, nonce).encrypt(_tail(nonce), plain, self.capsule.bound())

    @classmethod
    def of_nobody(cls) -> MessageKit:
        """Return what looks like a sealed key, and holds none: a capsule whose seed nobody computes, and random bytes.

        What XChaCha20-Poly1305 seals under a random key can't be told from random bytes, nor the seed in a capsule from
        a random one. So it is for whoever looks what a key sealed to a forgotten key is, for a third of the work.
        """
        made = cls.__new__(cls)
        made.capsule, made._sealed = Capsule.of_nobody(), os.urandom(_SEALED)
        return made

    @classmethod
    def from_bytes(cls, data: bytes) -> MessageKit:
        """Read 189 bytes.

        Raises:
            ValueError: they are no kit around 32 bytes.
        """
        capsule, sealed, _ = _split(data, _KIT)
        made = cls.__new__(cls)
        made.capsule, made._sealed = Capsule.from_bytes(capsule), sealed
        return made

    def __bytes__(self) -> bytes:
        return _join((bytes(self.capsule), self._sealed, b""), _KIT)

    def decrypt(self, secret: SecretKey) -> bytes:
        """Return the sealed key, by the key that it was sealed to.

        Raises:
            ValueError: it was sealed to another one.
        """
        return self._open(secret._secret.times(self.capsule.e + self.capsule.v).encoded)

    def decrypt_reencrypted(self, secret: SecretKey, delegating: PublicKey, cfrags: Sequence[CapsuleFrag]) -> bytes:
        """Return the sealed key, by the grantee's key and enough verified cfrags.

        Raises:
            ValueError: they are of several grants, one is there twice, they aren't enough, or the seal doesn't open.
        """
        if len({cfrag.precursor for cfrag in cfrags}) != 1:
            raise ValueError("cfrags of several grants")
        weights = secret.weights(cfrags[0].precursor, tuple(cfrag.id for cfrag in cfrags))
        # E' and V' are d times what the cfrags' points interpolate to: the seed is E' + V', and h·E' + V' must be
        # s·delegating.
        pairs = list(zip(weights, cfrags, strict=True))
        e = total(weight.times(cfrag.e1) for weight, cfrag in pairs)
        v = total(weight.times(cfrag.v1) for weight, cfrag in pairs)
        seed, proof = e + v, e.times(_bytes(self.capsule.h)) + v
        if delegating.point.times(_bytes(self.capsule.s)) != proof:
            raise VerificationError("not enough cfrags, or not the right ones")
        return self._open(seed.encoded)

    def _open(self, seed: bytes) -> bytes:
        nonce, sealed = self._sealed[:_NONCE], self._sealed[_NONCE:]
        try:
            return _cipher(seed, nonce).decrypt(_tail(nonce), sealed, self.capsule.bound())
        except InvalidTag:
            raise VerificationError("the seal doesn't open") from None


def generate_kfrags(
    delegating: SecretKey,
    receiving: PublicKey,
    signer: Signer,
    threshold: int,
    shares: int,
    sign_delegating: bool,
    sign_receiving: bool,
) -> list[KeyFrag]:
    """Return one kfrag for each of `shares` proxies.

    Raises:
        ValueError: not 2 <= threshold <= shares, or a key shall not be signed.
    """
    keys = receiving, signer, threshold, shares, sign_delegating, sign_receiving
    return generate_many([delegating], *keys)[0]


def generate_many(
    delegating: Sequence[SecretKey],
    receiving: PublicKey,
    signer: Signer,
    threshold: int,
    shares: int,
    sign_delegating: bool,
    sign_receiving: bool,
) -> list[list[KeyFrag]]:
    """Return for each of some keys what `generate_kfrags` returns: one inverse serves for all of them."""
    if not (2 <= threshold <= shares and sign_delegating and sign_receiving):
        raise ValueError("no threshold, or a key that isn't signed")
    drawn = [Scalar.random() for _ in delegating]
    shared = [_Shared(x, receiving.point, receiving.point, x.public().encoded) for x in drawn]
    inverses = _inverses([one.d for one in shared]) if shared else []
    return [
        _kfrags(key, one, key._secret.by(inverse), receiving, signer, threshold, shares)
        for key, one, inverse in zip(delegating, shared, inverses, strict=True)
    ]


def _kfrags(
    delegating: SecretKey,
    shared: _Shared,
    at_zero: Scalar,
    receiving: PublicKey,
    signer: Signer,
    threshold: int,
    shares: int,
) -> list[KeyFrag]:
    polynomial = [at_zero, *(Scalar.random() for _ in range(threshold - 1))]
    public, precursor = delegating.public_key(), shared.precursor
    made: list[KeyFrag] = []
    while len(made) < shares:
        ident = os.urandom(_ID)
        try:
            key = _value(polynomial, shared.index(ident))
        except ValueError:  # pragma: no cover - a value is zero, once in 2^256 times
            continue
        commitment = key.times(BASE_U)
        message = _signed_message(ident, commitment, precursor, public, receiving)
        # The signature that the proxy checks and the one that readers check are of the same bytes when both keys are
        # signed, and RFC 6979 makes them equal.
        signature = signer.sign(message).to_be_bytes()
        parts = (BASE_U.encoded, ident, key.reveal(), precursor, commitment.encoded, signature, signature, b"")
        named = {"ident": ident, "precursor": precursor, "for_receiver": signature}
        made.append(KeyFrag(_join(parts, _KFRAG), key, commitment, **named))
    return made


def reencrypt(capsule: Capsule, kfrag: KeyFrag) -> CapsuleFrag:
    """Return the cfrag of a capsule; who hands it out verifies it first."""
    t = kfrag.nonce(capsule)
    e1, v1 = kfrag._key.times(capsule.e), kfrag._key.times(capsule.v)
    e2, v2, pok = t.times(capsule.e), t.times(capsule.v), t.times(BASE_U)
    h = _challenge(capsule.e, e1, e2, capsule.v, v1, v2, BASE_U, kfrag.commitment, pok)
    # Public from here on: it stands in the cfrag.
    z = t.plus(kfrag._key.by(Scalar(_bytes(h)))).reveal()
    encoded = (e1.encoded, v1.encoded, kfrag.id, kfrag.precursor, e2.encoded, v2.encoded)
    data = _join((*encoded, kfrag.commitment.encoded, pok.encoded, z, kfrag.for_receiver), _CFRAG)
    return CapsuleFrag(
        data,
        (e1, v1, e2, v2, kfrag.commitment, pok),
        _public_number(z),
        ident=kfrag.id,
        precursor=kfrag.precursor,
        signature=kfrag.for_receiver,
        source=kfrag,
    )


class _Shared:
    """What patient and grantee both compute: each has one of the two secrets."""

    def __init__(self, secret: Scalar, other: Point, receiving: Point, precursor: bytes) -> None:
        self.precursor = precursor
        self._hashed = precursor, receiving.encoded, secret.times(other).encoded
        self.d = _secret_scalar(b"SHARED_SECRET", *self._hashed)

    def index(self, ident: bytes) -> Scalar:
        """Return where the polynomial is evaluated for one share."""
        return _secret_scalar(b"POLYNOMIAL_ARG", *self._hashed, ident)


def _value(polynomial: Sequence[Scalar], at: Scalar) -> Scalar:
    # Horner's rule.
    value = polynomial[-1]
    for coefficient in reversed(polynomial[:-1]):
        value = value.by(at).plus(coefficient)
    return value


def _at_zero(indices: Sequence[Scalar]) -> list[Scalar]:
    # Lagrange's coefficients: of each share the product of other / (other - own) over all others.
    if len(indices) < 2:
        raise ValueError("one share alone")
    numerators: list[Scalar] = []
    denominators: list[Scalar] = []
    for number, own in enumerate(indices):
        others = [*indices[:number], *indices[number + 1 :]]
        negative = own.negative()
        numerators.append(_product(others))
        # Two that are the same cancel out, which is an error: one share doesn't count twice.
        denominators.append(_product([other.plus(negative) for other in others]))
    return [one.by(other) for one, other in zip(numerators, _inverses(denominators), strict=True)]


def _product(scalars: Sequence[Scalar]) -> Scalar:
    made = scalars[0]
    for other in scalars[1:]:
        made = made.by(other)
    return made


def _inverses(scalars: Sequence[Scalar]) -> list[Scalar]:
    # One inverse for all (Montgomery): that of the product, from which each one's is multiplied out again.
    before = list(accumulate(scalars, Scalar.by))
    rest = before[-1].inverse()
    made: list[Scalar] = []
    for number in range(len(scalars) - 1, 0, -1):
        made.append(rest.by(before[number - 1]))
        rest = rest.by(scalars[number])
    return [rest, *reversed(made)]


def _challenge(*points: Point) -> int:
    return _public_scalar(b"CFRAG_VERIFICATION", *(point.encoded for point in points))


def _signed_message(
    ident: bytes, commitment: Point, precursor: bytes, delegating: PublicKey, receiving: PublicKey
) -> bytes:
    signed = b"\x01" + delegating.to_compressed_bytes() + b"\x01" + receiving.to_compressed_bytes()
    return ident + commitment.encoded + precursor + signed


# One signature stands in a kfrag and in each cfrag of it: it is checked once. Nothing in it is secret, and what doesn't
# hold isn't kept.
@lru_cache(maxsize=4096)
def check_signed(verifying: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature of a kfrag or cfrag.

    Args:
        verifying: the signer's key, 33 bytes.
        message: what is signed.
        signature: r ‖ s with low s, 64 bytes.

    Raises:
        ValueError: it doesn't hold, or the key is none.
    """
    if not verifies(Point.parse(verifying), sha256(message).digest(), signature):
        raise VerificationError("the signature doesn't fit")


class _Drawn:
    """A random coefficient of 128 bits and it times a point, for so many checks; then another one is drawn."""

    __slots__ = ("_left", "_made", "_point")

    def __init__(self, point: Point) -> None:
        self._point = point
        self._made: tuple[bytes, Point] | None = None
        self._left = 0

    def take(self) -> tuple[bytes, Point]:
        made = self._made
        # Of threads that come at once each may draw its own: each has a coefficient and what belongs to it.
        if made is None or self._left <= 0:
            drawn = _coefficient()
            made = drawn, self._point.times(drawn)
            self._made, self._left = made, _CHECKS
        self._left -= 1
        return made


class _Against:
    """The same for a kfrag's commitment: a coefficient, and it times base point and commitment."""

    __slots__ = ("_commitment", "_left", "_made")

    def __init__(self, commitment: Point) -> None:
        self._commitment = commitment
        self._made: tuple[bytes, Point, Point] | None = None
        self._left = 0

    def take(self) -> tuple[bytes, Point, Point]:
        made = self._made
        if made is None or self._left <= 0:
            # The first one comes from what all share, which spares each kfrag a multiplication.
            drawn, of_base = _BASE.take() if made is None else _Drawn(BASE_U).take()
            made = drawn, of_base, self._commitment.times(drawn)
            self._made, self._left = made, _CHECKS
        self._left -= 1
        return made


_BASE: Final = _Drawn(BASE_U)


# A proxy's cfrags of one lane all repeat its kfrag's commitment.
@lru_cache(maxsize=_COMMITMENTS_KEPT)
def _against(commitment: bytes) -> _Against:
    return _Against(Point.parse(commitment))


def _coefficient() -> bytes:
    drawn = os.urandom(16)
    low, high = int.from_bytes(drawn[:8], "big"), int.from_bytes(drawn[8:], "big")
    # Zero once in 2^128 times, and then it is refused by the multiplication.
    return _bytes((low + high * _CUBE_ROOT) % ORDER)


def _digest(tag: bytes, parts: Sequence[bytes]) -> bytes:
    return sha256(len(tag).to_bytes(4, "big") + tag + b"".join(parts)).digest()


def _secret_scalar(tag: bytes, *parts: bytes) -> Scalar:
    return Scalar.of_digest(_digest(tag, parts))


def _public_scalar(tag: bytes, *parts: bytes) -> int:
    return int.from_bytes(_digest(tag, parts), "big") % (ORDER - 1) + 1


def _public_number(data: bytes) -> int:
    number = int.from_bytes(data, "big")
    if number >= ORDER:
        raise ValueError("no scalar of the curve")
    return number


def _bytes(number: int) -> bytes:
    return number.to_bytes(_SCALAR, "big")


def _split(data: bytes, layout: _Layout) -> Sequence[bytes]:
    # One pattern for size, marks and parts: each mark stands where it must, and nothing before, between or after.
    found = layout.pattern.fullmatch(data) if type(data) is bytes else None
    if found is None:
        raise ValueError("another size or encoding")
    return found.groups()


def _join(parts: Sequence[bytes], layout: _Layout) -> bytes:
    return layout.form % tuple(parts)


def _cipher(seed: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(_hchacha(hkdf(seed, salt=b"", info=b"", size=32), nonce[:16]))


def _tail(nonce: bytes) -> bytes:
    return bytes(4) + nonce[16:]


def _hchacha(key: bytes, start: bytes) -> bytes:
    # One block of ChaCha20 is its last state and its first one, added word by word. HChaCha20 is eight words of the
    # last state, and in the first one those are public: the constants, and 16 bytes of the nonce.
    block = Cipher(ChaCha20(key, start), mode=None).encryptor().update(bytes(64))
    words = struct.unpack("<16I", block)
    first = struct.unpack("<8I", b"expand 32-byte k" + start)
    kept = (*words[:4], *words[12:])
    return struct.pack("<8I", *((word - public) & 0xFFFFFFFF for word, public in zip(kept, first, strict=True)))
