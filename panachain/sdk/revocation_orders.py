"""Revocations that were signed: written down before they leave, until the chain proves them.

The file spares nothing that the seed couldn't make anew; it says what was sent and isn't done yet, so that the next
command goes on with it, and which proxies refused. It lies there twice, each with a digest of what it says: where one
is damaged the other is taken, and the damaged one is set aside and made anew. Follows security rules 5 and 19, and
docs/spec/cli.md (section "Damaged files").
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from panachain.errors import ConfigurationError, DiskError
from panachain.model.actors import Address, PolicyId
from panachain.private_files import alone_at, read_regular, set_aside, write_private

_LOG: Final = logging.getLogger("panachain.revocations")
_MOST: Final = 16 << 20
"""Bytes of the file that are read: some tens of thousands of revocations."""


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

    heir: PolicyId | None = None
    """The policy that takes its place, where a grant revokes it: then its signature says so (ADR 85)."""
    fell: str = ""
    """Why a grant that wasn't finished fell, in words, until the patient was told."""

    @property
    def alarms(self) -> Mapping[Address, str]:
        """What proxies do against the revocation."""
        return {**self.refusals, **self.late}


class RevocationOrders:
    """The file `revoked.json` of one profile, and its copy."""

    def __init__(self, path: Path) -> None:
        """Take the file."""
        self._path = path
        self._copy = path.with_name(path.name + ".copy")

    def all(self) -> dict[PolicyId, Order]:
        """Return every revocation that was asked for on this machine.

        Raises:
            ConfigurationError: the file is damaged, and so is its copy.
        """
        found = _read(self._path)
        if isinstance(found, dict):
            return found
        copied = _read(self._copy)
        if found is None and copied is None:
            return {}
        try:
            with alone_at(self._path):
                return self._mended()
        except OSError as exc:
            # Of a disk that can't be written the copy is as good.
            if isinstance(copied, dict):
                return copied
            raise self._damaged(found or exc) from exc

    def of(self, policy_id: PolicyId) -> Order | None:
        """Return one of them, or None."""
        return self.all().get(policy_id)

    def begin(self, policy_id: PolicyId, index: int, *, heir: PolicyId | None = None, fell: str = "") -> Order:
        """Write down that a revocation is to be sent; one that was sent before stays as it was.

        Args:
            policy_id: whose.
            index: the policy's number.
            heir: as `Order.heir`; one that was asked for by itself before gets none.
            fell: as `Order.fell`.

        Raises:
            DiskError: the profile can't be written.
        """
        made = Order(index, heir=heir, fell=fell)
        known = self._change(policy_id, lambda known: replace(known, fell=fell or known.fell) if known else made)
        return known or made

    def withdraw(self, policy_id: PolicyId, index: int) -> None:
        """Note that a grant was forgotten before anybody saw it."""
        self._change(policy_id, lambda known: Order(index, withdrawn=True, fell=known.fell if known else ""))

    def prove(self, policy_id: PolicyId) -> None:
        """Note that the chain proved it."""
        self._change(policy_id, lambda known: known and replace(known, proven=True))

    def told(self, policy_id: PolicyId) -> None:
        """Note that the patient was told why a grant fell."""
        self._change(policy_id, lambda known: known and replace(known, fell=""))

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
                orders = self._mended()
                known = orders.get(policy_id)
                changed = change(known)
                if changed is not None and changed != known:
                    self._write(orders | {policy_id: changed})
                return changed
        except OSError as exc:
            raise DiskError(f"the revocation can't be written down in {self._path}: {exc.strerror}") from exc

    def _mended(self) -> dict[PolicyId, Order]:
        """Return what is written down, with the lock held; a damaged file is made anew of its copy.

        Raises:
            ConfigurationError: both are damaged, or there is no copy.
        """
        found = _read(self._path)
        if isinstance(found, dict):
            return found
        copied = _read(self._copy)
        if found is None and copied is None:
            return {}
        if not isinstance(copied, dict):
            cause = found or copied
            raise self._damaged(cause) from cause
        if found is None:
            _LOG.warning("%s was gone, and was made anew of its copy", self._path)
        else:
            name = set_aside(self._path).name
            _LOG.warning("%s was damaged (%s): it is %s now, and was made anew of its copy", self._path, found, name)
        self._write(copied)
        return copied

    def _damaged(self, cause: Exception | None) -> ConfigurationError:
        return ConfigurationError(
            f"{self._path} can't be read ({cause}), nor can its copy",
            hint="revoke again what you took back lately, and look at `panachain policies`; then move both away:"
            " nothing that is unfinished is handed out until then",
        )

    def _write(self, orders: Mapping[PolicyId, Order]) -> None:
        policies = {name: _fields(one) for name, one in orders.items()}
        content = {"schema": "panachain/revoked/1", "policies": policies, "digest": _digest(policies)}
        # The copy first: it never lacks what the file has.
        for path in (self._copy, self._path):
            write_private(path, json.dumps(content).encode())


def _read(path: Path) -> dict[PolicyId, Order] | Exception | None:
    """Return what a file says, None where there is none, or why it can't be read."""
    try:
        content = json.loads(read_regular(path, _MOST))
        policies: dict[str, dict[str, Any]] = content["policies"]
        # Programs of before wrote none.
        if "digest" in content and content["digest"] != _digest(policies):
            return ValueError("it isn't what was written")
        return {PolicyId(name): _order(one) for name, one in policies.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        return exc


def _fields(one: Order) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "index": one.index,
        "proven": one.proven,
        "withdrawn": one.withdrawn,
        "refusals": dict(one.refusals),
        "late": dict(one.late),
    }
    return fields | ({"heir": one.heir} if one.heir else {}) | ({"fell": one.fell} if one.fell else {})


def _order(one: Mapping[str, Any]) -> Order:
    heir, index = one.get("heir"), int(one["index"])
    if not 0 <= index < 1 << 31:
        raise ValueError("no policy number")
    return Order(
        index,
        bool(one["proven"]),
        bool(one["withdrawn"]),
        dict(one["refusals"]),
        dict(one["late"]),
        None if heir is None else PolicyId(heir),
        str(one.get("fell", "")),
    )


def _digest(policies: Mapping[PolicyId, Any] | Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(policies, sort_keys=True).encode()).hexdigest()
