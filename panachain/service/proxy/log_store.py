"""What a proxy's database keeps of the tree over its log: full tiles, full maps, and cosigned checkpoints.

All but the cosignatures follows from the receipts, and nothing here names a person or a policy. Its tables are made by
service/proxy/store.py, in whose transactions it writes. Follows docs/spec/log.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from panachain.model.actors import PolicyId
from panachain.service.proxy.store import ProxyStore


class LogStore:
    """The tree's part of one proxy's database."""

    def __init__(self, store: ProxyStore) -> None:
        """Take the database."""
        self._store = store

    def size(self) -> int:
        """Return how many receipts the log has."""
        return self._store.head()[0]

    def entries(self, first: int, count: int) -> list[tuple[PolicyId, bytes]]:
        """Return receipts as they are leaves of the tree, each with its policy.

        Args:
            first: sequence of the first one.
            count: how many; fewer come only where the log ends.
        """
        rows = self._store._read(
            "SELECT policy_id, fields FROM receipt WHERE sequence >= {} AND sequence < {} ORDER BY sequence",
            *(first, first + count),
        )
        return [(PolicyId(row[0]), row[1].encode()) for row in rows]

    def policies(self, first: int, count: int) -> list[PolicyId]:
        """Return the policies of receipts; the arguments are those of `entries`."""
        rows = self._store._read(
            "SELECT policy_id FROM receipt WHERE sequence >= {} AND sequence < {} ORDER BY sequence",
            *(first, first + count),
        )
        return [PolicyId(row[0]) for row in rows]

    def tile(self, level: int, number: int) -> bytes | None:
        """Return a full tile's hashes, one after the other; None where it wasn't kept yet."""
        rows = self._store._read("SELECT hashes FROM tile WHERE level = {} AND number = {}", level, number)
        return bytes(rows[0][0]) if rows else None

    def keep_tile(self, level: int, number: int, hashes: bytes) -> None:
        """Keep a full tile, which never changes: whoever keeps it first keeps the same."""
        with self._store._write() as db:
            statement = "INSERT INTO tile (level, number, hashes) VALUES ({}, {}, {}) ON CONFLICT DO NOTHING"
            self._store._do(db, statement, level, number, hashes)

    def audit_keys(self, policies: Collection[PolicyId]) -> dict[PolicyId, bytes]:
        """Return the audit keys of the patients of some policies."""
        found = {}
        for policy_id in policies:
            rows = self._store._read("SELECT fields FROM policy WHERE policy_id = {}", policy_id)
            if rows:
                found[policy_id] = bytes.fromhex(json.loads(rows[0][0])["audit_key"])
        return found

    def full_maps(self) -> list[tuple[int, int, bytes]]:
        """Return epoch, number of rows and tree hash of each map that won't change any more, in their order."""
        rows = self._store._read("SELECT epoch, row_count, tree FROM full_map ORDER BY epoch")
        return [(int(row[0]), int(row[1]), bytes(row[2])) for row in rows]

    def keep_full_map(self, epoch: int, rows: int, tree: bytes) -> None:
        """Keep what a map that won't change any more comes to."""
        with self._store._write() as db:
            statement = "INSERT INTO full_map (epoch, row_count, tree) VALUES ({}, {}, {}) ON CONFLICT DO NOTHING"
            self._store._do(db, statement, epoch, rows, tree)

    def cosigned(self) -> str | None:
        """Return the newest checkpoint that others cosigned, as a note; None for none."""
        rows = self._store._read("SELECT note FROM cosigned")
        return str(rows[0][0]) if rows else None

    def keep_cosigned(self, size: int, note: str) -> None:
        """Keep a checkpoint that others cosigned, unless a longer one is kept."""
        with self._store._write() as db:
            statement = (
                "INSERT INTO cosigned (only_one, size, note) VALUES (1, {}, {}) ON CONFLICT (only_one) "
                "DO UPDATE SET size = excluded.size, note = excluded.note WHERE cosigned.size <= excluded.size"
            )
            self._store._do(db, statement, size, note)

    def witness(self, origin: str, size: int, root: bytes, check: Callable[[int, bytes], bool]) -> tuple[int, bytes]:
        """Note how far another proxy's log goes, if that goes on from what was noted before.

        Args:
            origin: the log's name.
            size: of the log.
            root: of its tree.
            check: tells by the size and root that were noted before (0 and nothing for none) whether this goes on.

        Returns:
            What is noted now.
        """
        with self._store._write() as db:
            statement = self._store._marked("SELECT size, root FROM witnessed WHERE origin = {}")
            row = db.exec_driver_sql(statement, (origin,)).first()
            known = (int(row[0]), bytes(row[1])) if row is not None else (0, b"")
            # In the transaction: of two that go on from one place in different ways, one is noted.
            if not check(*known):
                return known
            statement = (
                "INSERT INTO witnessed (origin, size, root) VALUES ({}, {}, {}) ON CONFLICT (origin) "
                "DO UPDATE SET size = excluded.size, root = excluded.root"
            )
            self._store._do(db, statement, origin, size, root)
            return size, root
