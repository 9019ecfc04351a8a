"""The curve secp256k1 by libsecp256k1, for every floor above: points, secret scalars, ECDSA.

The only file that imports libsecp256k1. Secret scalars live in `Scalar`, and meet the functions of the library that
take the same time for each of them and no other (`SECRET_TAKERS`; `scripts/check_secret_scalars.py` holds this file to
it). No arithmetic of the curve of our own.

    secret times point     secp256k1_ecdh, with a callback that returns the point itself
    secret times G         secp256k1_ec_pubkey_create
    secret and secret      secp256k1_ec_seckey_tweak_add, secp256k1_ec_seckey_tweak_mul, secp256k1_ec_seckey_negate
    1 / secret             of the secret times a random one, which tells nothing of it
    signing                secp256k1_ecdsa_sign, secp256k1_ecdsa_sign_recoverable
    public times point     secp256k1_ec_pubkey_tweak_mul, secp256k1_ecdsa_recover: faster, and the time tells the scalar

What the library doesn't do itself: it checks no length, so each is checked here; given a point that an earlier failure
has zeroed it aborts the process in coincurve's build and says nothing in the other's, so what failed is never used
again, and each answer is looked at; it may run beside itself, since cffi releases the GIL, so no buffer is shared: each
call has buffers of its own.
Follows SEC 1 (encodings, ECDSA, ECDH), SEC 2 (the curve), BIP 62 (low s), RFC 6979 (nonces), and ADR 63.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable
from typing import Any, Final

from panachain.errors import ConfigurationError
from panachain.model.sizes import PUBLIC_SIZE, UMBRAL_SIGNATURE_SIZE

INSTALL: Final = "pip install coincurve; with Python 3.14 and later: pip install btclib-secp256k1"
"""What brings libsecp256k1."""

# Two packages bring the same library: coincurve, and the other where that has no wheel (Python 3.14).
try:
    from coincurve._libsecp256k1 import ffi, lib
except ImportError:
    try:
        from btclib_secp256k1 import ffi, lib
    except ImportError as exc:
        # Accounts, seals and signatures stand on it, whichever implementation of Umbral is set.
        raise ConfigurationError(f"libsecp256k1 can't be loaded: {exc}", hint=INSTALL) from None

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve's group, SEC 2 section 2.4.1."""
HALF_ORDER: Final = ORDER // 2
"""The highest `s` of a signature: larger values are malleable twins (SEC 1, BIP 62)."""
SCALAR_SIZE: Final = 32
DIGEST_SIZE: Final = 32
SIGNATURE_SIZE: Final = UMBRAL_SIGNATURE_SIZE
"""r ‖ s."""
SECRET_TAKERS: Final = frozenset(
    {
        *("secp256k1_ecdh", "secp256k1_ec_pubkey_create", "secp256k1_ecdsa_sign", "secp256k1_ecdsa_sign_recoverable"),
        *("secp256k1_ec_seckey_tweak_add", "secp256k1_ec_seckey_tweak_mul", "secp256k1_ec_seckey_negate"),
        "secp256k1_ec_seckey_verify",
    }
)
"""Functions of libsecp256k1 that take the same time for each secret scalar."""

NEEDED: Final = SECRET_TAKERS | {
    *("secp256k1_context_create", "secp256k1_context_randomize", "secp256k1_ec_pubkey_combine"),
    *("secp256k1_ec_pubkey_parse", "secp256k1_ec_pubkey_serialize", "secp256k1_ec_pubkey_tweak_mul"),
    *("secp256k1_ecdsa_recover", "secp256k1_ecdsa_recoverable_signature_parse_compact", "secp256k1_ecdsa_verify"),
    "secp256k1_ecdsa_recoverable_signature_serialize_compact",
    *("secp256k1_ecdsa_signature_parse_compact", "secp256k1_ecdsa_signature_serialize_compact"),
}
"""Functions without which nothing here works; a build of the library may lack a module of it."""
if missing := sorted(name for name in NEEDED if not hasattr(lib, name)):
    raise ConfigurationError(f"this libsecp256k1 was built without {', '.join(missing)}", hint=INSTALL)

_LAST: Final = (ORDER - 1).to_bytes(SCALAR_SIZE, "big")
_ONE: Final = (1).to_bytes(SCALAR_SIZE, "big")
_ZERO: Final = bytes(SCALAR_SIZE)
# secp256k1.h: flags of a context and of encodings, which not each of the two packages names.
_CONTEXT_NONE: Final = 1
_COMPRESSED: Final = 258
_UNCOMPRESSED: Final = 2
_UNCOMPRESSED_SIZE: Final = 65
_NEW_POINT: Final = ffi.typeof("secp256k1_pubkey *")
_NEW_SIGNATURE: Final = ffi.typeof("secp256k1_ecdsa_signature *")
_NEW_RECOVERABLE: Final = ffi.typeof("secp256k1_ecdsa_recoverable_signature *")
_NEW_32: Final = ffi.typeof("unsigned char[32]")
_NEW_33: Final = ffi.typeof("unsigned char[33]")
_NEW_64: Final = ffi.typeof("unsigned char[64]")
_NEW_65: Final = ffi.typeof("unsigned char[65]")
_NEW_POINTS: Final = ffi.typeof("secp256k1_pubkey *[]")
_NEW_SIZE: Final = ffi.typeof("size_t *")

_CONTEXT: Final = lib.secp256k1_context_create(_CONTEXT_NONE)
# Blinds what is multiplied with G, against side channels beyond time. A context is read by all threads from then on.
if lib.secp256k1_context_randomize(_CONTEXT, os.urandom(32)) != 1:  # pragma: no cover
    raise ImportError("libsecp256k1 can't randomize its context")

_interrupted = threading.local()


def _give_point(out: int, x: int, y: int, _: int | None) -> int:
    # Called by the library with the coordinates of the product, in the thread that asked for it.
    try:
        ctypes.memmove(out, x, 32)
        ctypes.memmove(out + 32, y, 32)
        return 1
    except BaseException as exc:  # noqa: BLE001
        # An interrupt (Ctrl-C) would be lost here: it can't go through the library. `Scalar.times` raises it again.
        _interrupted.by = exc
        return 0


# By ctypes: the callbacks of cffi want memory that is writable and executable, which systemd's
# MemoryDenyWriteExecute forbids. It lives as long as the process.
_CALLBACK: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    _give_point
)
_GIVE_POINT: Final = ffi.cast("secp256k1_ecdh_hash_function", ctypes.cast(_CALLBACK, ctypes.c_void_p).value)


class Point:
    """A point of the curve, never infinity. Two are equal when their encodings are."""

    __slots__ = ("_encoded", "_key")

    def __init__(self, key: Any, encoded: bytes | None = None) -> None:
        """Take a point of the library, which nothing writes to again; `parse` reads one."""
        self._key = key
        self._encoded = encoded

    @classmethod
    def parse(cls, data: bytes) -> Point:
        """Read a compressed point, SEC 1 section 2.3.4: 33 bytes.

        Raises:
            ValueError: it is no compressed point of the curve.
        """
        if type(data) is not bytes or len(data) != PUBLIC_SIZE:
            raise ValueError(f"a compressed point has {PUBLIC_SIZE} bytes")
        key = ffi.new(_NEW_POINT)
        if lib.secp256k1_ec_pubkey_parse(_CONTEXT, key, data, PUBLIC_SIZE) != 1:
            raise ValueError("no point of the curve")
        return cls(key, data)

    @property
    def encoded(self) -> bytes:
        """The compressed point, SEC 1 section 2.3.3: 33 bytes."""
        if self._encoded is None:
            out, size = ffi.new(_NEW_33), ffi.new(_NEW_SIZE, PUBLIC_SIZE)
            _check_given(lib.secp256k1_ec_pubkey_serialize(_CONTEXT, out, size, self._key, _COMPRESSED))
            self._encoded = bytes(ffi.buffer(out))
        return self._encoded

    @property
    def uncompressed(self) -> bytes:
        """The point with both coordinates, SEC 1 section 2.3.3: 65 bytes."""
        out, size = ffi.new(_NEW_65), ffi.new(_NEW_SIZE, _UNCOMPRESSED_SIZE)
        _check_given(lib.secp256k1_ec_pubkey_serialize(_CONTEXT, out, size, self._key, _UNCOMPRESSED))
        return bytes(ffi.buffer(out))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)

    def times(self, scalar: bytes) -> Point:
        """Return a **public** scalar times this point. The time that it takes tells the scalar.

        Random coefficients of Umbral's checks go through it, too: proxies don't know them, they serve for 256 checks,
        and are worth no plaintext. Whoever knew one could make a false cfrag pass the proof; the delegating key's
        equation has none, and refuses the wrap all the same. Then it isn't told which proxy lied.

        Args:
            scalar: 32 bytes; no key, nor anything that tells of one.

        Raises:
            ValueError: it is zero, or not below the order.
        """
        _check_size(scalar, SCALAR_SIZE, "scalar")
        key = ffi.new(_NEW_POINT, self._key[0])
        if lib.secp256k1_ec_pubkey_tweak_mul(_CONTEXT, key, scalar) != 1:
            # It has zeroed the point, which is none any more. Nobody has it but this line.
            raise ValueError("no scalar of the curve")
        return Point(key)

    def __add__(self, other: Point) -> Point:
        return total((self, other))

    def __repr__(self) -> str:
        return f"Point({self.encoded.hex()})"


class Scalar:
    """A secret scalar, 0 < scalar < order. Its `repr` shows nothing of it, and its memory is cleared when it goes."""

    __slots__ = ("_memory",)

    def __init__(self, secret: bytes) -> None:
        """Take a secret scalar, 32 bytes big-endian.

        Raises:
            ValueError: it is zero, not below the order, or has another size.
        """
        _check_size(secret, SCALAR_SIZE, "scalar")
        self._memory = ffi.new(_NEW_32, secret)
        if lib.secp256k1_ec_seckey_verify(_CONTEXT, self._memory) != 1:
            raise ValueError("no scalar of the curve")

    @classmethod
    def random(cls) -> Scalar:
        """Return a fresh scalar from the operating system's CSPRNG."""
        while True:
            drawn = os.urandom(SCALAR_SIZE)
            # Zero, or not below the order: once in 2^127 times.
            if _ZERO < drawn <= _LAST:
                return cls(drawn)

    @classmethod
    def of_digest(cls, digest: bytes) -> Scalar:
        """Return 1 + (a secret digest of 32 bytes mod (order - 1)), without an integer on the way."""
        _check_size(digest, DIGEST_SIZE, "digest")
        # Two cases that don't come: the digest is 0, or not below order - 1 (once in 2^127 times).
        if digest == _ZERO:
            return cls(_ONE)
        if digest >= _LAST:
            reduced = int.from_bytes(digest, "big") - (ORDER - 1) + 1
            return cls(reduced.to_bytes(SCALAR_SIZE, "big"))
        made = cls(digest)
        if lib.secp256k1_ec_seckey_tweak_add(_CONTEXT, made._memory, _ONE) != 1:  # pragma: no cover
            raise ValueError("no scalar of the curve")
        return made

    # Whatever it needs comes with it: at the end of the process the names of this module are gone before their objects.
    def __del__(self, _wipe: Any = ffi.memmove, _zeros: bytes = _ZERO, _size: int = SCALAR_SIZE) -> None:
        secret = getattr(self, "_memory", None)
        if secret is not None:
            _wipe(secret, _zeros, _size)

    def reveal(self) -> bytes:
        """Return the scalar, 32 bytes: to be sealed, or written into what is sealed, and for nothing else."""
        return bytes(ffi.buffer(self._memory))

    def hash_into(self, hasher: Any) -> None:
        """Update a hash of hashlib with the scalar, without a copy of it."""
        hasher.update(ffi.buffer(self._memory))

    def public(self) -> Point:
        """Return the scalar times G."""
        key = ffi.new(_NEW_POINT)
        if lib.secp256k1_ec_pubkey_create(_CONTEXT, key, self._memory) != 1:  # pragma: no cover
            raise ValueError("no scalar of the curve")
        return Point(key)

    def times(self, point: Point) -> Point:
        """Return the scalar times a point, in a time that doesn't tell the scalar."""
        out = ffi.new(_NEW_65)
        if lib.secp256k1_ecdh(_CONTEXT, out + 1, point._key, self._memory, _GIVE_POINT, ffi.NULL) != 1:
            interrupt = _interrupted.__dict__.pop("by", None)
            if interrupt is not None:
                raise interrupt
            raise ValueError("the curve's library gave no point")
        out[0] = 4
        data = bytes(ffi.buffer(out))
        key = ffi.new(_NEW_POINT)
        # Reading it checks that it is on the curve: a callback that wrote half a point isn't believed.
        if lib.secp256k1_ec_pubkey_parse(_CONTEXT, key, data, _UNCOMPRESSED_SIZE) != 1:
            raise ValueError("the curve's library gave no point")
        return Point(key, (b"\x03" if data[64] & 1 else b"\x02") + data[1:33])

    def plus(self, other: Scalar) -> Scalar:
        """Return the sum.

        Raises:
            ValueError: the sum is zero.
        """
        made = self._copy()
        if lib.secp256k1_ec_seckey_tweak_add(_CONTEXT, made._memory, other._memory) != 1:
            raise ValueError("the scalars cancel out")
        return made

    def by(self, other: Scalar) -> Scalar:
        """Return the product."""
        made = self._copy()
        if lib.secp256k1_ec_seckey_tweak_mul(_CONTEXT, made._memory, other._memory) != 1:  # pragma: no cover
            raise ValueError("no scalar of the curve")
        return made

    def negative(self) -> Scalar:
        """Return the order minus the scalar."""
        made = self._copy()
        if lib.secp256k1_ec_seckey_negate(_CONTEXT, made._memory) != 1:  # pragma: no cover
            raise ValueError("no scalar of the curve")
        return made

    def inverse(self) -> Scalar:
        """Return 1 / the scalar."""
        # Python's integers take a time that tells of them: what they see is the product with a random scalar, which is
        # a random scalar itself.
        blind = Scalar.random()
        inverted = pow(int.from_bytes(self.by(blind).reveal(), "big"), -1, ORDER)
        return Scalar(inverted.to_bytes(SCALAR_SIZE, "big")).by(blind)

    def sign(self, digest: bytes) -> bytes:
        """Return the ECDSA signature of a digest, 64 bytes r ‖ s with low s; its nonce is RFC 6979's."""
        _check_size(digest, DIGEST_SIZE, "digest")
        signature, out = ffi.new(_NEW_SIGNATURE), ffi.new(_NEW_64)
        if lib.secp256k1_ecdsa_sign(_CONTEXT, signature, digest, self._memory, ffi.NULL, ffi.NULL) != 1:
            raise ValueError("the curve's library gave no signature")
        _check_given(lib.secp256k1_ecdsa_signature_serialize_compact(_CONTEXT, out, signature))
        return bytes(ffi.buffer(out))

    def sign_recoverable(self, digest: bytes, *, more: bytes | None = None) -> bytes:
        """Return the same signature with what finds its key again, 65 bytes r ‖ s ‖ (0 to 3).

        Args:
            digest: 32 bytes.
            more: 32 bytes that make it another signature of the same digest, which counts as much and can't be told
                from the first without the key: RFC 6979's additional data (section 3.6).
        """
        _check_size(digest, DIGEST_SIZE, "digest")
        if more is not None:
            _check_size(more, DIGEST_SIZE, "additional data")
        signature, out, which = ffi.new(_NEW_RECOVERABLE), ffi.new(_NEW_64), ffi.new("int *")
        # Held by its name while the library reads it.
        also = ffi.NULL if more is None else ffi.from_buffer(more)
        if lib.secp256k1_ecdsa_sign_recoverable(_CONTEXT, signature, digest, self._memory, ffi.NULL, also) != 1:
            raise ValueError("the curve's library gave no signature")
        _check_given(lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(_CONTEXT, out, which, signature))
        return bytes(ffi.buffer(out)) + bytes([which[0]])

    def _copy(self) -> Scalar:
        made = Scalar.__new__(Scalar)
        made._memory = ffi.new(_NEW_32)
        ffi.memmove(made._memory, self._memory, SCALAR_SIZE)
        return made

    def __repr__(self) -> str:
        return "Scalar()"

    def __reduce__(self) -> Any:
        raise TypeError("a secret scalar isn't pickled")


def total(points: Iterable[Point]) -> Point:
    """Return the sum of points.

    Raises:
        ValueError: they cancel out: infinity has no encoding.
    """
    keys = [point._key for point in points]
    if not keys:
        raise ValueError("no points to add")
    key, array = ffi.new(_NEW_POINT), ffi.new(_NEW_POINTS, keys)
    if lib.secp256k1_ec_pubkey_combine(_CONTEXT, key, array, len(keys)) != 1:
        raise ValueError("the points cancel out")
    return Point(key)


def generator_less(of_generator: int, point: Point, of_point: int) -> Point:
    """Return `of_generator` * G - `of_point` * `point`, of **public** numbers, in one multiplication.

    It is what recovering a key from a signature computes: (s/r)·R - (m/r)·G, where R has the x coordinate r.

    Raises:
        ValueError: the result is infinity, or `of_point` is zero.
    """
    encoded = point.encoded
    r = int.from_bytes(encoded[1:], "big")
    if not 0 < r < ORDER:
        # One x coordinate in 2^127.
        raise ValueError("an x coordinate that no signature has")
    s, m = -of_point * r % ORDER, -of_generator * r % ORDER
    compact = encoded[1:] + s.to_bytes(SCALAR_SIZE, "big")
    signature, key = ffi.new(_NEW_RECOVERABLE), ffi.new(_NEW_POINT)
    parsed = lib.secp256k1_ecdsa_recoverable_signature_parse_compact(_CONTEXT, signature, compact, encoded[0] & 1)
    if parsed != 1:
        raise ValueError("no scalar of the curve")
    if lib.secp256k1_ecdsa_recover(_CONTEXT, key, signature, m.to_bytes(DIGEST_SIZE, "big")) != 1:
        raise ValueError("the points cancel out")
    return Point(key)


def verifies(public: Point, digest: bytes, signature: bytes) -> bool:
    """Tell whether a signature, 64 bytes r ‖ s with low s, is the key's for a digest."""
    _check_size(digest, DIGEST_SIZE, "digest")
    _check_size(signature, SIGNATURE_SIZE, "signature")
    parsed = ffi.new(_NEW_SIGNATURE)
    if lib.secp256k1_ecdsa_signature_parse_compact(_CONTEXT, parsed, signature) != 1:
        return False
    # It refuses a high s, too.
    return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, parsed, digest, public._key) == 1)


def verifies_all(public: Point, signed: Iterable[tuple[bytes, bytes]]) -> list[bool]:
    """Tell of each digest and signature of a key what `verifies` tells: for many, with little of Python between them.

    So threads that do it compute beside each other nearly all the time.
    """
    parse, verify, new = lib.secp256k1_ecdsa_signature_parse_compact, lib.secp256k1_ecdsa_verify, ffi.new
    key, context, kind = public._key, _CONTEXT, _NEW_SIGNATURE
    found = []
    for digest, signature in signed:
        _check_size(digest, DIGEST_SIZE, "digest")
        _check_size(signature, SIGNATURE_SIZE, "signature")
        parsed = new(kind)
        found.append(parse(context, parsed, signature) == 1 and verify(context, parsed, digest, key) == 1)
    return found


def signer_of(digest: bytes, signature: bytes) -> Point | None:
    """Return the key that made a signature of 65 bytes, r ‖ s ‖ (0 to 3), of a digest; None when it is none."""
    _check_size(digest, DIGEST_SIZE, "digest")
    if type(signature) is not bytes or len(signature) != SIGNATURE_SIZE + 1 or signature[SIGNATURE_SIZE] > 3:
        return None
    parsed, key = ffi.new(_NEW_RECOVERABLE), ffi.new(_NEW_POINT)
    which = signature[SIGNATURE_SIZE]
    if lib.secp256k1_ecdsa_recoverable_signature_parse_compact(_CONTEXT, parsed, signature[:64], which) != 1:
        return None
    return Point(key) if lib.secp256k1_ecdsa_recover(_CONTEXT, key, parsed, digest) == 1 else None


def _check_size(data: bytes, size: int, what: str) -> None:
    # The library reads as many bytes as it wants from where it is told to.
    if type(data) is not bytes or len(data) != size:
        raise ValueError(f"a {what} has {size} bytes")


def _check_given(answer: int) -> None:
    if answer != 1:
        raise ValueError("the curve's library gave nothing")
