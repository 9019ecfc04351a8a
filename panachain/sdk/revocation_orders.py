"""Revocations that were signed: written down before they leave, until the chain proves them.

The file spares nothing that the seed couldn't make anew; it says what was sent and isn't done yet, so that the next
command goes on with it, and which proxies refused. Follows security rules 5 and 19.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from panachain.errors import ConfigurationError, DiskError
from panachain.model.actors import Address, PolicyId
from panachain.private_files import alone_at, write_private


@dataclass(frozen=True)
class Order:
    """One revocation that was asked for."""

    index: int
    """The policy's number: its one-time key signs again what is sent again."""
    proven: bool = False
    """Whether the chain proved it."""
    withdrawn: bool = False
    """Whether the grant was forgotten before anybody saw it: then there is nothing to send, and nobody hears of it."""
    refusals: Mapping[Address, str] = field(default_factory=dict)
    """Proxies that answered the last order to delete, and didn't, each with what it said."""
    late: Mapping[Address, str] = field(default_factory=dict)
    """Proxies that served after the revocation, each with what its own signature says."""

    @property
    def alarms(self) -> Mapping[Address, str]:
        """What proxies do against the revocation."""
        return {**self.refusals, **self.late}


class RevocationOrders:
    """The file `revoked.json` of one profile."""

    def __init__(self, path: Path) -> None:
        """Take the file."""
        self._path = path

    def all(self) -> dict[PolicyId, Order]:
        """Return every revocation that was asked for on this machine.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            policies: dict[str, dict[str, Any]] = json.loads(self._path.read_bytes())["policies"]
            return {
                PolicyId(name): Order(
                    int(one["index"]),
                    bool(one["proven"]),
                    bool(one["withdrawn"]),
                    dict(one["refusals"]),
                    dict(one["late"]),
                )
                for name, one in policies.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
            raise ConfigurationError(
                f"{self._path} can't be read", hint="move it away: `panachain revoke` sends a revocation again"
            ) from exc

    def of(self, policy_id: PolicyId) -> Order | None:
        """Return one of them, or None."""
        return self.all().get(policy_id)

    def begin(self, policy_id: PolicyId, index: int) -> Order:
        """Write down that a revocation is to be sent; one that was sent before stays as it was.

        Raises:
            DiskError: the profile can't be written.
        """
        return self._change(policy_id, lambda known: known or Order(index)) or Order(index)

    def withdraw(self, policy_id: PolicyId, index: int) -> None:
        """Note that a grant was forgotten before anybody saw it."""
        self._change(policy_id, lambda _: Order(index, withdrawn=True))

    def prove(self, policy_id: PolicyId) -> None:
        """Note that the chain proved it."""
        self._change(policy_id, lambda known: known and replace(known, proven=True))

    def refused(self, policy_id: PolicyId, refusals: Mapping[Address, str]) -> None:
        """Note which proxies wouldn't delete, in place of those that wouldn't before."""
        self._change(policy_id, lambda known: known and replace(known, refusals=dict(refusals)))

    def served(self, policy_id: PolicyId, late: Mapping[Address, str]) -> None:
        """Note which proxies served after the revocation, besides those that are known."""
        self._change(policy_id, lambda known: known and replace(known, late={**known.late, **late}))

    def _change(self, policy_id: PolicyId, change: Callable[[Order | None], Order | None]) -> Order | None:
        """Change one revocation's entry, beside all that other threads and programs of this profile change meanwhile.

        Args:
            policy_id: whose revocation it is.
            change: returns the entry as it is to be; None leaves out what isn't there.

        Returns:
            The entry as it is now.
        """
        try:
            with alone_at(self._path):
                orders = self.all()
                known = orders.get(policy_id)
                changed = change(known)
                if changed is not None and changed != known:
                    self._write(orders | {policy_id: changed})
                return changed
        except OSError as exc:
            raise DiskError(f"the revocation can't be written down in {self._path}: {exc.strerror}") from exc

    def _write(self, orders: Mapping[PolicyId, Order]) -> None:
        policies = {
            name: {
                "index": one.index,
                "proven": one.proven,
                "withdrawn": one.withdrawn,
                "refusals": dict(one.refusals),
                "late": dict(one.late),
            }
            for name, one in orders.items()
        }
        write_private(self._path, json.dumps({"schema": "panachain/revoked/1", "policies": policies}).encode())
