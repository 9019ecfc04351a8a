"""Umbral threshold proxy re-encryption behind one strict wrapper.

It stands on libsecp256k1 (`scheme.py`) or, by setting, on nucypher_core (`backend.py`): both make the same bytes, and
none of the checks here relies on either. It never skips a verification, and it takes nothing from the wire that doesn't
encode back to the same bytes. No curve arithmetic of our own.
Follows Umbral (Nunez, "Umbral: a threshold proxy re-encryption scheme", 2018), security rules 8 and 39, and ADR 63.

    wrap = 0x01 ‖ MessageKit of a 32-byte key (docs/spec/formats.md)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from panachain.crypto.umbral.backend import chosen
from panachain.crypto.umbral.scheme import check_signed
from panachain.errors import IntegrityError, UsageError
from panachain.model.sizes import CAPSULE_SIZE, CFRAG_SIZE, KEY_SIZE, KFRAG_SIZE, PUBLIC_SIZE, UMBRAL_SIGNATURE_SIZE
from panachain.secp256k1 import HALF_ORDER, Point, Scalar, verifies, verifies_all

_backend: Final = chosen()
if TYPE_CHECKING:
    # The names and types of both; which one it is at run time, backend.py decides.
    from panachain.crypto.umbral import scheme as _kits
    from panachain.crypto.umbral import scheme as _umbral
else:
    _umbral, _kits = _backend.library, _backend.kits

PARALLEL: Final = _backend.parallel
"""Whether several threads of one process compute at the same time."""
VERSION: Final = 1
"""First byte of a wrap: another implementation of Umbral would get another one."""
MESSAGE_KIT_SIZE: Final = 189
"""Bytes of a MessageKit around 32 bytes."""
WRAP_SIZE: Final = 1 + MESSAGE_KIT_SIZE
SIGNATURE_SIZE: Final = UMBRAL_SIGNATURE_SIZE
# Where these stand in an encoded kfrag.
_U: Final = slice(4, 37)
_ID: Final = slice(39, 71)
_PRECURSOR: Final = slice(107, 140)
_COMMITMENT: Final = slice(143, 176)
_FOR_RECEIVER: Final = slice(244, 308)
_BOTH_SIGNED: Final = b"\xc3\xc3"
"""How an encoded kfrag ends that says of both keys, the delegating and the receiving, that they are signed."""
# Where the x coordinates of a capsule's points stand in it.
_CAPSULE_IN_WRAP: Final = slice(10, 115)
_E_X: Final = slice(4, 36)
_V_X: Final = slice(39, 71)
_OUTSIDE: Final = (ValueError, TypeError, _umbral.VerificationError)
"""What an implementation raises for what it doesn't take."""


class SecretKey:
    """An Umbral secret key. Its `repr` shows nothing of it."""

    def __init__(self, inner: _umbral.SecretKey) -> None:
        """Take a key of the library; `random` and crypto/keys.py make them."""
        self._inner = inner
        # Computed once: the library recomputes it, 55 to 98 microseconds, at each call.
        self._public_key = inner.public_key()
        self.public: bytes = self._public_key.to_compressed_bytes()

    @classmethod
    def random(cls) -> SecretKey:
        """Return a fresh key from the operating system's CSPRNG."""
        return cls(_umbral.SecretKey.random())

    @classmethod
    def from_bytes(cls, secret: bytes) -> SecretKey:
        """Return the key with this big-endian scalar, 32 bytes.

        Raises:
            UsageError: it isn't a scalar of the curve.
        """
        try:
            return cls(_umbral.SecretKey.from_be_bytes(secret))
        except _OUTSIDE:
            # Without its cause: the library's message could quote the key.
            raise UsageError("not an Umbral secret key of 32 bytes") from None

    def agree(self, public: bytes) -> bytes | None:
        """Return the ECDH secret with a compressed point, SEC 1 section 3.3.1: 32 bytes; None when it is no point.

        SHA-256 of the compressed shared point, as libsecp256k1 gives it.
        """
        try:
            return sha256(self._scalar.times(Point.parse(public)).encoded).digest()
        except ValueError:
            return None

    @cached_property
    def _scalar(self) -> Scalar:
        return Scalar(self._inner.to_be_bytes())

    def reveal(self) -> bytes:
        """Return the key itself, 32 bytes, to be sealed to those who share it, and for nothing else."""
        return bytes(self._inner.to_be_bytes())

    def __repr__(self) -> str:
        return f"SecretKey(public={self.public.hex()})"


class Signer:
    """An Umbral signer (ECDSA over secp256k1 with SHA-256)."""

    def __init__(self, key: SecretKey) -> None:
        """Sign with `key`."""
        self._inner = _umbral.Signer(key._inner)
        self.public: bytes = key.public

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`, 64 bytes r ‖ s."""
        return bytes(self._inner.sign(message).to_be_bytes())

    def __repr__(self) -> str:
        return f"Signer(public={self.public.hex()})"


class VerifiedKfrag:
    """A kfrag that was checked against its keys. Its `repr` shows nothing of it."""

    def __init__(self, inner: _umbral.VerifiedKeyFrag) -> None:
        """Take what `check_kfrag` verified."""
        self._inner = inner

    def __repr__(self) -> str:
        return "VerifiedKfrag()"


class SeedFactory:
    """Hardened derivation: nothing about one output follows from another."""

    def __init__(self, inner: _umbral.SecretKeyFactory) -> None:
        """Take a factory of the library; `from_seed` makes one."""
        self._inner = inner

    @classmethod
    def from_seed(cls, seed: bytes) -> SeedFactory:
        """Return the factory over 32 bytes of secure randomness.

        Raises:
            UsageError: the seed isn't 32 bytes long.
        """
        if len(seed) != _umbral.SecretKeyFactory.seed_size():
            raise UsageError(f"a seed has 32 bytes, got {len(seed)}")
        return cls(_umbral.SecretKeyFactory.from_secure_randomness(seed))

    def factory(self, label: bytes) -> SeedFactory:
        """Return the factory below this one under `label`."""
        return SeedFactory(self._inner.make_factory(label))

    def key(self, label: bytes) -> SecretKey:
        """Return the secret key under `label`."""
        return SecretKey(self._inner.make_key(label))

    def secret(self, label: bytes) -> bytes:
        """Return 32 secret bytes under `label`."""
        # The library gives 64 uniformly random bytes; any half of them is as good.
        return bytes(self._inner.make_secret(label))[:32]

    def scalar(self, label: bytes) -> bytes:
        """Return a secret scalar of secp256k1 under `label`, 32 bytes: never zero, always below the order."""
        return bytes(self._inner.make_key(label).to_be_bytes())

    def __repr__(self) -> str:
        return "SeedFactory()"


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Check an Umbral signature.

    Raises:
        IntegrityError: it doesn't fit, or is the malleable twin of one that does.
    """
    _check_size(signature, SIGNATURE_SIZE, "signature")
    # ECDSA accepts s and its negative. With both accepted, one receipt or header would have two valid encodings.
    if int.from_bytes(signature[32:], "big") > HALF_ORDER:
        raise IntegrityError("the signature isn't in canonical form")
    _check_size(public, PUBLIC_SIZE, "public key")
    # Umbral's signature is ECDSA over SHA-256 on secp256k1, whichever implementation made it.
    if not verifies(_secp_public(public), sha256(message).digest(), signature):
        raise IntegrityError("the signature doesn't fit the key and the message")


def verify_all(public: bytes, signed: Sequence[tuple[bytes, bytes]]) -> list[bool]:
    """Tell of each message and signature, 64 bytes, of one key whether `verify` takes them; any thread may call it.

    Raises:
        IntegrityError: `public` isn't a key.
    """
    _check_size(public, PUBLIC_SIZE, "public key")
    # The library itself refuses the malleable twin.
    return verifies_all(_secp_public(public), [(sha256(message).digest(), signature) for message, signature in signed])


def wrap(public: bytes, key: bytes) -> bytes:
    """Return `key` (32 bytes) encrypted to a lane or an actor: `WRAP_SIZE` bytes.

    Raises:
        UsageError: the key doesn't have 32 bytes.
        IntegrityError: `public` isn't a point.
    """
    if len(key) != KEY_SIZE:
        raise UsageError(f"a wrapped key has 32 bytes, got {len(key)}")
    return bytes([VERSION]) + bytes(_kits.MessageKit(_public(public), key, None))


def wrap_nothing() -> bytes:
    """Return what nothing tells from a wrap, and what nobody opens: `WRAP_SIZE` bytes."""
    made = getattr(_kits.MessageKit, "of_nobody", None)
    if made is not None:
        return bytes([VERSION]) + bytes(made())
    # An implementation that has no other way: to a key whose secret is forgotten at once. Random bytes, not a key that
    # is in use: no secret key whatever, not even of a point that is nobody's, finds anything there.
    return wrap(SecretKey.random().public, os.urandom(KEY_SIZE))


def unwrap(secret: SecretKey, wrapped: bytes) -> bytes:
    """Return the key in a wrap made for `secret`.

    Raises:
        IntegrityError: it was made for another key, or a byte was changed.
    """
    try:
        return _key32(_message_kit(wrapped).decrypt(secret._inner))
    except _OUTSIDE:
        raise IntegrityError("the wrapped key doesn't open with this secret key") from None


def capsule_of(wrapped: bytes) -> bytes:
    """Return the capsule in a wrap: what a proxy needs of it, `CAPSULE_SIZE` bytes.

    Raises:
        IntegrityError: it is no wrap.
    """
    return bytes(_message_kit(wrapped).capsule)


def delegate(secret: SecretKey, receiving: bytes, signer: Signer, *, threshold: int, shares: int) -> list[bytes]:
    """Return kfrags: any `threshold` of `shares` proxies turn wraps for `secret` into wraps for `receiving`.

    Both keys are signed into each kfrag.

    Raises:
        UsageError: not 2 <= threshold <= shares. The library would take threshold 0, with which one cfrag opens.
        IntegrityError: `receiving` isn't a point.
    """
    return delegate_many([secret], receiving, signer, threshold=threshold, shares=shares)[0]


def delegate_many(
    secrets: Sequence[SecretKey], receiving: bytes, signer: Signer, *, threshold: int, shares: int
) -> list[list[bytes]]:
    """Return for each of some keys what `delegate` returns; raises as it does. Their kfrags share nothing."""
    if not 2 <= threshold <= shares <= 255:
        raise UsageError(f"threshold {threshold} of {shares} shares: 2 <= threshold <= shares <= 255 must hold")
    # True, True: the signatures cover the delegating and the receiving key, so that a kfrag can't be moved to another
    # pair of keys.
    inner, to = [secret._inner for secret in secrets], _public(receiving)
    # One implementation shares work between them.
    together = getattr(_umbral, "generate_many", None)
    if together is not None:
        made = together(inner, to, signer._inner, threshold, shares, True, True)
    else:
        made = [_umbral.generate_kfrags(one, to, signer._inner, threshold, shares, True, True) for one in inner]
    return [[bytes(kfrag) for kfrag in kfrags] for kfrags in made]


def check_kfrag_form(kfrag: bytes) -> None:
    """Check what a look at a kfrag's bytes shows, without any curve arithmetic; `check_kfrag` checks the rest.

    Raises:
        IntegrityError: wrong size, foreign base point, or a key that isn't signed.
    """
    _check_size(kfrag, KFRAG_SIZE, "kfrag")
    # The library takes the base point from the wire: whoever made it could know its discrete logarithm.
    if kfrag[_U] != _standard_u():
        raise IntegrityError("the kfrag uses a foreign base point")
    if not kfrag.endswith(_BOTH_SIGNED):
        raise IntegrityError("the kfrag's signature doesn't cover both keys")


def check_capsule_form(capsule: bytes) -> None:
    """Check what a look at a capsule's bytes shows, without any curve arithmetic; `reencrypt` checks the rest.

    Raises:
        IntegrityError: wrong size, a point that is none in this encoding, or points that cancel out.
    """
    _check_size(capsule, CAPSULE_SIZE, "capsule")
    _check_points(capsule)


def check_kfrag(kfrag: bytes, *, verifying: bytes, delegating: bytes, receiving: bytes) -> VerifiedKfrag:
    """Check a kfrag from the wire.

    Args:
        kfrag: `KFRAG_SIZE` bytes.
        verifying: the public key of the signer that made it.
        delegating: the lane's public key.
        receiving: the grantee's public key.

    Raises:
        IntegrityError: wrong size, foreign base point, other encoding, a key that isn't signed, or a key or signature
            that doesn't fit.
    """
    return _checked_kfrag(kfrag, verifying, delegating, receiving, kept=False)


def kept_kfrag(kfrag: bytes, *, verifying: bytes, delegating: bytes, receiving: bytes) -> VerifiedKfrag:
    """Check a kfrag that `check_kfrag` found good when it came, and that was kept under a seal of one's own.

    All is checked again but that its commitment fits its key, which costs a multiplication of the curve: the proof of
    each cfrag that is made with it says so, and none is handed out before its proof is checked. The arguments and what
    it raises are those of `check_kfrag`.
    """
    return _checked_kfrag(kfrag, verifying, delegating, receiving, kept=True)


def _checked_kfrag(kfrag: bytes, verifying: bytes, delegating: bytes, receiving: bytes, *, kept: bool) -> VerifiedKfrag:
    check_kfrag_form(kfrag)
    keys = _public(verifying), _public(delegating), _public(receiving)
    # nucypher_core doesn't look at this one: a kfrag without it would be stored, and no cfrag of it would ever verify.
    # The other implementation does, and finds it looked up.
    signed = kfrag[_ID] + kfrag[_COMMITMENT] + kfrag[_PRECURSOR] + b"\x01" + delegating + b"\x01" + receiving
    try:
        check_signed(verifying, signed, kfrag[_FOR_RECEIVER])
    except ValueError:
        raise IntegrityError("the kfrag's signature doesn't fit its keys") from None
    try:
        parsed = _umbral.KeyFrag.from_bytes(kfrag)
        # A kfrag with a second encoding would have a second digest, and the terms name one.
        if bytes(parsed) != kfrag:
            raise IntegrityError("the kfrag isn't in canonical form")
        # An implementation that always checks everything has no other way.
        checked = getattr(parsed, "verify_kept", parsed.verify) if kept else parsed.verify
        return VerifiedKfrag(checked(*keys))
    except _OUTSIDE:
        raise IntegrityError("the kfrag doesn't fit its keys") from None


def reencrypt(capsule: bytes, kfrag: VerifiedKfrag, *, verifying: bytes, delegating: bytes, receiving: bytes) -> bytes:
    """Return the cfrag of one capsule, verified before it is handed out: `CFRAG_SIZE` bytes.

    Raises:
        IntegrityError: the capsule is malformed, or the result doesn't verify.
    """
    cfrag = bytes(_umbral.reencrypt(_capsule(capsule), kfrag._inner))
    check_cfrag(cfrag, capsule, verifying=verifying, delegating=delegating, receiving=receiving)
    return cfrag


def reencrypt_many(
    capsules: Sequence[bytes], kfrag: VerifiedKfrag, *, verifying: bytes, delegating: bytes, receiving: bytes
) -> list[bytes]:
    """Return the cfrags of many capsules of one lane, each verified before any is handed out.

    What `reencrypt` does, without reading back what it has just written: the check works on the object that the bytes
    are made of.

    Raises:
        IntegrityError: a capsule is malformed, or a result doesn't verify.
    """
    keys = _public(verifying), _public(delegating), _public(receiving)
    cfrags: list[bytes] = []
    for capsule in capsules:
        parsed = _capsule(capsule)
        made = _umbral.reencrypt(parsed, kfrag._inner)
        try:
            # Unverified by type only, so that it can be verified for real: against a fault of this machine.
            checked = made.unverify().verify(parsed, *keys)
        except _OUTSIDE:
            raise IntegrityError("this machine made a cfrag that doesn't fit capsule and keys") from None
        # None is handed out before all are verified: a caller that stops at an error has no half list.
        cfrags.append(bytes(checked))
    return cfrags


def check_cfrag(cfrag: bytes, capsule: bytes, *, verifying: bytes, delegating: bytes, receiving: bytes) -> None:
    """Check a proxy's cfrag against capsule and keys.

    Raises:
        IntegrityError: it doesn't fit; the proxy that sent it lies.
    """
    _verified_cfrag(cfrag, capsule, verifying, delegating, receiving)


def unwrap_reencrypted(
    secret: SecretKey,
    wrapped: bytes,
    cfrags: Sequence[bytes],
    *,
    verifying: bytes,
    delegating: bytes,
    threshold: int,
) -> bytes:
    """Return the key in a wrap made for `delegating`, with the help of `threshold` cfrags.

    Raises:
        UsageError: fewer than `threshold` cfrags.
        IntegrityError: a cfrag doesn't verify, or the wrap doesn't open.
    """
    if not 2 <= threshold <= len(cfrags):
        raise UsageError(f"{len(cfrags)} cfrags, threshold {threshold}")
    kit = _message_kit(wrapped)
    # Verified here too, although the client verified each when it came: between the two they were bytes again. Those of
    # the same bytes are only looked up.
    capsule = bytes(kit.capsule)
    verified = [_verified_cfrag(one, capsule, verifying, delegating, secret.public) for one in cfrags[:threshold]]
    try:
        return _key32(kit.decrypt_reencrypted(secret._inner, _public(delegating), verified))
    except _OUTSIDE:
        raise IntegrityError("the re-encrypted key doesn't open") from None


def _verified_cfrag(
    cfrag: bytes, capsule: bytes, verifying: bytes, delegating: bytes, receiving: bytes
) -> _umbral.VerifiedCapsuleFrag:
    _check_size(cfrag, CFRAG_SIZE, "cfrag")
    _check_size(capsule, CAPSULE_SIZE, "capsule")
    for key in (verifying, delegating, receiving):
        _check_size(key, PUBLIC_SIZE, "public key")
    return _found_good(cfrag, capsule, verifying, delegating, receiving)


# A reader checks each cfrag when it comes, and once more when it opens: what was found good, of these very bytes and
# for these very keys, is good. What isn't raises, and isn't kept. Nothing in it is secret.
@lru_cache(maxsize=2048)
def _found_good(
    cfrag: bytes, capsule: bytes, verifying: bytes, delegating: bytes, receiving: bytes
) -> _umbral.VerifiedCapsuleFrag:
    keys = _public(verifying), _public(delegating), _public(receiving)
    inside = _capsule(capsule)
    try:
        parsed = _umbral.CapsuleFrag.from_bytes(cfrag)
        if bytes(parsed) != cfrag:
            raise IntegrityError("the cfrag isn't in canonical form")
        return parsed.verify(inside, *keys)
    except _OUTSIDE:
        raise IntegrityError("the cfrag doesn't fit capsule and keys") from None


def _message_kit(wrapped: bytes) -> _kits.MessageKit:
    _check_size(wrapped, WRAP_SIZE, "wrap")
    return _parsed_kit(wrapped)


# Parsing a point, a capsule or a wrap verifies it, 20 to 250 microseconds: keep what is used again at once.
@lru_cache(maxsize=4096)
def _parsed_kit(wrapped: bytes) -> _kits.MessageKit:
    if wrapped[0] != VERSION:
        raise IntegrityError(f"wrap of version {wrapped[0]}, expected {VERSION}")
    # Read for itself too, and kept: what a proxy is asked for is the same capsule.
    _capsule(wrapped[_CAPSULE_IN_WRAP])
    try:
        kit = _kits.MessageKit.from_bytes(wrapped[1:])
    except _OUTSIDE:
        raise IntegrityError("the wrap can't be read") from None
    if bytes(kit) != wrapped[1:]:
        raise IntegrityError("the wrap isn't in canonical form")
    return kit


def _check_size(data: bytes, size: int, what: str) -> None:
    # What comes from somebody's block may be of any type.
    if not isinstance(data, bytes) or len(data) != size:
        raise IntegrityError(f"a {what} has {size} bytes")


def _check_points(capsule: bytes) -> None:
    # The library takes a capsule whose points E and V are each other's negative, and panics when it opens it: their sum
    # has no encoding. Anybody can make one, for anybody's public key. No honest one has two points of one x.
    if capsule[_E_X] == capsule[_V_X]:
        raise IntegrityError("the capsule's points cancel out")


def check_public(compressed: bytes) -> None:
    """Check that something can be wrapped to a public key, 33 bytes.

    Raises:
        IntegrityError: it is no point of the curve, or not in canonical form.
    """
    _public(compressed)


def _public(compressed: bytes) -> _umbral.PublicKey:
    _check_size(compressed, PUBLIC_SIZE, "public key")
    return _point(compressed)


@lru_cache(maxsize=1024)
def _point(compressed: bytes) -> _umbral.PublicKey:
    try:
        point = _umbral.PublicKey.from_compressed_bytes(compressed)
    except _OUTSIDE as exc:
        raise IntegrityError("the public key isn't a point of the curve") from exc
    # The library also takes a point without its sign, under a mark of its own.
    if point.to_compressed_bytes() != compressed:
        raise IntegrityError("the public key isn't in canonical form")
    return point


@lru_cache(maxsize=256)
def _secp_public(compressed: bytes) -> Point:
    try:
        return Point.parse(compressed)
    except ValueError as exc:
        raise IntegrityError("the public key isn't a point of the curve") from exc


def _capsule(capsule: bytes) -> _umbral.Capsule:
    _check_size(capsule, CAPSULE_SIZE, "capsule")
    return _parsed_capsule(capsule)


@lru_cache(maxsize=4096)
def _parsed_capsule(capsule: bytes) -> _umbral.Capsule:
    _check_points(capsule)
    try:
        parsed = _umbral.Capsule.from_bytes(capsule)
    except _OUTSIDE as exc:
        raise IntegrityError("the capsule can't be read") from exc
    if bytes(parsed) != capsule:
        raise IntegrityError("the capsule isn't in canonical form")
    return parsed


@lru_cache(maxsize=1)
def _standard_u() -> bytes:
    # The library doesn't export it, so read it off a kfrag of our own.
    secret = SecretKey.random()
    kfrag = delegate(secret, secret.public, Signer(secret), threshold=2, shares=2)[0]
    return kfrag[_U]


def _key32(plain: bytes | None) -> bytes:
    if plain is None or len(plain) != KEY_SIZE:
        raise IntegrityError("the wrap doesn't hold a key of 32 bytes")
    return bytes(plain)
