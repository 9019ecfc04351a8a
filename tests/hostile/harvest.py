"""Somebody who recorded everything that lay in public, for years, and can take discrete logarithms in the end.

A harvest holds the store's blocks, both chains' events, the proxies' databases, and what was sent to proxies and what
they answered. The attacker gets the secret key of every point on a curve that stands in it (`Logarithms`): on secp256k1
those of accounts, receiving keys, groups, lanes and policies, and the X25519 half of every sealing key. What they don't
get is the other half, which no discrete logarithm gives. docs/security/quantum.md says what follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import shake_256
from typing import Final

import httpx
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from panachain.crypto import box, labels, padding, stream, umbral
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.model.scope import Category, Scope
from panachain.model.sizes import KEY_SIZE
from panachain.records.pairing import open_pairing
from tests.twin.world import World, seed_of

PEOPLE: Final = ("patient", "hospital", "clinic", "clinician", "nurse", "stranger", "researcher", "registrar")
PROXIES: Final = ("proxy-0", "proxy-1", "proxy-2")
YEARS: Final = (2024, 2025, 2026)
"""Years with lanes of their own in this world."""
_WRAP: Final = bytes([umbral.VERSION]) + b"MKit"
"""How a wrap begins: its version and the name of a MessageKit."""
_CURVE_ONLY: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_HYBRID: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_POINT: Final = 1088
"""Where in a seal the X25519 point stands: behind the ciphertext of ML-KEM."""


@dataclass(frozen=True)
class Sealed:
    """Something in the harvest that is sealed to one person or service, or to two."""

    kind: str
    block: bytes
    label: bytes
    readers: int

    def opened(self, secret: SealingKey) -> bytes:
        """Return what is in it, for one of those to whom it is sealed."""
        return box.open_shared(secret, self.block, self.label, readers=self.readers)


@dataclass
class Harvest:
    """What was recorded."""

    messages: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    """Path, request and answer of everything that went to a proxy, as TLS would hide it from others."""
    blocks: list[bytes] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    databases: list[bytes] = field(default_factory=list)
    sealed: list[Sealed] = field(default_factory=list)
    _stored_once: dict[CID, bytes] = field(default_factory=dict)

    def listen(self, world: World) -> None:
        """Record from now on what is sent to proxies, and what is stored: also what is deleted later."""
        answer, store = world.answer, world.network.store
        put = store.put_blocks

        def recorded(request: httpx.Request) -> httpx.Response:
            body, found = request.read(), answer(request)
            self.messages.append((request.url.path, body, b"".join(found.stream)))  # type: ignore[arg-type]
            return found

        def copied(blocks: Iterable[tuple[CID, bytes]]) -> None:
            made = list(blocks)
            self._stored_once |= dict(made)
            put(made)

        world.answer, store.put_blocks = recorded, copied  # type: ignore[method-assign]

    def collect(self, world: World) -> None:
        """Take all that lies in the store, stands on the chains or lies with the proxies."""
        world.wait()
        network = world.network
        self.blocks = list(({cid: data for cid, (data, _) in network.store.held.items()} | self._stored_once).values())
        self.events = [repr(one) for chain in (network.mainchain, network.sidechain) for one in chain.chain.logs]
        self.databases = [path.read_bytes() for path in sorted(world.home.glob("proxy-*.sqlite*"))]
        self.sealed = [*self._stored(world), *self._sent()]

    @property
    def sent(self) -> Iterator[bytes]:
        """What went to proxies and what came back, piece by piece."""
        for _, request, answer in self.messages:
            yield from (request, answer)

    def _stored(self, world: World) -> Iterator[Sealed]:
        """Yield what the chains name, which say what it is."""
        side, main, store = world.network.sidechain, world.network.mainchain, world.network.store

        def block(digest: bytes) -> bytes:
            return store.get_block(CID(RAW, digest))

        for event in main.policies.events(kind="PolicyGranted"):
            yield Sealed("terms", block(event.terms)[1:], labels.TERMS, 2)
        for pairing in side.identities.ever_paired(patient=world.patient.address):
            found = block(pairing.digest)
            yield Sealed("pairing", found, labels.PAIRING, 2)
            # Which orders there are, only a pairing tells. The harvester, who can't open one, tries every block.
            for order in open_pairing(
                found,
                secret=seed_of("patient").sealing(),
                hospital=pairing.hospital,
                patient=pairing.patient,
                verifying_key=seed_of("patient").signer().public,
            ).orders:
                yield Sealed("order", store.get_block(order), labels.REWRAP, 2)
        for request in side.requests.find(patient=world.patient.address):
            yield Sealed("request", block(request.details), labels.REQUEST, 2)
            if outcome := side.requests.outcome_of(request.request_id):
                yield Sealed("outcome", block(outcome), labels.OUTCOME, 2)
        for group in side.groups.find(manager=world.clinician.address):
            for member in side.groups.members(group.address):
                if digest := side.groups.sealed_key_of(group.address, member):
                    yield Sealed("group key", block(digest), labels.GROUP_KEY, 1)

    def _sent(self) -> Iterator[Sealed]:
        for path, request, answer in self.messages:
            if path == "/v1/deposit":
                yield Sealed("deposit", bytes.fromhex(json.loads(request)["sealed"]), labels.DEPOSIT, 1)
            fields = json.loads(answer)
            for receipt in [fields.get("receipt"), *fields.get("receipts", [])]:
                if receipt and receipt["detail"]:
                    yield Sealed("receipt", bytes.fromhex(receipt["detail"]), labels.RECEIPT_DETAIL, 1)


class Logarithms:
    """The discrete logarithm of every point that stands in a harvest: whoever made a key here gives it away."""

    def __init__(self, world: World) -> None:
        patient = seed_of("patient")
        seeds = [seed_of(name) for name in (*PEOPLE, *PROXIES)]
        seeds += [one for name in ("clinician", "nurse") for one in _group_seeds(world, name)]
        self.scalars: list[umbral.SecretKey] = [
            *(seed.receiving() for seed in seeds),
            *(umbral.SecretKey.from_bytes(seed.account_key()) for seed in seeds),
            *(umbral.SecretKey.from_bytes(patient.policy_account(index)) for index in range(8)),
            *_lanes(world),
        ]
        """On secp256k1. Those of signers are left out: nothing is ever wrapped to them."""
        self.curve: list[X25519PrivateKey] = [
            _half(seed, label) for seed in seeds for label in (labels.SEED_SEALING, labels.SEED_AUDIT)
        ]
        """On Curve25519, of every sealing key."""


class Attacker:
    """Tries everything that discrete logarithms are good for."""

    def __init__(self, logarithms: Logarithms) -> None:
        self._logarithms = logarithms
        # The other half is guessed: from the public one nobody computes it. One guess is as good as the next.
        guess = MLKEM768PrivateKey.from_seed_bytes(bytes(64))
        self._hybrid = [MLKEM768X25519PrivateKey(guess, curve) for curve in logarithms.curve]

    def opened(self, sealed: Sealed) -> list[bytes]:
        """Return what an attacker learns of a sealed message: its key, or what is in it."""
        found = []
        for place in range(sealed.readers):
            seal = sealed.block[place * box.SEAL_SIZE : (place + 1) * box.SEAL_SIZE]
            for hybrid in self._hybrid:
                with suppress(InvalidTag, ValueError):
                    found.append(_HYBRID.decrypt(seal, hybrid, sealed.label))
            # As if ML-KEM weren't there: the point and the ciphertext alone.
            for curve in self._logarithms.curve:
                with suppress(InvalidTag, ValueError):
                    found.append(_CURVE_ONLY.decrypt(seal[_POINT:], curve, sealed.label))
        for key in [*found, *self.wrapped(sealed.block)]:
            for start in self._streams(sealed.block):
                with suppress(IntegrityError):
                    found.append(padding.unpad(stream.open_(sealed.block[start:], key, sealed.label)))
        return found

    def wrapped(self, block: bytes) -> list[bytes]:
        """Return what is in the wraps of Umbral in a block, wherever they stand in it."""
        found, start = [], block.find(_WRAP)
        while start >= 0:
            wrap = block[start : start + umbral.WRAP_SIZE]
            for scalar in self._logarithms.scalars:
                with suppress(IntegrityError):
                    found.append(umbral.unwrap(scalar, wrap))
            start = block.find(_WRAP, start + 1)
        return [key for key in found if len(key) == KEY_SIZE]

    def _streams(self, block: bytes) -> Sequence[int]:
        sizes = (box.SEAL_SIZE, umbral.WRAP_SIZE)
        return [count * size for size in sizes for count in (1, 2) if block[count * size :][:1] == b"\x28"]


def _group_seeds(world: World, name: str) -> list[Seed]:
    session = world.sessions[name]
    groups = world.network.sidechain.groups.find(member=session.address)
    return [secret for group in groups for secret in session._group_secrets(group)]


def _lanes(world: World) -> Iterator[umbral.SecretKey]:
    """Yield the keys of the lanes that records of this world are in, of every generation."""
    scopes = [Scope.all(), Scope.emergency()]
    for category in (Category.LABORATORY, Category.VITALS):
        scopes += [Scope.of(category), *(Scope.of(category, year) for year in (0, *YEARS))]
    for generation in range(world.patient._lanes.generations().epoch + 1):
        yield from (seed_of("patient").lane(scope, generation) for scope in scopes)


def _half(seed: Seed, label: bytes) -> X25519PrivateKey:
    """Return the half of a sealing key that is a discrete logarithm."""
    key = seed._factory.secret(label)
    found = X25519PrivateKey.from_private_bytes(shake_256(key).digest(96)[64:])
    # It is the one that stands in the public key.
    assert found.public_key().public_bytes_raw() == SealingKey(key).public[-32:]
    return found
