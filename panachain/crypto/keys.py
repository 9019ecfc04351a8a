"""Keys: everything an actor ever needs, derived from one seed of 32 bytes.

Never writes a key anywhere. Derivation is hardened throughout (design section 3): what leaks of one lane
says nothing about another. Labels are in crypto/labels.py.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from panachain.crypto import labels
from panachain.crypto.umbral import SecretKey, SeedFactory, Signer
from panachain.errors import UsageError
from panachain.ethereum import address_of_point
from panachain.model.actors import Address
from panachain.model.key_block import PublicKeys
from panachain.model.scope import Scope
from panachain.model.sizes import KEY_SIZE
from panachain.secp256k1 import Scalar

if TYPE_CHECKING:
    from panachain.crypto.hpke import SealingKey


class Seed:
    """An actor's root seed. Its `repr` shows nothing of it."""

    def __init__(self, seed: bytes, *, generation: int = 0, newest: Callable[[], int] | None = None) -> None:
        """Take 32 bytes of secure randomness.

        Args:
            seed: from which everything follows.
            generation: which keys of the key block, counted from 0 up by each change of keys.
            newest: returns the newest one, in place of `generation`; `sealing` then opens what was sealed to any.

        Raises:
            UsageError: another length.
        """
        self._seed = seed
        self._factory = SeedFactory.from_seed(seed)
        self._generation = generation
        self._newest = newest
        self._verifying: list[bytes] = []
        self._sealing: dict[int, SealingKey] = {}

    @classmethod
    def random(cls) -> Seed:
        """Return a fresh seed from the operating system's CSPRNG."""
        return cls(os.urandom(KEY_SIZE))

    def reveal(self) -> bytes:
        """Return the seed itself, for the key store and for nothing else."""
        return self._seed

    def __repr__(self) -> str:
        return "Seed()"

    def account_key(self) -> bytes:
        """Return the secret key of the actor's Ethereum account, 32 bytes."""
        return self._factory.scalar(labels.SEED_ACCOUNT)

    def following(self, newest: Callable[[], int]) -> Seed:
        """Return the same seed, whose keys of the key block are those of the newest generation at each moment."""
        return Seed(self._seed, newest=newest)

    def of_generation(self, generation: int) -> Seed:
        """Return the same seed, whose keys of the key block are those of one generation alone."""
        return Seed(self._seed, generation=generation)

    @property
    def generation(self) -> int:
        """The generation of the keys of the key block: 0 as registered, and one more after each change of keys."""
        return self._generation if self._newest is None else self._newest()

    def generations(self) -> list[Seed]:
        """Return the seed as of each generation alone, newest first."""
        return [self.of_generation(generation) for generation in range(self.generation, -1, -1)]

    def sealing(self) -> SealingKey:
        """Return the key that others seal to."""
        from panachain.crypto.hpke import SealingKey

        generation = self.generation
        if generation not in self._sealing:
            # The next one, too: another machine of the same actor may have changed keys a moment ago.
            others = () if self._newest is None else (*range(generation - 1, -1, -1), generation + 1)
            keys = [self.of_generation(one).sealing() for one in others]
            # One at a time: which keys open a seal follows from the newest generation.
            self._sealing = {generation: SealingKey(self._generation_secret(labels.SEED_SEALING, generation), keys)}
        return self._sealing[generation]

    def receiving(self) -> SecretKey:
        """Return the key that proxies re-encrypt to, and that notices are addressed to."""
        return self._generation_key(labels.SEED_RECEIVING, self.generation)

    def signer(self) -> Signer:
        """Return the actor's Umbral signer."""
        return Signer(self._generation_key(labels.SEED_SIGNER, self.generation))

    def verifying_keys(self) -> list[bytes]:
        """Return what verifies the signatures of all generations, newest first, 33 bytes each."""
        generation = self.generation
        if len(self._verifying) <= generation:
            self._verifying = [self.of_generation(one).signer().public for one in range(generation + 1)]
        return self._verifying[generation::-1]

    def public_keys(self) -> PublicKeys:
        """Return the actor's key block: what others seal to, re-encrypt to and verify with."""
        one = self.of_generation(self.generation)
        return PublicKeys(one.sealing().public, one.receiving().public, one.signer().public)

    def group_keys(self) -> PublicKeys:
        """Return the key block of a group whose secret this seed is: a group has no signer."""
        return PublicKeys(self.sealing().public, self.receiving().public, b"")

    def audit(self) -> SealingKey:
        """Return the key that proxies seal receipts to."""
        from panachain.crypto.hpke import SealingKey

        return SealingKey(self._factory.secret(labels.SEED_AUDIT))

    def store_key(self) -> bytes:
        """Return the key for what this actor encrypts for themselves at rest, 32 bytes."""
        return self._factory.secret(labels.SEED_STORE)

    def log_keys(self) -> tuple[bytes, bytes]:
        """Return the secret Ed25519 keys of a proxy: for checkpoints of its own log, and of others, 32 bytes each."""
        return self._factory.secret(labels.SEED_LOG), self._factory.secret(labels.SEED_WITNESS)

    def lane(self, scope: Scope, generation: int) -> SecretKey:
        """Return a lane's delegating key."""
        # A factory of their own below the seed: a lane's label comes from a scope and can't meet the label of another
        # purpose.
        return self._factory.factory(labels.FACTORY_LANES).key(_lane_label(scope, generation))

    def locator_key(self, scope: Scope, generation: int) -> bytes:
        """Return a lane's locator key, 32 bytes."""
        return self._factory.factory(labels.FACTORY_LOCATORS).secret(_lane_label(scope, generation))

    def pepper(self, scope: Scope, generation: int) -> bytes:
        """Return a lane's pepper, 32 bytes: what masks the envelope keys in its wraps (ADR 36)."""
        # Under a label of its own: neither the lane's secret key, which colluding readers and proxies compute, nor its
        # locator key tells anything of it.
        return self._factory.factory(labels.FACTORY_PEPPERS).secret(_lane_label(scope, generation))

    def policy_account(self, index: int) -> bytes:
        """Return the one-time account key of a policy, 32 bytes."""
        return self._factory.factory(labels.FACTORY_POLICIES).scalar(b"account/%d" % index)

    def policy_signer(self, index: int) -> Signer:
        """Return the one-time Umbral signer of a policy."""
        return Signer(self._factory.factory(labels.FACTORY_POLICIES).key(b"signer/%d" % index))

    def _of_generation(self, label: bytes, generation: int) -> tuple[SeedFactory, bytes]:
        """Return the factory and the label of a key of the key block: those of generation 0 are the seed's own."""
        if not generation:
            return self._factory, label
        return self._factory.factory(labels.FACTORY_GENERATIONS), b"%d/%s" % (generation, label)

    def _generation_key(self, label: bytes, generation: int) -> SecretKey:
        factory, name = self._of_generation(label, generation)
        return factory.key(name)

    def _generation_secret(self, label: bytes, generation: int) -> bytes:
        factory, name = self._of_generation(label, generation)
        return factory.secret(name)


def address_of(account_key: bytes) -> Address:
    """Return the address of an account's secret key.

    Raises:
        UsageError: it isn't a scalar of the curve.
    """
    try:
        public = Scalar(account_key).public().uncompressed
    except ValueError:
        raise UsageError("not an account key of 32 bytes") from None
    return address_of_point(public)


def hospital_key(lane_key: bytes, hospital: Address) -> bytes:
    """Return one hospital's own locator key, search key or pepper of a lane, 32 bytes (design section 7, ADR 36)."""
    # Each hospital has a key of its own: one that knew the lane's key would find what other hospitals published, or
    # compute the masks of their envelope keys.
    return hmac.digest(lane_key, bytes.fromhex(hospital[2:]), sha256)


def brief_id(hospital_locator_key: bytes, sequence: int, number: int) -> bytes:
    """Return a brief ID of a lane at one hospital, 16 bytes (design section 7, ADR 37).

    Args:
        hospital_locator_key: the hospital's own locator key of the lane, 32 bytes.
        sequence: number of the storage transaction whose manifest has it.
        number: of the record among those of the lane in that manifest, from 0 on.
    """
    # With the sequence in it, whoever sees a lookup of a key that isn't there learns nothing of a later manifest.
    # 16 bytes are enough: an ID is looked for in one manifest, and 2^64 of them would have to be there for a collision.
    return hmac.digest(hospital_locator_key, sequence.to_bytes(8, "big") + number.to_bytes(8, "big"), sha256)[:16]


def brief_ids(hospital_locator_key: bytes, sequence: int) -> Callable[[int], bytes]:
    """Return what gives the brief ID of each number: `brief_id` for many, the key and the sequence hashed once."""
    # Imported here: most commands look nothing up.
    from panachain.crypto.kdf import hmacs

    mac = hmacs(hospital_locator_key, sequence.to_bytes(8, "big"))
    return lambda number: mac(number.to_bytes(8, "big"))[:16]


def generation_among(seed: Seed, digests: Sequence[bytes]) -> int:
    """Return the newest generation that a registry has of this seed's keys; 0 where it has none.

    Whoever has the account's key and not the seed can change keys too: theirs, and all that follow, don't count.

    Args:
        seed: whose.
        digests: of the actor's key blocks, oldest first, 32 bytes each.
    """
    generation = 0
    for place, digest in enumerate(digests[1:], start=1):
        if seed.of_generation(place).public_keys().digest != digest:
            break
        generation = place
    return generation


def _lane_label(scope: Scope, generation: int) -> bytes:
    return b"%d/%s" % (generation, scope.text.encode())
