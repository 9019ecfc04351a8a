"""A proxy's log as others can check it: tiles, checkpoints, each patient's share, and cosigning others' checkpoints.

All of it follows from the receipts in the database, so that any worker makes the same, and a database of before has it
too once it is asked for. Never shows a receipt, and no row of a map but to the policy's owner: whoever reads tiles
learns how many receipts there are. Follows docs/spec/log.md, C2SP tlog-tiles 1.0.0 and tlog-witness 1.0.0.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from panachain.chain.signing import Account
from panachain.consent import log_checkpoint, log_proof
from panachain.consent.log_checkpoint import Checkpoint, Cosigned
from panachain.consent.log_map import EPOCH, EpochMap, MapHead, Row, map_key, maps_tree
from panachain.consent.log_proof import Item, Place, Share
from panachain.consent.log_tree import EMPTY, HEIGHT, WIDTH, LogTree, check_consistency, hashes_of, parse_tile_path
from panachain.crypto import notes
from panachain.crypto.keys import Seed
from panachain.crypto.notes import Note, NoteKey, Signature
from panachain.errors import IntegrityError, OutOfScopeError, UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.sizes import HASH_SIZE
from panachain.records.tree_hash import combined
from panachain.service.proxy.log_store import LogStore
from panachain.service.proxy.store import ProxyStore

_CHEAP: Final = 4096
"""Rows of a map that is made anew for each receipt; a larger one at most once in `_REST`."""
_REST: Final = 1.0
"""Seconds."""
_MAPS: Final = 4
"""Maps of full epochs that a process keeps in memory."""
_LINES: Final = 2
"""Signature lines of one witness that are looked at: its key's, and the cosignature."""
_LOG: Final = logging.getLogger("panachain.proxy")


@dataclass(frozen=True)
class _View:
    """The log at one size, ready to be proven."""

    checkpoint: Checkpoint
    note: Note
    maps: tuple[MapHead, ...]
    tree: LogTree


class ProxyLog:
    """The tree over one proxy's receipts."""

    def __init__(
        self,
        seed: Seed,
        store: ProxyStore,
        *,
        domain: bytes,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the proxy's keys and its database.

        Args:
            seed: the proxy's.
            store: its database.
            domain: of the access log that judges its receipts, 32 bytes.
            clock: Unix seconds, for cosignatures.
            steady: seconds that only grow.
        """
        account = Account(seed.account_key())
        self.address = account.address
        self._store = LogStore(store)
        self._domain = domain
        self._clock = clock
        self._steady = steady
        own, others = seed.log_keys()
        self._key = NoteKey(log_checkpoint.origin_of(domain, account.address), own)
        self._witness = NoteKey(log_checkpoint.witness_of(domain, account.address), others)
        self._key_line = log_checkpoint.key_line(account, domain, self._key)
        self._witness_line = log_checkpoint.key_line(account, domain, self._witness)
        self._lock = threading.RLock()
        self._view: _View | None = None
        self._made = -float("inf")
        self._maps: dict[int, EpochMap] = {}
        self._growing: tuple[int, list[Row], dict[PolicyId, int]] = (-1, [], {})
        """Of the epoch that isn't full: its number, its rows, and how many each policy has."""
        self._audit: dict[PolicyId, bytes] = {}

    # What everybody may read

    def checkpoint(self) -> str:
        """Return the newest checkpoint that others cosigned, or where there is none the proxy's own, as a note."""
        return self._store.cosigned() or self._now().note.encode()

    def tile(self, level: str, rest: str) -> bytes:
        """Return a tile by its path, its hashes one after the other.

        Raises:
            UsageError: the log has no such tile, or this is no tile's path.
        """
        try:
            wanted, number, width = parse_tile_path(level, rest)
            found = LogTree(self._tile, self._store.size()).tile(wanted, number)
        except IntegrityError as exc:
            raise UsageError(str(exc)) from None
        if len(found) < width:
            raise UsageError(f"tile {number} of level {wanted} has {len(found)} hashes now, not {width}")
        return b"".join(found[:width])

    # What a policy's owner may read

    def share(self, policy_id: PolicyId, cursor: int) -> Share:
        """Return one page of the proof of which receipts of a policy there are.

        Args:
            policy_id: whose; that its owner asks was checked.
            cursor: where the page begins (`log_proof.Place`).
        """
        view = self._now()
        audit_key = self._audit_key(policy_id)
        place, items = Place.at(cursor), list[Item]()
        # No more maps in one answer than are kept: each may have to be made anew.
        last = min(len(view.maps), place.epoch + _MAPS)
        while place.epoch < last and len(items) < log_proof.PAGE:
            key = map_key(audit_key, policy_id, place.epoch, place.number)
            shown = tuple(self._map(place.epoch, view).prove(key))
            if len(shown) == 1 and shown[0].row.key == key:
                items.append(Item(place.epoch, place.number, shown, self._path(view, shown[0].row.index)))
                place = Place(place.epoch, place.number + 1)
            else:
                items.append(Item(place.epoch, place.number, shown))
                place = Place(place.epoch + 1)
        cosigned = self._store.cosigned() or ""
        growth: tuple[bytes, ...] = ()
        if cosigned:
            before = Checkpoint.parse(notes.parse_note(cosigned.encode()).text)
            if before.size > view.checkpoint.size:
                cosigned = ""
            else:
                with self._lock:
                    growth = tuple(view.tree.consistency(before.size))
        return Share(view.note.encode(), view.maps, tuple(items), cosigned, growth)

    # What the proxies say to each other

    def cosign(self, body: bytes, find: Callable[[Address], Actor | None]) -> tuple[int | None, str]:
        """Cosign another proxy's checkpoint, if its log went on from where this proxy saw it last.

        Args:
            body: the question (C2SP tlog-witness).
            find: gives a public actor.

        Returns:
            None and the signature lines; or the size that this proxy knows, where the question began at another one.

        Raises:
            IntegrityError: it is no question, or the log didn't grow from there.
            OutOfScopeError: it is of nobody who is a proxy of this network.
        """
        before, proof, content = log_checkpoint.parse_growth_request(body)
        origin = notes.parse_note(content).text.partition("\n")[0]
        proxy = log_checkpoint.proxy_of(self._domain, origin)
        actor = find(proxy)
        if actor is None or actor.role is not Role.PROXY or actor.status is not Status.ACTIVE or proxy == self.address:
            raise OutOfScopeError("only checkpoints of the network's other proxies are cosigned")
        opened = log_checkpoint.open_checkpoint(content, proxy=proxy, domain=self._domain)
        wanted = opened.checkpoint

        def goes_on(size: int, root: bytes) -> bool:
            if before != size:
                return False
            old = root if size else EMPTY
            check_consistency(old, wanted.root, before=before, size=wanted.size, proof=proof)
            return True

        size, root = self._store.witness(origin, wanted.size, wanted.root, goes_on)
        if (size, root) != (wanted.size, wanted.root):
            return size, ""
        signed = self._witness.cosign(opened.note.text, at=int(self._clock()))
        return None, f"{signed.line()}\n{self._witness_line.line()}\n"

    def gather(self, ask: Callable[[Callable[[int], str]], Iterable[str]]) -> int:
        """Have others cosign the checkpoint of now, keep it, and return how many did.

        Args:
            ask: asks each of them; gets what makes the question from the size that somebody knows, and gives the
                answers' signature lines.
        """
        view = self._now()
        if not view.checkpoint.size:
            return 0
        lines = list[Signature]()
        for answer in ask(lambda before: self._question(view, before)):
            try:
                said = notes.parse_signatures(answer)[:_LINES]
                own = Note(view.note.text, notes.unique([*view.note.signatures, *said]))
                if self._opened(own).witnesses:
                    lines += said
            except IntegrityError as exc:
                # One that answers nonsense costs the others nothing.
                _LOG.warning("a witness answered no cosignature: %s", exc)
        note = Note(view.note.text, notes.unique([*view.note.signatures, *lines]))
        # Anybody can write lines: what counts is whose signature holds.
        opened = self._opened(note)
        if opened.witnesses:
            self._store.keep_cosigned(view.checkpoint.size, note.encode())
        return len(opened.witnesses)

    # Inside

    def _opened(self, note: Note) -> Cosigned:
        return log_checkpoint.open_checkpoint(note.encode().encode(), proxy=self.address, domain=self._domain)

    def _question(self, view: _View, before: int) -> str:
        with self._lock:
            return log_checkpoint.growth_request(view.note, before=before, proof=view.tree.consistency(before))

    def _path(self, view: _View, index: int) -> tuple[bytes, ...]:
        # The tree keeps the tiles that it has seen: one thread at a time.
        with self._lock:
            return tuple(view.tree.inclusion(index))

    def _now(self) -> _View:
        with self._lock:
            size = self._store.size()
            view = self._view
            if view is not None and view.checkpoint.size == size:
                return view
            # A large map takes a tenth of a second: nobody makes a proxy do that for each of their questions.
            if view is not None and size % EPOCH > _CHEAP and self._steady() - self._made < _REST:
                return view
            self._view = view = self._viewed(size)
            self._made = self._steady()
            return view

    def _viewed(self, size: int) -> _View:
        maps = tuple(self._heads(size))
        tree = maps_tree(maps) if maps else bytes(HASH_SIZE)
        leaves = LogTree(self._tile, size)
        checkpoint = Checkpoint(self._key.name, size, leaves.root(), tree)
        text = checkpoint.text()
        return _View(checkpoint, Note(text, (self._key.sign(text), self._key_line)), maps, leaves)

    def _heads(self, size: int) -> Iterable[MapHead]:
        known = {epoch: MapHead(epoch, rows, tree) for epoch, rows, tree in self._store.full_maps()}
        for epoch, rows in enumerate(log_proof.rows_of(size)):
            if epoch in known:
                yield known[epoch]
                continue
            made = EpochMap(epoch, self._rows(epoch, rows))
            self._keep_in_memory(epoch, made)
            if rows == EPOCH:
                self._store.keep_full_map(epoch, rows, made.head.tree)
            yield made.head

    def _map(self, epoch: int, view: _View) -> EpochMap:
        with self._lock:
            found = self._maps.get(epoch)
            if found is None or found.head != view.maps[epoch]:
                found = EpochMap(epoch, self._rows(epoch, view.maps[epoch].rows))
                self._keep_in_memory(epoch, found)
            return found

    def _keep_in_memory(self, epoch: int, made: EpochMap) -> None:
        self._maps.pop(epoch, None)
        self._maps[epoch] = made
        while len(self._maps) > _MAPS:
            del self._maps[next(iter(self._maps))]

    def _rows(self, epoch: int, count: int) -> list[Row]:
        """Return the first rows of an epoch's map; of the epoch that still grows only those are made that are new."""
        at, rows, numbers = self._growing
        if at != epoch or len(rows) > count:
            rows, numbers = [], {}
        while len(rows) < count:
            first = epoch * EPOCH + len(rows)
            # The leaves of one tile at most: their hashes are kept, or computed once for tree and map.
            tile, begin = divmod(first, WIDTH)
            width = min(WIDTH, begin + count - len(rows))
            leaves = self._tile(0, tile, width)[begin:]
            policies = self._store.policies(first + 1, len(leaves))
            if len(policies) != len(leaves):
                raise IntegrityError(f"the receipt log lacks receipts from {first + 1} on")
            self._learn_keys(set(policies))
            for offset, (policy_id, leaf) in enumerate(zip(policies, leaves, strict=True)):
                number = numbers.get(policy_id, 0)
                numbers[policy_id] = number + 1
                key = map_key(self._audit_key(policy_id), policy_id, epoch, number)
                rows.append(Row(key, first + offset, leaf))
        self._growing = epoch, rows, numbers
        return list(rows)

    def _learn_keys(self, policies: set[PolicyId]) -> None:
        self._audit |= self._store.audit_keys(policies - self._audit.keys())

    def _audit_key(self, policy_id: PolicyId) -> bytes:
        if policy_id not in self._audit:
            self._learn_keys({policy_id})
        return self._audit.get(policy_id, b"")

    def _tile(self, level: int, number: int, width: int) -> list[bytes]:
        """Return the first hashes of a tile: a full one is kept, what is left of the last one is computed."""
        if width == WIDTH and (kept := self._store.tile(level, number)) is not None:
            return hashes_of(kept)
        if level == 0:
            hashes = [log_proof.leaf_hash(entry) for _, entry in self._store.entries(number * WIDTH + 1, width)]
        else:
            below = range(number << HEIGHT, (number << HEIGHT) + width)
            hashes = [combined(self._tile(level - 1, one, WIDTH)) for one in below]
        if len(hashes) != width:
            raise IntegrityError(f"the receipt log lacks receipts of tile {number} of level {level}")
        if width == WIDTH:
            self._store.keep_tile(level, number, b"".join(hashes))
        return hashes
