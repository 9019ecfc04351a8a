"""Tracing: whose key it is that leaked, by the registries of both chains.

A secret key is compared by its public key, and is neither written nor sent anywhere: blocks of public keys come here.
Marks inside records aren't looked for, since there are none (SECURITY.md, "Traitors"). Follows design section 8 and
docs/spec/tracing.md.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Final

from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed, address_of
from panachain.crypto.umbral import SecretKey
from panachain.errors import PanaChainError, TooLargeError, UsageError
from panachain.model.actors import Actor
from panachain.model.key_block import PublicKeys
from panachain.model.sizes import KEY_SIZE, PUBLIC_SIZE
from panachain.sdk.network import Network
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.tracing import Traced

MOST: Final = 1 << 20
"""Bytes of what leaked that are looked through."""
_CANDIDATES: Final = 200
"""Keys of it that are compared."""
_HEX: Final = re.compile(rb"(?<![0-9A-Fa-f])(?:0x)?([0-9A-Fa-f]{66}|[0-9A-Fa-f]{64})(?![0-9A-Fa-f])")
_BASE64: Final = re.compile(rb"(?<![A-Za-z0-9+/_-])([A-Za-z0-9+/_-]{43}=|[A-Za-z0-9+/_-]{44})(?![A-Za-z0-9+/=_-])")


class Tracing:
    """Finds whose keys something holds."""

    def __init__(self, network: Network) -> None:
        """Take the network, whose registries know everybody's keys."""
        self._network = network

    def trace(self, leaked: bytes) -> Listing[Traced]:
        """Return whose keys stand in a file or a text; `left_out` names actors whose key blocks nobody has.

        Seeds, secret keys (of accounts, receiving, signing and sealing) and public keys are found: raw, as hex, or as
        base64 within any text.

        Args:
            leaked: its bytes.

        Raises:
            TooLargeError: it is larger than what is looked through.
            UsageError: there is nothing in it that could be a key.
        """
        if len(leaked) > MOST:
            raise TooLargeError(
                f"{len(leaked)} bytes are too many to look for keys in; at most {MOST} are",
                size=len(leaked),
                limit=MOST,
            )
        signs = dict(_signs(leaked))
        if not signs:
            raise UsageError(
                "nothing in it could be a key: 32 or 33 bytes, raw, as hex or as base64",
                hint="panachain trace --record FILE finds who opened a record that leaked",
            )
        found, left_out = list[Traced](), list[LeftOut]()
        for actor in self._everybody():
            known: dict[bytes, str] = {actor.address.encode(): actor.address}
            # Earlier ones, too: they still open what was granted to them.
            for digest in actor.key_digests:
                known[digest] = "keys"
                try:
                    keys = self._network.key_blocks.find(digest, actor.handle)
                    known |= dict.fromkeys((keys.receiving, keys.sealing, keys.verifying), "keys")
                except PanaChainError as exc:
                    # Their account and the digest of their keys are still compared.
                    left_out.append(LeftOut("key block", actor.handle, str(exc)))
            hits = {signs[sign] for sign in known if sign in signs}
            found += [Traced(actor, what, secret) for what, secret in sorted(hits)]
        return Listing(found, left_out)

    def _everybody(self) -> Iterator[Actor]:
        yield from self._network.mainchain.actors.find()
        yield from self._network.sidechain.identities.find()
        yield from self._network.sidechain.groups.find()


def _signs(leaked: bytes) -> Iterator[tuple[bytes, tuple[str, bool]]]:
    """Yield by what each key in some bytes is recognised, what it is, and whether it is a secret one."""
    for number, candidate in enumerate(dict.fromkeys(_candidates(leaked))):
        if number >= _CANDIDATES:
            return
        if len(candidate) == PUBLIC_SIZE:
            yield candidate, ("public key", False)
            continue
        # First, so that what a seed explains isn't told as one of its keys.
        yield from _of_seed(candidate)
        try:
            yield SecretKey.from_bytes(candidate).public, ("secret receiving key or signer", True)
            yield address_of(candidate).encode(), ("secret account key", True)
        except UsageError:
            # No scalar of the curve: it may still be a sealing key.
            pass
        yield SealingKey(candidate).public, ("secret sealing key", True)


def _of_seed(candidate: bytes) -> Iterator[tuple[bytes, tuple[str, bool]]]:
    seed = Seed(candidate)
    yield seed.public_keys().digest, ("seed", True)
    group: PublicKeys = seed.group_keys()
    yield group.digest, ("seed", True)
    yield address_of(seed.account_key()).encode(), ("seed", True)


def _candidates(leaked: bytes) -> Iterator[bytes]:
    if len(leaked) in (KEY_SIZE, PUBLIC_SIZE):
        yield leaked
    for text in _HEX.findall(leaked):
        yield bytes.fromhex(text.decode())
    for text in _BASE64.findall(leaked):
        raw = b64decode(text.replace(b"-", b"+").replace(b"_", b"/"))
        if len(raw) in (KEY_SIZE, PUBLIC_SIZE):
            yield raw
