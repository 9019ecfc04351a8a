"""Deletion receipts that a patient keeps: which proxies signed that they deleted what they held of a policy.

The proxies can be asked again, and the chain judges; this file spares the asking, and outlives proxies that vanish.
A receipt that was changed on disk doesn't count, and costs no other one. A file that can't be read at all is set aside,
and begun anew. Follows docs/spec/proxy.md, and docs/spec/cli.md (section "Damaged files").
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from panachain.consent.receipts import check_receipt
from panachain.errors import DiskError, IntegrityError
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.private_files import alone_at, read_regular, set_aside, write_private
from panachain.proxy import messages

_LOG: Final = logging.getLogger("panachain.revocations")
_MOST: Final = 64 << 20
"""Bytes of the file that are read: some tens of thousands of receipts."""


class DeletionReceipts:
    """The file `revocations.json` of one profile."""

    def __init__(self, path: Path, domain: bytes) -> None:
        """Take the file, and the domain of the access log that judges receipts."""
        self._path = path
        self._domain = domain

    def of(self, policy_id: PolicyId) -> tuple[tuple[Receipt, ...], bool]:
        """Return a policy's deletion receipts, each checked anew, and whether its headers were seen re-wrapped."""
        found = self._read()
        if isinstance(found, Exception):
            _LOG.warning("%s can't be read (%s): the proxies are asked for their receipts again", self._path, found)
            return (), False
        entry = _entry_of(found, policy_id)
        receipts = [receipt for fields in entry["receipts"] if (receipt := self._checked(policy_id, fields))]
        return tuple(receipts), bool(entry["rewrapped"])

    def add(self, policy_id: PolicyId, receipts: Iterable[Receipt]) -> None:
        """Keep checked deletion receipts, one for each proxy."""
        with self._entry(policy_id) as entry:
            # What doesn't count isn't kept on: its proxy is asked again.
            whole = [fields for fields in entry["receipts"] if self._checked(policy_id, fields)]
            by_proxy = {fields["proxy"]: fields for fields in whole}
            by_proxy.update((receipt.proxy, messages.receipt_fields(receipt)) for receipt in receipts)
            entry["receipts"] = [by_proxy[proxy] for proxy in sorted(by_proxy)]

    def rewrapped(self, policy_id: PolicyId) -> None:
        """Note that no old header of a policy's lanes is left."""
        with self._entry(policy_id) as entry:
            entry["rewrapped"] = True

    def _checked(self, policy_id: PolicyId, fields: Any) -> Receipt | None:
        """Return a receipt on disk, or None if it isn't its proxy's, of this policy and network."""
        try:
            receipt = messages.parse_receipt(fields)
            check_receipt(
                receipt,
                proxy=receipt.proxy,
                domain=self._domain,
                policy_id=policy_id,
                kind=ReceiptKind.DELETED,
            )
        except IntegrityError as exc:
            _LOG.warning("a receipt for policy %s in %s doesn't count: %s", policy_id, self._path, exc)
            return None
        return receipt

    def _read(self) -> dict[str, Any] | Exception:
        """Return what is kept by policy, or why it can't be read."""
        try:
            content = json.loads(read_regular(self._path, _MOST))["policies"]
            if not isinstance(content, dict):
                raise TypeError("no list of policies")
            return content
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            return exc

    @contextmanager
    def _entry(self, policy_id: PolicyId) -> Iterator[dict[str, Any]]:
        """Give what is kept of one policy, and write it back; several revocations may be on their way at once."""
        try:
            with alone_at(self._path):
                content = self._read()
                if isinstance(content, Exception):
                    name = set_aside(self._path).name
                    _LOG.warning("%s was damaged (%s): it is %s now, and is begun anew", self._path, content, name)
                    content = {}
                content[policy_id] = _entry_of(content, policy_id)
                yield content[policy_id]
                fields = {"schema": "panachain/revocations/1", "policies": content}
                write_private(self._path, json.dumps(fields).encode())
        except OSError as exc:
            raise DiskError(f"the receipts can't be kept in {self._path}: {exc.strerror}") from exc


def _entry_of(content: dict[str, Any], policy_id: PolicyId) -> dict[str, Any]:
    """Return what is kept of one policy; what isn't of the written form counts as nothing."""
    entry = content.get(policy_id)
    if isinstance(entry, dict) and isinstance(entry.get("receipts"), list) and isinstance(entry.get("rewrapped"), bool):
        return entry
    return {"receipts": [], "rewrapped": False}
