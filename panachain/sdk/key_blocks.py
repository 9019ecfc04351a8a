"""Key blocks of others: fetched from the store once, checked against the digest that the chain names, and kept here.

Never decides whose digest is the right one: sdk/proven_keys.py proves it. What is kept is public, and all of it can be
lost. Follows docs/spec/formats.md (`panachain/key-block/1`), docs/spec/cli.md (section "State on disk") and ADR 35.

    HOME/key-blocks/DIGEST    a key block, named by its SHA-256 in hexadecimal
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from panachain.errors import BlockNotFoundError, BlockOutOfReachError, IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor
from panachain.model.key_block import MAXIMUM_SIZE, PublicKeys
from panachain.private_files import make_private_folder, write_private
from panachain.storage.blocks import BlobStore, keep

_LOG: Final = logging.getLogger(__name__)
FOLDER: Final = "key-blocks"
"""Name of the folder below HOME."""
_PUT_AGAIN: Final = (
    "they run `panachain --profile THEIRS register` once more, which stores it; so does whoever has their card or block"
)


class KeyBlocks:
    """The key blocks of a store, and those of them that this machine has read before."""

    def __init__(self, home: Path, store: BlobStore) -> None:
        """Take the folder of all state, and where blocks are fetched that aren't there."""
        self._folder = home / FOLDER
        self._store = store
        self._read: dict[bytes, PublicKeys] = {}

    def of(self, actor: Actor) -> Actor:
        """Return an actor with the keys of their block.

        Raises:
            IntegrityError: the store gives another block than the chain names, or one that holds no keys; or it is one
                that its owner had replaced before.
            BlockNotFoundError: nobody has the block.
            StoreUnavailableError: the store doesn't answer.
        """
        if actor.is_ended(actor.key_digest):
            raise IntegrityError(
                f"{actor.handle} went back to a key block that they had replaced; nothing was sealed to it",
                hint="panachain key rotate of its owner gives them fresh keys",
            )
        return actor if actor.keys is not None else actor.with_keys(self.find(actor.key_digest, actor.handle))

    def find(self, digest: bytes, whose: str) -> PublicKeys:
        """Return the keys of one block; raises as `of`.

        Args:
            digest: SHA-256 of the block, 32 bytes, as the chain names it.
            whose: whom messages name.
        """
        known = self._read.get(digest) or self._kept(digest)
        if known is None:
            block = self._fetch(digest, whose)
            try:
                known = PublicKeys.parse(block)
            except IntegrityError as exc:
                # The block is the right one: whoever registered it is to blame, and no store.
                raise IntegrityError(
                    f"{whose} is registered with a block that holds no keys: {exc}; nothing was sealed to them",
                    hint="panachain key rotate of its owner gives them other keys; a patient needs another account",
                ) from exc
            self._keep(digest, block)
        self._read[digest] = known
        return known

    def put(self, actor: Actor) -> CID:
        """Store and pin an actor's block, also once more, and keep it here.

        Raises:
            IntegrityError: the actor's keys aren't known here, or aren't keys.
            StoreUnavailableError: the store doesn't take it.
        """
        block = actor.public_keys.encode()
        self._keep(actor.key_digest, block)
        return keep(self._store, block)

    def is_stored(self, actor: Actor) -> bool:
        """Tell whether the store has an actor's block; what is kept here doesn't count."""
        return self._store.has_block(CID(RAW, actor.key_digest))

    def lacking(self, actors: Iterable[Actor]) -> list[Actor]:
        """Return those of some actors of whom the store lacks a block, also one that a renewal replaced.

        What was signed or sealed under an earlier key is read with its block.

        Raises:
            StoreUnavailableError: the store doesn't answer.
        """
        return [
            actor
            for actor in actors
            if not all(self._store.has_block(CID(RAW, one)) for one in (*actor.earlier_keys, actor.key_digest))
        ]

    def _fetch(self, digest: bytes, whose: str) -> bytes:
        cid = CID(RAW, digest)
        try:
            # Checked once more here: everything that is sealed to somebody hangs on it, whichever store is behind.
            return cid.check(self._store.get_block(cid), self._store.name)
        except IntegrityError as exc:
            raise IntegrityError(
                f"the {self._store.name} gives another key block of {whose} than the chain names; none was used: {exc}",
                hint="another store, or tell its operator: somebody tries to read what is meant for this actor",
            ) from exc
        except BlockNotFoundError as exc:
            raise BlockNotFoundError(
                f"the {self._store.name} has no key block of {whose}: nothing can be sealed to them, and nothing of "
                f"theirs be verified ({cid})",
                hint=_PUT_AGAIN,
            ) from exc
        except BlockOutOfReachError as exc:
            raise BlockOutOfReachError(f"the key block of {whose} is out of reach: {exc}", hint=_PUT_AGAIN) from exc

    def _kept(self, digest: bytes) -> PublicKeys | None:
        path = self._path(digest)
        try:
            with path.open("rb") as file:
                block = file.read(MAXIMUM_SIZE + 1)
            # Files of this machine are believed no more than a store.
            if sha256(block).digest() != digest:
                raise IntegrityError("its bytes don't fit its name")
            return PublicKeys.parse(block)
        except FileNotFoundError:
            return None
        except (OSError, IntegrityError) as exc:
            _LOG.warning("%s can't be read (%s), and is fetched again", path, exc)
            return None

    def _keep(self, digest: bytes, block: bytes) -> None:
        path = self._path(digest)
        try:
            make_private_folder(self._folder)
            write_private(path, block)
        except OSError as exc:
            _LOG.warning("%s can't be written (%s): the block is fetched each time", path, exc)

    def _path(self, digest: bytes) -> Path:
        return self._folder / digest.hex()
