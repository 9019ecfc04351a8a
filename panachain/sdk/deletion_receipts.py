"""Deletion receipts that a patient keeps: which proxies signed that they deleted what they held of a policy.

The proxies can be asked again, and the chain judges; this file spares the asking, and outlives proxies that vanish.
A receipt that was changed on disk doesn't count. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panachain.consent.receipts import check_receipt
from panachain.errors import ConfigurationError, DiskError
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.private_files import alone_at, write_private
from panachain.proxy import messages


class DeletionReceipts:
    """The file `revocations.json` of one profile."""

    def __init__(self, path: Path, domain: bytes) -> None:
        """Take the file, and the domain of the access log that judges receipts."""
        self._path = path
        self._domain = domain

    def of(self, policy_id: PolicyId) -> tuple[tuple[Receipt, ...], bool]:
        """Return a policy's deletion receipts, each checked anew, and whether its headers were seen re-wrapped.

        Raises:
            IntegrityError: a receipt on disk isn't its proxy's.
        """
        entry = self._read().get(policy_id, {"receipts": [], "rewrapped": False})
        receipts = [messages.parse_receipt(fields) for fields in entry["receipts"]]
        for receipt in receipts:
            check_receipt(
                receipt,
                proxy=receipt.proxy,
                domain=self._domain,
                policy_id=policy_id,
                kind=ReceiptKind.DELETED,
            )
        return tuple(receipts), bool(entry["rewrapped"])

    def add(self, policy_id: PolicyId, receipts: Iterable[Receipt]) -> None:
        """Keep checked deletion receipts, one for each proxy."""
        with self._entry(policy_id) as entry:
            by_proxy = {fields["proxy"]: fields for fields in entry["receipts"]}
            by_proxy.update((receipt.proxy, messages.receipt_fields(receipt)) for receipt in receipts)
            entry["receipts"] = [by_proxy[proxy] for proxy in sorted(by_proxy)]

    def rewrapped(self, policy_id: PolicyId) -> None:
        """Note that no old header of a policy's lanes is left."""
        with self._entry(policy_id) as entry:
            entry["rewrapped"] = True

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._path.read_bytes())["policies"]
            return content
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ConfigurationError(
                f"{self._path} can't be read", hint="move it away: the proxies can be asked for their receipts again"
            ) from exc

    @contextmanager
    def _entry(self, policy_id: PolicyId) -> Iterator[dict[str, Any]]:
        """Give what is kept of one policy, and write it back; several revocations may be on their way at once."""
        try:
            with alone_at(self._path):
                content = self._read()
                yield content.setdefault(policy_id, {"receipts": [], "rewrapped": False})
                fields = {"schema": "panachain/revocations/1", "policies": content}
                write_private(self._path, json.dumps(fields).encode())
        except OSError as exc:
            raise DiskError(f"the receipts can't be kept in {self._path}: {exc.strerror}") from exc
