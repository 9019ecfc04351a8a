"""AccessManager, OpenZeppelin's: which role calls what on a chain, and who has which role.

Only what a deployment needs; later changes go through its delays, by the administrator's own tools.
Follows OpenZeppelin Contracts 5 (AccessManager) and docs/security/contracts.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from panachain.chain.bound import Adapter
from panachain.chain.evm import Receipt, Sender
from panachain.model.actors import Address


class AccessManager(Adapter):
    """The roles of one chain's contracts; only the administrator may change them."""

    def label_role(self, sender: Sender, role: int, label: str) -> Receipt:
        """Give a role a name that tools show."""
        return self._send(sender, "labelRole", role, label)

    def set_target_function_role(self, sender: Sender, target: str, selectors: Sequence[bytes], role: int) -> Receipt:
        """Say which role may call some functions.

        Args:
            sender: the administrator's.
            target: the contract's address.
            selectors: of the functions, 4 bytes each.
            role: its number.
        """
        return self._send(sender, "setTargetFunctionRole", target, selectors, role)

    def grant_role(self, sender: Sender, role: int, account: Address, delay: int = 0) -> Receipt:
        """Appoint an account, whose calls take effect after a delay in seconds."""
        return self._send(sender, "grantRole", role, account, delay)

    def set_grant_delay(self, sender: Sender, role: int, delay: int) -> Receipt:
        """Say after how many seconds an appointment to a role counts."""
        return self._send(sender, "setGrantDelay", role, delay)

    def renounce_role(self, sender: Sender, role: int) -> Receipt:
        """Leave a role for good."""
        return self._send(sender, "renounceRole", role, sender.address)

    def _send(self, sender: Sender, function: str, *args: object) -> Receipt:
        return self.bound.send(sender, function, *args, what=f"setting up roles ({function})")
