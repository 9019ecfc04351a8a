"""Another implementation of Umbral, in the shape in which `panachain/crypto/umbral` asks for one.

It is the slow oracle with the names of nucypher_core, and shows what an implementation has to bring: these names,
errors that are `ValueError`, and the encodings of docs/spec/formats.md. What it doesn't bring is the derivation of keys
(`SecretKeyFactory`): another one would derive other keys from every seed that exists.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import randbelow
from types import SimpleNamespace

from tests.unit.crypto import umbral_oracle as oracle
from tests.unit.crypto.umbral_oracle import ORDER, OracleError


class VerificationError(ValueError):
    """What is checked doesn't hold."""


def random_scalar() -> int:
    return 1 + randbelow(ORDER - 1)


@dataclass(frozen=True)
class PublicKey:
    data: bytes

    @staticmethod
    def from_compressed_bytes(data: bytes) -> PublicKey:
        try:
            oracle.decode(data)
        except OracleError as exc:
            raise ValueError(exc) from exc
        return PublicKey(data)

    def to_compressed_bytes(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class SecretKey:
    number: int

    @staticmethod
    def random() -> SecretKey:
        return SecretKey(random_scalar())

    @staticmethod
    def from_be_bytes(data: bytes) -> SecretKey:
        number = int.from_bytes(data, "big")
        if len(data) != 32 or not 0 < number < ORDER:
            raise ValueError("no scalar")
        return SecretKey(number)

    def to_be_bytes(self) -> bytes:
        return self.number.to_bytes(32, "big")

    def public_key(self) -> PublicKey:
        return PublicKey(oracle.public(self.number))


@dataclass(frozen=True)
class Signature:
    data: bytes

    def to_be_bytes(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class Signer:
    key: SecretKey

    def sign(self, message: bytes) -> Signature:
        return Signature(oracle.sign(self.key.number, message, random_scalar()))


@dataclass(frozen=True)
class Capsule:
    inner: oracle.Capsule

    @staticmethod
    def from_bytes(data: bytes) -> Capsule:
        try:
            return Capsule(oracle.Capsule.parse(data))
        except OracleError as exc:
            raise ValueError(exc) from exc

    def __bytes__(self) -> bytes:
        return self.inner.to_bytes()


@dataclass(frozen=True)
class KeyFrag:
    """Verified or not: the wrapper's own types keep the two apart."""

    inner: oracle.Kfrag

    @staticmethod
    def from_bytes(data: bytes) -> KeyFrag:
        try:
            return KeyFrag(oracle.Kfrag.parse(data))
        except OracleError as exc:
            raise ValueError(exc) from exc

    def __bytes__(self) -> bytes:
        return self.inner.to_bytes()

    def verify(self, verifying: PublicKey, delegating: PublicKey, receiving: PublicKey) -> KeyFrag:
        try:
            oracle.check_kfrag(
                bytes(self), verifying=verifying.data, delegating=delegating.data, receiving=receiving.data
            )
        except OracleError as exc:
            raise VerificationError(exc) from exc
        return self


@dataclass(frozen=True)
class CapsuleFrag:
    inner: oracle.Cfrag

    @staticmethod
    def from_bytes(data: bytes) -> CapsuleFrag:
        try:
            return CapsuleFrag(oracle.Cfrag.parse(data))
        except OracleError as exc:
            raise ValueError(exc) from exc

    def __bytes__(self) -> bytes:
        return self.inner.to_bytes()

    def unverify(self) -> CapsuleFrag:
        return self

    def verify(
        self, capsule: Capsule, verifying: PublicKey, delegating: PublicKey, receiving: PublicKey
    ) -> CapsuleFrag:
        keys = {"verifying": verifying.data, "delegating": delegating.data, "receiving": receiving.data}
        try:
            oracle.check_cfrag(bytes(self), capsule.inner, **keys)
        except OracleError as exc:
            raise VerificationError(exc) from exc
        return self


def generate_kfrags(
    delegating: SecretKey,
    receiving: PublicKey,
    signer: Signer,
    threshold: int,
    shares: int,
    sign_delegating: bool,
    sign_receiving: bool,
) -> list[KeyFrag]:
    assert sign_delegating
    assert sign_receiving
    randomness = oracle.Randomness(
        precursor=random_scalar(),
        coefficients=tuple(random_scalar() for _ in range(threshold - 1)),
        ids=tuple(os.urandom(32) for _ in range(shares)),
        nonces=tuple(random_scalar() for _ in range(2 * shares)),
    )
    made = oracle.generate_kfrags(delegating.number, receiving.data, signer.key.number, randomness)
    return [KeyFrag(kfrag) for kfrag in made]


def reencrypt(capsule: Capsule, kfrag: KeyFrag) -> CapsuleFrag:
    return CapsuleFrag(oracle.reencrypt(capsule.inner, kfrag.inner, random_scalar()))


class MessageKit:
    def __init__(self, public: PublicKey, plain: bytes, _: None, *, made: bytes = b"") -> None:
        self._wrap = made or oracle.wrap(public.data, plain, random_scalar(), random_scalar(), os.urandom(24))
        capsule, self._sealed = oracle.split_wrap(self._wrap)
        self.capsule = Capsule(capsule)

    @staticmethod
    def from_bytes(data: bytes) -> MessageKit:
        try:
            return MessageKit(PublicKey(b""), b"", None, made=b"\x01" + data)
        except OracleError as exc:
            raise ValueError(exc) from exc

    def __bytes__(self) -> bytes:
        return self._wrap[1:]

    def decrypt(self, secret: SecretKey) -> bytes:
        return self._unseal(oracle.open_original(self.capsule.inner, secret.number))

    def decrypt_reencrypted(self, secret: SecretKey, delegating: PublicKey, cfrags: Sequence[CapsuleFrag]) -> bytes:
        inner = [cfrag.inner for cfrag in cfrags]
        try:
            seed = oracle.open_reencrypted(self.capsule.inner, secret.number, delegating.data, inner)
        except OracleError as exc:
            raise ValueError(exc) from exc
        return self._unseal(seed)

    def _unseal(self, seed: bytes) -> bytes:
        try:
            return oracle.unseal(seed, self._sealed, self.capsule.inner)
        except OracleError as exc:
            raise ValueError(exc) from exc


LIBRARY = SimpleNamespace(
    Capsule=Capsule,
    CapsuleFrag=CapsuleFrag,
    KeyFrag=KeyFrag,
    PublicKey=PublicKey,
    SecretKey=SecretKey,
    Signer=Signer,
    generate_kfrags=generate_kfrags,
    reencrypt=reencrypt,
)
"""What the wrapper calls `_umbral`."""
KITS = SimpleNamespace(MessageKit=MessageKit)
"""What the wrapper calls `_kits`."""
