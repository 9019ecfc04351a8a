"""Umbral once more, slowly: secp256k1 by integers, and everything of Umbral above it, for the tests alone.

It shares no code with nucypher_core, so each can be held against the other. Strict where security rule 8 is strict: one
encoding of everything, one base point, both keys signed, both signatures checked, no high `s`.
Never constant time, never to be used for a key that matters.

Follows Nunez, "Umbral: a threshold proxy re-encryption scheme" (2018); SEC 1 and SEC 2 (the curve); RFC 9380
(hash to curve, suite secp256k1_XMD:SHA-256_SSWU_RO_); RFC 5869 (HKDF); draft-irtf-cfrg-xchacha-03 (XChaCha20-Poly1305);
and, for what the paper leaves open (tags, order of what is hashed, encoding), the published reference implementation,
rust-umbral 0.11.

    H(tag, parts)  = 1 + SHA-256(length of tag (4) ‖ tag ‖ parts) mod (order - 1)
    capsule        = E, V, s              s·G = V + H(CAPSULE_POINTS, E ‖ V)·E
    d              = H(SHARED_SECRET, X ‖ receiving ‖ x·receiving)       X = x·G, the precursor
    index of share = H(POLYNOMIAL_ARG, X ‖ receiving ‖ x·receiving ‖ id)
    key of share   = f(index), where f(0) = delegating / d
    cfrag          = key·E, key·V, and a proof that the same key stands in the commitment key·U
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

P = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
Point = tuple[int, int] | None
"""Affine coordinates; None is the identity."""
G: Point = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


class OracleError(Exception):
    """The oracle refuses it."""


def need(holds: bool, what: str) -> None:
    """Go on only if it holds."""
    if not holds:
        raise OracleError(what)


# The curve: y² = x³ + 7 over the integers modulo P.

Jacobian = tuple[int, int, int]


def _double(a: Jacobian) -> Jacobian:
    x, y, z = a
    if not y or not z:
        return 0, 1, 0
    s = 4 * x * y * y % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * pow(y, 4, P)) % P, 2 * y * z % P


def _add(a: Jacobian, b: Jacobian) -> Jacobian:
    if not a[2]:
        return b
    if not b[2]:
        return a
    aa, bb = a[2] * a[2] % P, b[2] * b[2] % P
    u1, u2 = a[0] * bb % P, b[0] * aa % P
    s1, s2 = a[1] * bb * b[2] % P, b[1] * aa * a[2] % P
    h, r = (u2 - u1) % P, (s2 - s1) % P
    if not h:
        return (0, 1, 0) if r else _double(a)
    hh = h * h % P
    v = u1 * hh % P
    x3 = (r * r - h * hh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * h * hh) % P, h * a[2] * b[2] % P


def _jacobian(point: Point) -> Jacobian:
    return (0, 1, 0) if point is None else (*point, 1)


def _affine(a: Jacobian) -> Point:
    if not a[2]:
        return None
    inverse = pow(a[2], -1, P)
    return a[0] * inverse * inverse % P, a[1] * pow(inverse, 3, P) % P


def add(*points: Point) -> Point:
    """Return the sum of points."""
    total: Jacobian = (0, 1, 0)
    for point in points:
        total = _add(total, _jacobian(point))
    return _affine(total)


def mul(scalar: int, point: Point) -> Point:
    """Return scalar times point."""
    total: Jacobian = (0, 1, 0)
    base = _jacobian(point)
    for bit in bin(scalar % ORDER)[2:]:
        total = _double(total)
        if bit == "1":
            total = _add(total, base)
    return _affine(total)


def encode(point: Point) -> bytes:
    """Return a compressed point, SEC 1 section 2.3.3, 33 bytes."""
    if point is None:
        raise OracleError("the identity has no encoding of 33 bytes")
    return bytes([2 + point[1] % 2]) + point[0].to_bytes(32, "big")


@lru_cache(maxsize=64)
def public(secret: int) -> bytes:
    """Return the public key of a secret one, compressed."""
    return encode(mul(secret, G))


def decode(data: bytes) -> Point:
    """Return the point that was compressed."""
    need(len(data) == 33 and data[0] in (2, 3), "no compressed point")
    x = int.from_bytes(data[1:], "big")
    need(x < P, "no field element")
    y = _sqrt((pow(x, 3, P) + 7) % P)
    if y is None:
        raise OracleError("no point of the curve")
    return x, y if y % 2 == data[0] % 2 else P - y


def _sqrt(square: int) -> int | None:
    root = pow(square, (P + 1) // 4, P)
    return root if root * root % P == square else None


# Hash to curve, RFC 9380: sections 5.3.1, 5.2, 6.6.2, 6.6.3, and 8.7 and appendix E.1 for the numbers.

_A = 0x3F8731ABDD661ADCA08A5558F0F5D272E953D363CB6F0E5D405447C01A444533
_B = 1771
_Z = P - 11
_ISOGENY = (
    (
        0x8E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38DAAAAA8C7,
        0x07D3D4C80BC321D5B9F315CEA7FD44C5D595D2FC0BF63B92DFFF1044F17C6581,
        0x534C328D23F234E6E2A413DECA25CAECE4506144037C40314ECBD0B53D9DD262,
        0x8E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38DAAAAA88C,
    ),
    (
        0xD35771193D94918A9CA34CCBB7B640DD86CD409542F8487D9FE6B745781EB49B,
        0xEDADC6F64383DC1DF7C4B2D51B54225406D36B641F5E41BBC52A56612A8C6D14,
        1,
    ),
    (
        0x4BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684B8E38E23C,
        0xC75E0C32D5CB7C0FA9D0A54B12A0A6D5647AB046D686DA6FDFFC90FC201D71A3,
        0x29A6194691F91A73715209EF6512E576722830A201BE2018A765E85A9ECEE931,
        0x2F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F38E38D84,
    ),
    (
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFF93B,
        0x7A06534BB8BDB49FD5E9E6632722C2989467C1BFC8E8D978DFB425D2685C2573,
        0x6484AA716545CA2CF3A70C3FA8FE337E0A3D21162F0D6299A7BF8192BFD2A76F,
        1,
    ),
)


def hash_to_curve(tag: bytes, message: bytes) -> Point:
    """Return the point that a message hashes to."""
    uniform = _expand(message, tag, 96)
    return add(*(_map(int.from_bytes(half, "big") % P) for half in (uniform[:48], uniform[48:])))


def _expand(message: bytes, tag: bytes, size: int) -> bytes:
    suffix = tag + bytes([len(tag)])
    first = sha256(bytes(64) + message + size.to_bytes(2, "big") + b"\x00" + suffix).digest()
    block = sha256(first + b"\x01" + suffix).digest()
    out = block
    for number in range(2, size // 32 + 1):
        block = sha256(bytes(a ^ b for a, b in zip(first, block, strict=True)) + bytes([number]) + suffix).digest()
        out += block
    return out


def _map(u: int) -> Point:
    t = _Z * u * u % P
    denominator = (t * t + t) % P
    x = -_B * pow(_A, -1, P) * (1 + pow(denominator, -1, P)) % P if denominator else _B * pow(_Z * _A, -1, P) % P
    y = _sqrt((pow(x, 3, P) + _A * x + _B) % P)
    if y is None:
        x = t * x % P
        y = _sqrt((pow(x, 3, P) + _A * x + _B) % P)
    assert y is not None
    if u % 2 != y % 2:
        y = P - y
    parts = [sum(k * pow(x, i, P) for i, k in enumerate(numbers)) % P for numbers in _ISOGENY]
    return parts[0] * pow(parts[1], -1, P) % P, y * parts[2] * pow(parts[3], -1, P) % P


@lru_cache(maxsize=1)
def base_u() -> Point:
    """Return Umbral's second base point, whose logarithm to G nobody knows."""
    return hash_to_curve(b"PARAMETERS", b"POINT_U")


def scalar(tag: bytes, *parts: bytes) -> int:
    """Return the scalar that the parts hash to: never zero."""
    digest = sha256(len(tag).to_bytes(4, "big") + tag + b"".join(parts)).digest()
    return int.from_bytes(digest, "big") % (ORDER - 1) + 1


# ECDSA, SEC 1 section 4.1, with SHA-256.


def sign(secret: int, message: bytes, nonce: int) -> bytes:
    """Return r ‖ s, with the smaller s."""
    point = mul(nonce, G)
    assert point is not None
    r = point[0] % ORDER
    s = pow(nonce, -1, ORDER) * (int.from_bytes(sha256(message).digest(), "big") + r * secret) % ORDER
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


def check_signature(public: Point, message: bytes, signature: bytes) -> None:
    """Refuse what isn't the signature of the message, or is its malleable twin."""
    need(len(signature) == 64, "a signature has 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    need(0 < r < ORDER and 0 < s <= ORDER // 2, "the signature isn't canonical")
    w = pow(s, -1, ORDER)
    point = add(mul(int.from_bytes(sha256(message).digest(), "big") * w, G), mul(r * w, public))
    need(point is not None and point[0] % ORDER == r, "the signature doesn't fit")


def twin(signature: bytes) -> bytes:
    """Return the other signature of the same message: r ‖ order - s."""
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


# What the reference implementation's MessagePack says, byte by byte: each string's length stands before it.

_KFRAG = (
    *((b"\x95\x91\xc4\x21", 33), (b"\xc4\x20", 32), (b"\xc4\x20", 32), (b"\xc4\x21", 33)),
    *((b"\x95\xc4\x21", 33), (b"\xc4\x40", 64), (b"\xc4\x40", 64), (b"", 2)),
)
_CFRAG = (
    *((b"\x95\xc4\x21", 33), (b"\xc4\x21", 33), (b"\xc4\x20", 32), (b"\xc4\x21", 33)),
    *((b"\x96\xc4\x21", 33), (b"\xc4\x21", 33), (b"\xc4\x21", 33), (b"\xc4\x21", 33)),
    *((b"\xc4\x20", 32), (b"\xc4\x40", 64)),
)
_CAPSULE = ((b"\x93\xc4\x21", 33), (b"\xc4\x21", 33), (b"\xc4\x20", 32))
_KIT = ((b"MKit\x00\x03\x00\x00\x93", 105), (b"\xc4\x48", 72), (b"\xc0", 0))
_SIGNED = b"\xc3\xc3"
"""Two booleans of MessagePack: the delegating and the receiving key are signed."""


def _split(data: bytes, layout: Sequence[tuple[bytes, int]]) -> list[bytes]:
    need(len(data) == sum(len(mark) + size for mark, size in layout), "another size")
    parts: list[bytes] = []
    at = 0
    for mark, size in layout:
        need(data[at : at + len(mark)] == mark, "another encoding")
        at += len(mark) + size
        parts.append(data[at - size : at])
    return parts


def _join(parts: Sequence[bytes], layout: Sequence[tuple[bytes, int]]) -> bytes:
    assert [len(part) for part in parts] == [size for _, size in layout]
    return b"".join(mark + part for part, (mark, _) in zip(parts, layout, strict=True))


def _number(data: bytes) -> int:
    value = int.from_bytes(data, "big")
    need(value < ORDER, "no scalar")
    return value


def _bytes(value: int) -> bytes:
    return value.to_bytes(32, "big")


@dataclass(frozen=True)
class Capsule:
    """E, V and s of one encapsulated key."""

    e: Point
    v: Point
    s: int

    @classmethod
    def parse(cls, data: bytes) -> Capsule:
        """Read and check 105 bytes."""
        e, v, s = _split(data, _CAPSULE)
        capsule = cls(decode(e), decode(v), _number(s))
        need(mul(capsule.s, G) == add(capsule.v, mul(capsule.h, capsule.e)), "the capsule contradicts itself")
        return capsule

    @property
    def h(self) -> int:
        """What E and V hash to."""
        return scalar(b"CAPSULE_POINTS", encode(self.e), encode(self.v))

    def to_bytes(self) -> bytes:
        """Return its encoding, 105 bytes."""
        return _join([encode(self.e), encode(self.v), _bytes(self.s)], _CAPSULE)

    def bound(self) -> bytes:
        """Return what the sealed data is bound to: the capsule without lengths."""
        return encode(self.e) + encode(self.v) + _bytes(self.s)


@dataclass(frozen=True)
class Kfrag:
    """One share of a re-encryption key."""

    u: bytes
    id: bytes
    key: int
    precursor: bytes
    commitment: bytes
    for_proxy: bytes
    """Signature that the reference implementation checks when it verifies a kfrag."""
    for_receiver: bytes
    """Signature that it hands on in each cfrag, and doesn't check in a kfrag."""
    flags: bytes = _SIGNED

    @classmethod
    def parse(cls, data: bytes) -> Kfrag:
        """Read 310 bytes."""
        u, ident, key, precursor, commitment, for_proxy, for_receiver, flags = _split(data, _KFRAG)
        for point in (u, precursor, commitment):
            decode(point)
        return cls(u, ident, _number(key), precursor, commitment, for_proxy, for_receiver, flags)

    def to_bytes(self) -> bytes:
        """Return its encoding, 310 bytes."""
        parts = [self.u, self.id, _bytes(self.key), self.precursor, self.commitment, self.for_proxy]
        return _join([*parts, self.for_receiver, self.flags], _KFRAG)


@dataclass(frozen=True)
class Cfrag:
    """One share of a re-encrypted capsule, with its proof."""

    e1: bytes
    v1: bytes
    id: bytes
    precursor: bytes
    e2: bytes
    v2: bytes
    commitment: bytes
    pok: bytes
    z: int
    signature: bytes

    @classmethod
    def parse(cls, data: bytes) -> Cfrag:
        """Read 381 bytes."""
        e1, v1, ident, precursor, e2, v2, commitment, pok, z, signature = _split(data, _CFRAG)
        for point in (e1, v1, precursor, e2, v2, commitment, pok):
            decode(point)
        return cls(e1, v1, ident, precursor, e2, v2, commitment, pok, _number(z), signature)

    def to_bytes(self) -> bytes:
        """Return its encoding, 381 bytes."""
        parts = [self.e1, self.v1, self.id, self.precursor, self.e2, self.v2, self.commitment, self.pok]
        return _join([*parts, _bytes(self.z), self.signature], _CFRAG)


def signed_message(frag: Kfrag | Cfrag, delegating: bytes, receiving: bytes, flags: bytes = _SIGNED) -> bytes:
    """Return what a kfrag's signer signs; a key that isn't signed is left out."""
    keys = b"".join(
        b"\x01" + key if flag == 0xC3 else b"\x00" for key, flag in zip((delegating, receiving), flags, strict=True)
    )
    return frag.id + frag.commitment + frag.precursor + keys


@dataclass(frozen=True)
class Randomness:
    """Everything random in a set of kfrags."""

    precursor: int
    coefficients: tuple[int, ...]
    """Of the polynomial, without the constant one: threshold - 1 of them."""
    ids: tuple[bytes, ...]
    """32 bytes for each share."""
    nonces: tuple[int, ...]
    """Of the signatures, two for each share."""


def generate_kfrags(delegating: int, receiving: bytes, signing: int, randomness: Randomness) -> list[Kfrag]:
    """Return one kfrag for each of the IDs; the threshold is the number of coefficients and one."""
    precursor = encode(mul(randomness.precursor, G))
    shared = encode(mul(randomness.precursor, decode(receiving)))
    d = scalar(b"SHARED_SECRET", precursor, receiving, shared)
    polynomial = (delegating * pow(d, -1, ORDER) % ORDER, *randomness.coefficients)
    delegating_public = public(delegating)
    kfrags = []
    for number, ident in enumerate(randomness.ids):
        index = scalar(b"POLYNOMIAL_ARG", precursor, receiving, shared, ident)
        key = sum(a * pow(index, i, ORDER) for i, a in enumerate(polynomial)) % ORDER
        bare = Kfrag(encode(base_u()), ident, key, precursor, encode(mul(key, base_u())), b"", b"")
        message = signed_message(bare, delegating_public, receiving)
        first, second = (sign(signing, message, nonce) for nonce in randomness.nonces[2 * number : 2 * number + 2])
        kfrags.append(Kfrag(bare.u, ident, key, precursor, bare.commitment, first, second))
    return kfrags


def check_kfrag(data: bytes, *, verifying: bytes, delegating: bytes, receiving: bytes) -> Kfrag:
    """Return the kfrag if everything in it is as it must be."""
    kfrag = Kfrag.parse(data)
    need(kfrag.u == encode(base_u()), "a foreign base point")
    need(kfrag.flags == _SIGNED, "a key isn't signed")
    need(mul(kfrag.key, base_u()) == decode(kfrag.commitment), "the commitment doesn't fit")
    for signature in (kfrag.for_proxy, kfrag.for_receiver):
        check_signature(decode(verifying), signed_message(kfrag, delegating, receiving), signature)
    return kfrag


def reencrypt(capsule: Capsule, kfrag: Kfrag, nonce: int) -> Cfrag:
    """Return the cfrag of a capsule, its proof made with this nonce."""
    e1, v1 = mul(kfrag.key, capsule.e), mul(kfrag.key, capsule.v)
    e2, v2, pok = mul(nonce, capsule.e), mul(nonce, capsule.v), mul(nonce, base_u())
    commitment = decode(kfrag.commitment)
    h = _challenge(capsule.e, e1, e2, capsule.v, v1, v2, base_u(), commitment, pok)
    parts = [encode(point) for point in (e1, v1, e2, v2, pok)]
    z = (nonce + h * kfrag.key) % ORDER
    return Cfrag(
        *(parts[0], parts[1], kfrag.id, kfrag.precursor, parts[2], parts[3], kfrag.commitment, parts[4]),
        z,
        kfrag.for_receiver,
    )


def check_cfrag(data: bytes, capsule: Capsule, *, verifying: bytes, delegating: bytes, receiving: bytes) -> Cfrag:
    """Return the cfrag if it is the capsule's, made with a kfrag that the signer signed."""
    cfrag = Cfrag.parse(data)
    check_signature(decode(verifying), signed_message(cfrag, delegating, receiving), cfrag.signature)
    e1, v1, e2, v2 = (decode(point) for point in (cfrag.e1, cfrag.v1, cfrag.e2, cfrag.v2))
    commitment, pok = decode(cfrag.commitment), decode(cfrag.pok)
    h = _challenge(capsule.e, e1, e2, capsule.v, v1, v2, base_u(), commitment, pok)
    need(mul(cfrag.z, capsule.e) == add(e2, mul(h, e1)), "E wasn't re-encrypted")
    need(mul(cfrag.z, capsule.v) == add(v2, mul(h, v1)), "V wasn't re-encrypted")
    need(mul(cfrag.z, base_u()) == add(pok, mul(h, commitment)), "another key than the committed one")
    return cfrag


def _challenge(*points: Point) -> int:
    return scalar(b"CFRAG_VERIFICATION", *(encode(point) for point in points))


def encapsulate(public: bytes, r: int, u: int) -> tuple[Capsule, bytes]:
    """Return a capsule and the key seed in it, made with these two random scalars."""
    e, v = mul(r, G), mul(u, G)
    h = scalar(b"CAPSULE_POINTS", encode(e), encode(v))
    return Capsule(e, v, (u + r * h) % ORDER), encode(mul(r + u, decode(public)))


def open_original(capsule: Capsule, secret: int) -> bytes:
    """Return the key seed, by the key that the capsule was made for."""
    return encode(mul(secret, add(capsule.e, capsule.v)))


def open_reencrypted(capsule: Capsule, secret: int, delegating: bytes, cfrags: Sequence[Cfrag]) -> bytes:
    """Return the key seed, by the grantee's key and enough cfrags."""
    need(len({cfrag.precursor for cfrag in cfrags}) == 1, "cfrags of several grants")
    d, indices = _shares(secret, cfrags)
    e, v = None, None
    for cfrag, weight in zip(cfrags, _weights(indices), strict=True):
        e, v = add(e, mul(weight, decode(cfrag.e1))), add(v, mul(weight, decode(cfrag.v1)))
    inverse = pow(d, -1, ORDER)
    need(mul(capsule.s * inverse, decode(delegating)) == add(mul(capsule.h, e), v), "not enough, or not the right ones")
    return encode(mul(d, add(e, v)))


def lane_secret(kfrags: Sequence[Kfrag], secret: int) -> int:
    """Return the delegating secret key: what `threshold` proxies and the grantee compute together (security rule 2)."""
    d, indices = _shares(secret, kfrags)
    return d * sum(weight * kfrag.key for kfrag, weight in zip(kfrags, _weights(indices), strict=True)) % ORDER


def _shares(secret: int, frags: Sequence[Kfrag] | Sequence[Cfrag]) -> tuple[int, list[int]]:
    precursor = frags[0].precursor
    hashed = precursor, public(secret), encode(mul(secret, decode(precursor)))
    return scalar(b"SHARED_SECRET", *hashed), [scalar(b"POLYNOMIAL_ARG", *hashed, frag.id) for frag in frags]


def _weights(indices: Sequence[int]) -> list[int]:
    # Lagrange's, for the polynomial's value at 0.
    need(len(set(indices)) == len(indices), "the same share twice")
    weights = []
    for i, own in enumerate(indices):
        weight = 1
        for j, other in enumerate(indices):
            if i != j:
                weight = weight * other * pow(other - own, -1, ORDER) % ORDER
        weights.append(weight)
    return weights


# The sealed data: XChaCha20-Poly1305 under HKDF-SHA256 of the key seed.


def seal(seed: bytes, plain: bytes, capsule: Capsule, nonce: bytes) -> bytes:
    """Return nonce (24) ‖ ciphertext ‖ tag."""
    return nonce + _cipher(seed, nonce).encrypt(bytes(4) + nonce[16:], plain, capsule.bound())


def unseal(seed: bytes, sealed: bytes, capsule: Capsule) -> bytes:
    """Return the plaintext."""
    try:
        return _cipher(seed, sealed[:24]).decrypt(bytes(4) + sealed[16:24], sealed[24:], capsule.bound())
    except InvalidTag:
        raise OracleError("the seal doesn't open") from None


def _cipher(seed: bytes, nonce: bytes) -> ChaCha20Poly1305:
    extracted = hmac.digest(bytes(32), seed, sha256)
    return ChaCha20Poly1305(_hchacha(hmac.digest(extracted, b"\x01", sha256), nonce[:16]))


def _hchacha(key: bytes, nonce: bytes) -> bytes:
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
    rounds += ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
    for _ in range(10):
        for a, b, c, d in rounds:
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                mixed = state[z] ^ state[x]
                state[z] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF
    return struct.pack("<8I", *state[:4], *state[12:])


def wrap(public: bytes, key: bytes, r: int, u: int, nonce: bytes) -> bytes:
    """Return a wrap, as docs/spec/formats.md has it, made with this randomness."""
    capsule, seed = encapsulate(public, r, u)
    return join_wrap(capsule, seal(seed, key, capsule, nonce))


def join_wrap(capsule: Capsule, sealed: bytes) -> bytes:
    """Return the wrap of a capsule and what is sealed under it."""
    return b"\x01" + _join([capsule.to_bytes(), sealed, b""], _KIT)


def split_wrap(wrapped: bytes) -> tuple[Capsule, bytes]:
    """Return a wrap's capsule, checked, and its sealed data."""
    need(wrapped[:1] == b"\x01", "another version")
    capsule, sealed, _ = _split(wrapped[1:], _KIT)
    return Capsule.parse(capsule), sealed
